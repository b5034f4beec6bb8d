"""Messages and bags for tests, made with this package's own reader and writer."""

from __future__ import annotations

import dataclasses

import numpy as np

from mambapose_ros.bags import BagWriter, MessageTypes
from mambapose_ros.geometry import Camera
from mambapose_ros.types import Frame, PersonKeypoints, Skeleton3D

TYPES = MessageTypes()
CAMERA = Camera.from_fov(64, 48)
FRAME = Frame(12_345_678_901, "cam", np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8), CAMERA)
SECOND = 10**9


def image(encoding: str = "rgb8", data: np.ndarray = FRAME.image):
    return TYPES.Image(width=64, height=48, encoding=encoding, step=192, data=data.reshape(-1))


def camera_info(camera: Camera, stamp_ns: int = 0):
    header = TYPES.Header(stamp=TYPES.Time(sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND))
    return TYPES.CameraInfo(header=header, width=camera.width, height=camera.height, k=camera.K.reshape(-1))


def write(folder, messages, storage="mcap"):
    """A bag of (topic, message), recorded a second apart."""
    with BagWriter(folder, storage, TYPES) as writer:
        for topic, message in dict(messages).items():
            writer.add_topic(topic, message.__msgtype__)
        for index, (topic, message) in enumerate(messages):
            writer.write(topic, index * SECOND, message)
    return folder


def random_people(rng) -> tuple[PersonKeypoints, ...]:
    people = [PersonKeypoints(rng.uniform(-20, 80, (17, 2)), rng.uniform(0, 1, 17), f"p{i}") for i in range(3)]
    people.append(PersonKeypoints(people[0].xy, people[0].confidence, "p9", "lost"))
    people[1].xy[:4] = np.nan
    people[2].xy[:] = np.nan
    return tuple(people)


def random_skeletons(rng) -> tuple[Skeleton3D, ...]:
    plain = Skeleton3D("p0", rng.normal(size=(17, 3)), rng.uniform(0, 1, 17), "bone_prior")
    rich = Skeleton3D(
        "p1",
        rng.normal(size=(17, 3)),
        np.zeros(17),
        "depth_sensor",
        rng.normal(size=(17, 3, 3)),
        rng.normal(size=(17, 3)),
        "predicted",
    )
    rich.joints[3] = np.nan
    rich.covariance[3] = np.nan
    return plain, rich


def fields_of(value, name=""):
    """(path, string or number) of everything in a message."""
    if isinstance(value, (list, tuple, np.ndarray)):
        for index, element in enumerate(value):
            yield from fields_of(element, f"{name}[{index}]")
    elif hasattr(value, "__msgtype__"):
        for field in dataclasses.fields(value):
            yield from fields_of(getattr(value, field.name), f"{name}.{field.name}")
    else:
        yield name, value


def assert_same_fields(read, written, rtol=0.0):
    read_fields, written_fields = dict(fields_of(read)), dict(fields_of(written))
    assert read_fields.keys() == written_fields.keys()
    for field, value in written_fields.items():
        if isinstance(value, str):
            assert read_fields[field] == value, field
        else:
            np.testing.assert_allclose(read_fields[field], value, rtol=rtol, err_msg=field)
