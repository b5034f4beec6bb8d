import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros import bags
from mambapose_ros.bags import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    MARKER_ARRAY,
    PERSON_KEYPOINTS_ARRAY,
    SKELETON_ARRAY,
    BagError,
    BagReader,
    BagWriter,
    MessageTypes,
    find_cameras,
    image_to_rgb,
    keypoints_message,
    read_intrinsics,
    skeletons_message,
)
from mambapose_ros.geometry import Camera
from mambapose_ros.image_encoding import ImageError
from mambapose_ros.types import TRACKING_STATES, Frame, PersonKeypoints, Skeleton3D

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


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [PERSON_KEYPOINTS_ARRAY, SKELETON_ARRAY, MARKER_ARRAY, IMAGE, CAMERA_INFO])
def test_types_are_those_that_ros_built(name):
    """The hash of a type (REP-2011) covers the names and types of all its fields, nested ones too."""
    packages = pytest.importorskip("ament_index_python.packages", reason="built messages: needs ROS")
    package, _, short = name.split("/")
    try:
        share = packages.get_package_share_path(package)
    except packages.PackageNotFoundError:
        pytest.skip(f"built messages: {package} is not installed")
    description = share / "msg" / f"{short}.json"
    if not description.is_file():
        pytest.skip("type hashes: ROS before Iron has none")
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(description.read_text())["type_hashes"]}
    assert TYPES.definition(name)[1] == hashes[name]


def assert_same_fields(read, written, rtol=0.0):
    read_fields, written_fields = dict(fields_of(read)), dict(fields_of(written))
    assert read_fields.keys() == written_fields.keys()
    for field, value in written_fields.items():
        if isinstance(value, str):
            assert read_fields[field] == value, field
        else:
            np.testing.assert_allclose(read_fields[field], value, rtol=rtol, err_msg=field)


def test_ros_reads_what_was_written_and_writes_what_can_be_read():
    serialization = pytest.importorskip("rclpy.serialization", reason="rclpy")
    ros = pytest.importorskip("mambapose_ros.msg", reason="built messages")
    rng = np.random.default_rng(1)
    for message in (
        keypoints_message(TYPES, FRAME, random_people(rng)),
        skeletons_message(TYPES, FRAME, random_skeletons(rng), random_people(rng)),
    ):
        name = message.__msgtype__
        data = bytes(TYPES.write(message))
        by_ros = serialization.deserialize_message(data, getattr(ros, name.rpartition("/")[2]))
        assert_same_fields(TYPES.read(serialization.serialize_message(by_ros), name), TYPES.read(data, name))


def test_results_are_the_messages_of_the_nodes():
    serialization = pytest.importorskip("rclpy.serialization", reason="rclpy")
    conversions = pytest.importorskip("mambapose_ros.nodes.conversions", reason="built messages")
    rng = np.random.default_rng(2)
    people, skeletons = random_people(rng), random_skeletons(rng)
    for ours, theirs in (
        (keypoints_message(TYPES, FRAME, people), conversions.keypoints_to_msg(FRAME, people)),
        (
            skeletons_message(TYPES, FRAME, skeletons, people),
            conversions.skeletons_to_msg(FRAME, skeletons, people),
        ),
    ):
        name = ours.__msgtype__
        read = [TYPES.read(data, name) for data in (TYPES.write(ours), serialization.serialize_message(theirs))]
        assert_same_fields(*read)


def test_fields_of_skeletons():
    plain, rich = random_skeletons(np.random.default_rng(3))
    message = skeletons_message(TYPES, FRAME, (plain, rich))
    first, second = message.skeletons
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (12, 345_678_901, "cam")
    assert message.parents.dtype == np.int8
    assert (first.tracking_state, second.tracking_state) == (first.TRACKING_TRACKED, first.TRACKING_PREDICTED)
    assert (first.scale_source, second.scale_source) == (first.SCALE_BONE_PRIOR, first.SCALE_DEPTH_SENSOR)
    assert {joint.state for joint in first.joints} == {TYPES.Joint3D.STATE_MEASURED}
    assert second.joints[2].state == TYPES.Joint3D.STATE_INFERRED
    assert second.joints[3].state == TYPES.Joint3D.STATE_MISSING
    assert all(joint.covariance[0] == -1 and math.isnan(joint.velocity.x) for joint in first.joints)
    np.testing.assert_array_equal(second.joints[5].covariance.reshape(3, 3), rich.covariance[5].astype(np.float32))
    assert second.joints[3].covariance[0] == -1
    assert second.joints[5].velocity.z == rich.velocity[5, 2]


def test_states_of_skeletons_are_numbered_as_in_the_message():
    assert [getattr(TYPES.Skeleton, f"TRACKING_{state.upper()}") for state in TRACKING_STATES] == [0, 1, 2, 3]


def test_regions_end_at_the_border_of_the_image():
    xy = np.full((17, 2), 20.0)
    xy[0], xy[1] = (-5.5, 10.2), (70.0, 40.7)
    (person,) = keypoints_message(TYPES, FRAME, [PersonKeypoints(xy, np.ones(17))]).people
    roi = person.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (0, 10, 64, 32)
    (nobody,) = keypoints_message(TYPES, FRAME, [PersonKeypoints(xy + 500, np.ones(17))]).people
    assert nobody.roi.width == 0


def test_fields_left_out_are_zero_or_empty():
    marker = TYPES.Marker(ns="p1")
    assert (marker.ns, marker.text, marker.points, marker.pose.orientation.w) == ("p1", "", [], 0.0)
    assert TYPES.Joint3D().covariance.tolist() == [0.0] * 9
    assert TYPES.Marker().pose is not TYPES.Marker().pose
    assert TYPES.read(TYPES.write(marker), "visualization_msgs/msg/Marker").ns == "p1"


def test_names_that_are_wrong_are_refused():
    with pytest.raises(TypeError, match="frame_id"):
        TYPES.Header(frame="cam")
    with pytest.raises(AttributeError, match="Skeleton"):
        _ = TYPES.Skeletons


def test_definitions_that_are_missing_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(bags, "__file__", str(tmp_path / "bags.py"))
    with pytest.raises(BagError, match="colcon"):
        bags._message_folder()


IMAGE_BYTES = bytes(TYPES.write(image()))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 80), st.binary(min_size=1, max_size=8), st.integers(0, len(IMAGE_BYTES)))
def test_damaged_images_are_images_or_image_errors(place, damage, length):
    data = IMAGE_BYTES[:place] + damage + IMAGE_BYTES[place + len(damage) :]
    for damaged in (data, data[:length]):
        try:
            message = TYPES.read(damaged, IMAGE)
            if message.width * message.height < 10**6:
                assert image_to_rgb(message).dtype == np.uint8
        except ImageError:
            pass


# --- bags -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_every_field_of_a_message_survives(storage, tmp_path):
    rng = np.random.default_rng(4)
    written = {
        "/keypoints": keypoints_message(TYPES, FRAME, random_people(rng)),
        "/skeletons": skeletons_message(TYPES, FRAME, random_skeletons(rng)),
        "/markers": TYPES.MarkerArray(markers=[TYPES.Marker(ns="p1", points=[TYPES.Point(x=1.0)])]),
    }
    write(tmp_path / "bag", list(written.items()), storage)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.storage == storage
        assert bag.topics == {topic: message.__msgtype__ for topic, message in sorted(written.items())}
        read = {recorded.topic: recorded for recorded in bag.messages(written)}
    assert [read[topic].log_time_ns for topic in written] == [0, SECOND, 2 * SECOND]
    for topic, message in written.items():
        again = TYPES.read(read[topic].data, message.__msgtype__)
        assert_same_fields(again, message, rtol=1e-6)  # float32


def test_a_bag_is_not_written_over(tmp_path):
    write(tmp_path / "bag", [("/a", image())])
    with pytest.raises(BagError, match="choose another name"):
        BagWriter(tmp_path / "bag", "mcap", TYPES)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("bag/metadata.yaml", "a: [", "expected what rosbag2 writes"),
        ("bag/metadata.yaml", "rosbag2_bagfile_information: {storage_identifier: tape}", "got 'tape'"),
        ("bag/metadata.yaml", "rosbag2_bagfile_information: {storage_identifier: mcap}", "cannot open the bag"),
        ("bag.mcap", "", "cannot open the bag"),
        ("bag.db3", "not a database", "cannot open the bag"),
        ("bag.txt", "", "ends in '.txt'"),
    ],
)
def test_what_is_no_bag_is_refused(name, content, expected, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(BagError, match=re.escape(expected)):
        BagReader(path.parent if path.name == "metadata.yaml" else path)


# --- cameras ----------------------------------------------------------------------------------------------------------


def test_one_topic_of_each_camera_is_chosen(tmp_path):
    jpeg = TYPES.CompressedImage(format="jpeg")
    messages = [
        ("/a/annotated", image()),
        ("/a/image_color", image()),
        ("/a/image_raw/compressed", jpeg),
        ("/a/image_raw", image()),
        ("/a/camera_info", camera_info(CAMERA)),
        ("/a/depth/image_raw", image("16UC1")),
        ("/a/depth/image_raw/compressedDepth", TYPES.CompressedImage(format="16UC1; compressedDepth png")),
        ("/b/image/compressed", jpeg),
        ("/b/image/camera_info", camera_info(CAMERA)),
        ("/image", image("mono8")),
        ("/talk", TYPES.Header()),
    ]
    write(tmp_path / "bag", messages)
    with BagReader(tmp_path / "bag") as bag:
        cameras = find_cameras(bag, TYPES)
        found = [(camera.namespace, camera.image, camera.camera_info) for camera in cameras]
        assert found == [
            ("/a", "/a/image_raw", "/a/camera_info"),
            ("/b", "/b/image/compressed", "/b/image/camera_info"),
            ("", "/image", ""),
        ]
        assert [camera.image_type for camera in cameras] == [IMAGE, COMPRESSED_IMAGE, IMAGE]
        (one,) = find_cameras(bag, TYPES, ["/a/image_color", "/a/image_color"])
        assert (one.image, one.camera_info) == ("/a/image_color", "/a/camera_info")
        with pytest.raises(BagError, match="both be /a/keypoints"):
            find_cameras(bag, TYPES, ["/a/image_color", "/a/image_raw"])
        with pytest.raises(BagError, match="got '16UC1'; image topics of this bag: /a/annotated, "):
            find_cameras(bag, TYPES, ["/a/depth/image_raw"])
        with pytest.raises(BagError, match="got depth"):
            find_cameras(bag, TYPES, ["/a/depth/image_raw/compressedDepth"])


def test_a_bag_without_cameras_says_what_it_has(tmp_path):
    write(tmp_path / "bag", [("/talk", TYPES.Header()), ("/depth", image("32FC1"))])
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError, match=r"/talk \(std_msgs/msg/Header\)"):
        find_cameras(bag, TYPES)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_intrinsics_are_those_said_last_before_the_image(storage, tmp_path):
    wide, narrow = Camera.from_fov(64, 48, 1.5), Camera.from_fov(64, 48, 0.5)
    broken = camera_info(CAMERA, 3 * SECOND)
    broken.k = np.zeros(9)
    messages = [
        ("/image", image()),
        ("/camera_info", camera_info(wide, 2 * SECOND)),
        ("/camera_info", camera_info(wide, 3 * SECOND)),
        ("/camera_info", broken),
        ("/camera_info", camera_info(narrow, 5 * SECOND)),
    ]
    write(tmp_path / "bag", messages, storage)
    with BagReader(tmp_path / "bag") as bag:
        intrinsics = read_intrinsics(bag, TYPES, find_cameras(bag, TYPES))["/image"]
    assert len(intrinsics.cameras) == 2
    assert intrinsics.at(0, 64, 48) == (wide, "")  # the first images came before the first camera_info
    assert intrinsics.at(2 * SECOND, 64, 48) == (wide, "")
    assert intrinsics.at(5 * SECOND - 1, 64, 48) == (wide, "")
    assert intrinsics.at(5 * SECOND, 64, 48) == (narrow, "")
    camera, problem = intrinsics.at(0, 32, 24)
    assert camera.assumed
    assert problem == "expected a camera_info for 32x24, the image's size, got 64x48"


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        ([], "beside the images"),
        ([TYPES.CameraInfo(width=64, height=48)], "K is all zero"),
        ([TYPES.CameraInfo(width=64, height=48, k=np.eye(3).reshape(-1), distortion_model="magic")], "'magic'"),
    ],
)
def test_a_camera_that_says_nothing_of_use_is_assumed(infos, expected, tmp_path):
    write(tmp_path / "bag", [("/image", image()), *(("/camera_info", info) for info in infos)])
    with BagReader(tmp_path / "bag") as bag:
        camera, problem = read_intrinsics(bag, TYPES, find_cameras(bag, TYPES))["/image"].at(0, 64, 48)
    assert camera == Camera.from_fov(64, 48, assumed=True)
    assert expected in problem
