import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from interrupts import interrupt_lifting, lose_gpu
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mambapose_ros.bags import MessageTypes
from mambapose_ros.cli.main import main
from mambapose_ros.geometry import Camera
from mambapose_ros.image_encoding import decode_compressed
from mambapose_ros.markers import SkeletonMarkers
from mambapose_ros.models import PoseMamba, PoseMambaConfig
from mambapose_ros.models.checkpoints import _published_name
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.skeleton import JOINT_NAMES, PARENTS
from mambapose_ros.sources import SourceOptions, open_source
from mambapose_ros.types import Frame

STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES = MessageTypes()
FRAMES = 6
EPOCH_NS = 1_700_000_000_000_000_000
LATENCY_NS = 4_000_000
WINDOW = 9


@dataclass(frozen=True)
class Message:
    """What a test puts into a bag, or finds there."""

    topic: str
    log_time_ns: int
    type_name: str
    data: bytes


def record(folder: Path, storage: str, messages: list[Message]) -> Path:
    """A bag as rosbags writes it, with nothing of this package."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections = {}
        for message in messages:
            if message.topic not in connections:
                connections[message.topic] = writer.add_connection(message.topic, message.type_name, typestore=STORE)
            writer.write(connections[message.topic], message.log_time_ns, message.data)
    return folder


def contents(bag: Path) -> list[Message]:
    """Everything in a bag, in the order of recording."""
    with Reader(bag) as reader:
        return [Message(c.topic, log_time_ns, c.msgtype, bytes(data)) for c, log_time_ns, data in reader.messages()]


def results(bag: Path, topic: str) -> list[tuple[int, object]]:
    """(log time, message) of a topic."""
    return [(m.log_time_ns, TYPES.read(m.data, m.type_name)) for m in contents(bag) if m.topic == topic]


def header(frame: Frame):
    time = STORE.types["builtin_interfaces/msg/Time"](*divmod(frame.stamp_ns, 10**9))
    return STORE.types["std_msgs/msg/Header"](stamp=time, frame_id=frame.frame_id)


def raw(frame: Frame, topic: str = "/camera/image_raw", **changes) -> Message:
    height, width = frame.image.shape[:2]
    fields = {
        "header": header(frame),
        "height": height,
        "width": width,
        "encoding": "rgb8",
        "is_bigendian": 0,
        "step": 3 * width,
        "data": frame.image.reshape(-1),
    }
    name = "sensor_msgs/msg/Image"
    return Message(topic, frame.stamp_ns + LATENCY_NS, name, cdr(name, fields | changes))


def jpeg(frame: Frame, topic: str = "/camera/image_raw/compressed") -> Message:
    _, data = cv2.imencode(".jpg", frame.image[:, :, ::-1])
    name = "sensor_msgs/msg/CompressedImage"
    fields = {"header": header(frame), "format": "rgb8; jpeg compressed bgr8", "data": data.reshape(-1)}
    return Message(topic, frame.stamp_ns + LATENCY_NS, name, cdr(name, fields))


def info(frame: Frame, topic: str = "/camera/camera_info", **changes) -> Message:
    camera, name = frame.camera, "sensor_msgs/msg/CameraInfo"
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    fields = {
        "header": header(frame),
        "height": camera.height,
        "width": camera.width,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": camera.K.reshape(-1).copy(),
        "r": np.eye(3).reshape(-1),
        "p": np.zeros(12),
        "binning_x": 0,
        "binning_y": 0,
        "roi": roi,
    }
    return Message(topic, frame.stamp_ns + 2 * LATENCY_NS, name, cdr(name, fields | changes))


def cdr(name: str, fields: dict) -> bytes:
    return bytes(STORE.serialize_cdr(STORE.types[name](**fields), name))


def synthetic(motion: str, seed: int = 0) -> list[Frame]:
    source = open_source(f"synthetic:{motion}", SourceOptions(width=320, height=240, seed=seed))
    frames = [taken.frame for taken in itertools.islice(source, FRAMES)]
    return [Frame(frame.stamp_ns + EPOCH_NS, "cam_optical", frame.image, frame.camera) for frame in frames]


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return synthetic("wave")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A small network that has learnt nothing, in the layout of the published ones."""
    torch.manual_seed(0)
    model = PoseMamba(PoseMambaConfig(window=WINDOW, width=16, depth=1))
    path = tmp_path_factory.mktemp("weights") / "model.bin"
    torch.save({"model_pos": {_published_name(name): value for name, value in model.state_dict().items()}}, path)
    return path


@pytest.fixture(scope="module")
def bag(frames, tmp_path_factory) -> Path:
    """One camera, raw images, with intrinsics that were recorded after each image."""
    messages = [message for frame in frames for message in (raw(frame), info(frame))]
    return record(tmp_path_factory.mktemp("recorded") / "bag", "sqlite3", messages)


def options(weights: Path | None = None, lookahead: int = 0) -> list[str]:
    lifter = ["--weights", "" if weights is None else str(weights), "--window", str(WINDOW)]
    return ["--device", "cpu", "--no-flip-average", "--max-people", "1", "--lookahead", str(lookahead), *lifter]


def through_pipeline(frames: list[Frame], weights: Path, lookahead: int = 0, id_prefix: str = ""):
    """(results, people in space): what the pipeline makes of the frames."""
    pipeline = Pipeline.create(
        PipelineOptions(weights=str(weights), window=WINDOW, lookahead=lookahead, max_people=1, device="cpu"),
        Tracker(id_prefix=id_prefix),
    )
    found = [pipeline(frame) for frame in frames]
    lifted = [result.lifted for result in found if result.lifted is not None] + list(pipeline.flush())
    pipeline.close()
    return found, lifted


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def joints(skeleton) -> np.ndarray:
    return np.array([(joint.position.x, joint.position.y, joint.position.z) for joint in skeleton.joints])


def assert_same(bag: Path, namespace: str, expected) -> None:
    """The bag says of a camera what the pipeline said, to the bit of the messages' numbers."""
    expected, lifted = expected
    keypoints = results(bag, f"{namespace}/keypoints")
    assert [stamp_ns(message) for _, message in keypoints] == [result.frame.stamp_ns for result in expected]
    assert [log_time - stamp_ns(message) for log_time, message in keypoints] == [LATENCY_NS] * len(expected)
    for (_, message), result in zip(keypoints, expected, strict=True):
        camera = result.frame.camera
        assert message.header.frame_id == result.frame.frame_id
        assert (message.image_width, message.image_height) == (camera.width, camera.height)
        assert tuple(message.joint_names) == JOINT_NAMES
        assert [person.id for person in message.people] == [person.id for person in result.keypoints]
        for person, seen in zip(message.people, result.keypoints, strict=True):
            points = np.array([(point.x, point.y, point.confidence) for point in person.keypoints])
            np.testing.assert_array_equal(points, np.column_stack([seen.xy, seen.confidence]).astype(np.float32))

    skeletons = results(bag, f"{namespace}/skeletons")
    assert [stamp_ns(message) for _, message in skeletons] == [frame.stamp_ns for frame in lifted]
    assert [log_time - stamp_ns(message) for log_time, message in skeletons] == [LATENCY_NS] * len(lifted)
    assert sum(len(frame.skeletons) for frame in lifted) >= len(lifted) / 2
    for (_, message), frame in zip(skeletons, lifted, strict=True):
        assert tuple(message.parents) == PARENTS
        assert [skeleton.id for skeleton in message.skeletons] == [skeleton.id for skeleton in frame.skeletons]
        for written, skeleton in zip(message.skeletons, frame.skeletons, strict=True):
            np.testing.assert_array_equal(joints(written), skeleton.joints)
            assert written.intrinsics_assumed == frame.camera.assumed
            assert written.scale_source == written.SCALE_BONE_PRIOR
            assert written.roi.width > 20

    draw = SkeletonMarkers(TYPES)
    markers = [(m.log_time_ns, m.data) for m in contents(bag) if m.topic == f"{namespace}/markers"]
    assert markers == [(log_time, bytes(TYPES.write(draw(message)))) for log_time, message in skeletons]


@pytest.mark.parametrize(("storage", "picture"), [("sqlite3", raw), ("mcap", jpeg)])
def test_a_bag_says_what_the_pipeline_says_of_the_same_frames(storage, picture, frames, weights, tmp_path, capsys):
    messages = [message for frame in frames for message in (picture(frame), info(frame))]
    recorded = record(tmp_path / "in", storage, messages)
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options(weights)]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"{messages[0].topic} .*100%", said)  # the progress bar
    assert f"{FRAMES} frames, people in {FRAMES} of them" in said
    if picture is jpeg:
        bytes_of = [STORE.deserialize_cdr(m.data, m.type_name).data for m in messages if m.topic.endswith("compressed")]
        frames = [
            Frame(frame.stamp_ns, frame.frame_id, decode_compressed(data), frame.camera)
            for frame, data in zip(frames, bytes_of, strict=True)
        ]
    assert_same(tmp_path / "out", "/camera", through_pipeline(frames, weights))
    assert (tmp_path / "out" / ("out.db3" if storage == "sqlite3" else "out.mcap")).is_file()


def test_a_bag_says_what_a_run_says(weights, tmp_path):
    arguments = ["--source", "synthetic:wave", "--seconds", "0.2", "--output", str(tmp_path / "run")]
    assert main(["run", *arguments, *options(weights)]) == 0
    source = open_source("synthetic:wave")
    frames = [taken.frame for taken in itertools.islice(source, 6)]
    recorded = record(tmp_path / "in", "mcap", [m for frame in frames for m in (raw(frame), info(frame))])
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options(weights)]) == 0
    run = np.load(tmp_path / "run" / "skeletons.npz")
    skeletons = [skeleton for _, m in results(tmp_path / "out", "/camera/skeletons") for skeleton in m.skeletons]
    assert len(skeletons) == 6
    np.testing.assert_array_equal(np.array([joints(skeleton) for skeleton in skeletons], np.float32), run["joints"])


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_two_runs_give_the_same_files(storage, frames, weights, tmp_path):
    """To the bit, in processes that order their sets differently, with several cameras."""
    messages = [raw(frame, f"/{side}/image_raw") for frame in frames for side in ("left", "right")]
    recorded = record(tmp_path / "in", storage, messages)
    files = []
    for seed in ("1", "2"):
        out = tmp_path / seed / "out"
        out.parent.mkdir()
        command = [sys.executable, "-m", "mambapose_ros.cli.main", "bag", str(recorded), str(out), *options(weights)]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        files.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert files[0] == files[1]
    assert len(contents(out)) == 2 * 3 * FRAMES


@pytest.mark.parametrize("suffix", [".db3", ".mcap"])
def test_a_single_file_is_a_bag(suffix, frames, tmp_path):
    storage = {".db3": "sqlite3", ".mcap": "mcap"}[suffix]
    record(tmp_path / "in", storage, [raw(frame) for frame in frames[:2]])
    alone = shutil.copy(tmp_path / "in" / f"in{suffix}", tmp_path / f"alone{suffix}")
    assert main(["bag", str(alone), str(tmp_path / "out"), *options()]) == 0
    assert (tmp_path / "out" / f"out{suffix}").is_file()
    assert len(results(tmp_path / "out", "/camera/keypoints")) == 2


def test_without_weights_there_are_keypoints_only(bag, tmp_path):
    assert main(["bag", str(bag), str(tmp_path / "out"), *options()]) == 0
    assert {message.topic for message in contents(tmp_path / "out")} == {"/camera/keypoints"}


def test_cameras_do_not_mix(frames, weights, tmp_path, capsys):
    others = synthetic("squat", seed=5)
    assumed = [
        Frame(other.stamp_ns + 7_000_000, "right", other.image, Camera.from_fov(320, 240, assumed=True))
        for other in others
    ]
    messages = [
        message
        for left, right in zip(frames, assumed, strict=True)
        for message in (raw(left, "/left/image_raw"), info(left, "/left/camera_info"), raw(right, "/right/image"))
    ]
    recorded = record(tmp_path / "in", "mcap", messages)
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options(weights)]) == 0
    said = capsys.readouterr().out
    assert "/right/image: no camera_info was recorded beside the images; a field of view was assumed for 6" in said
    assert "/left/image_raw: no camera_info" not in said
    assert_same(tmp_path / "out", "/left", through_pipeline(frames, weights, id_prefix="left_"))
    assert_same(tmp_path / "out", "/right", through_pipeline(assumed, weights, id_prefix="right_"))


def test_only_the_topics_asked_for_and_the_others_are_named(frames, tmp_path, capsys):
    messages = [m for frame in frames[:2] for m in (raw(frame), jpeg(frame), raw(frame, "/other/image_raw"))]
    recorded = record(tmp_path / "in", "mcap", messages)
    chosen = ["--image-topic", "/camera/image_raw/compressed"]
    assert main(["bag", str(recorded), str(tmp_path / "out"), *chosen, *options()]) == 0
    assert {message.topic for message in contents(tmp_path / "out")} == {"/camera/keypoints"}
    assert "left out: /camera/image_raw, /other/image_raw" in capsys.readouterr().out


@pytest.mark.parametrize("lookahead", [1, 3])
def test_skeletons_that_come_late_have_the_times_of_their_own_image(lookahead, bag, frames, weights, tmp_path):
    assert main(["bag", str(bag), str(tmp_path / "out"), *options(weights, lookahead)]) == 0
    expected = through_pipeline(frames, weights, lookahead)
    assert [result.lifted is None for result in expected[0]] == [True] * lookahead + [False] * (FRAMES - lookahead)
    assert_same(tmp_path / "out", "/camera", expected)
    assert len(results(tmp_path / "out", "/camera/skeletons")) == FRAMES


def test_an_interrupt_while_an_image_is_lifted_loses_nothing(bag, frames, weights, tmp_path, monkeypatch, capsys):
    interrupt_lifting(monkeypatch, at=4)
    assert main(["bag", str(bag), str(tmp_path / "out"), *options(weights, lookahead=2)]) == 0
    assert "4 frames" in capsys.readouterr().out
    stamps = [frame.stamp_ns for frame in frames]
    keypoints, skeletons = (
        [stamp_ns(message) for _, message in results(tmp_path / "out", f"/camera/{name}")]
        for name in ("keypoints", "skeletons")
    )
    assert keypoints == stamps[:4]
    assert skeletons == stamps[:4]  # the third, which was at work, is lifted after all


def test_a_gpu_that_is_lost_is_told_with_what_to_do(bag, weights, tmp_path, monkeypatch, capsys):
    lose_gpu(monkeypatch, at=4)
    assert main(["bag", str(bag), str(tmp_path / "out"), *options(weights)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mambapose bag: the GPU failed: CUDA error: unspecified launch failure. Give --device cpu")
    assert "Traceback" not in said
    assert len(results(tmp_path / "out", "/camera/skeletons")) == 4


def test_stamps_that_repeat_or_run_backwards_start_anew(frames, weights, tmp_path, capsys):
    order = [0, 1, 1, 2, 4, 3, 5]
    messages = []
    for index, number in enumerate(order):
        picture = raw(frames[number])
        messages.append(Message(picture.topic, EPOCH_NS + index * 10**7, picture.type_name, picture.data))
    recorded = record(tmp_path / "in", "sqlite3", messages)
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options(weights, lookahead=1)]) == 0
    said = capsys.readouterr().out
    assert "stamp repeated (1 times" in said
    assert "stamp ran backwards (1 times" in said
    keypoints = results(tmp_path / "out", "/camera/keypoints")
    assert [stamp_ns(message) for _, message in keypoints] == [frames[number].stamp_ns for number in order]
    ids = [message.people[0].id for _, message in keypoints]
    assert ids == ["p1", "p1", "p2", "p2", "p2", "p3", "p3"]
    # One frame back, but never across a new start, and no frame is left out.
    skeletons = results(tmp_path / "out", "/camera/skeletons")
    times = [(round((log_time - EPOCH_NS) / 10**7), stamp_ns(message)) for log_time, message in skeletons]
    assert times == [(index, frames[number].stamp_ns) for index, number in enumerate(order)]
    assert [[skeleton.id for skeleton in message.skeletons] for _, message in skeletons] == [[name] for name in ids]


def test_what_is_no_image_is_dropped_counted_and_said_once_per_cause(frames, tmp_path, capsys):
    cut = raw(frames[1])
    messages = [
        raw(frames[0]),
        Message(cut.topic, cut.log_time_ns, cut.type_name, cut.data[:100]),
        raw(frames[2], encoding="rgb9"),
        raw(frames[3], data=frames[3].image.reshape(-1)[:-7]),
        raw(frames[4], data=frames[4].image.reshape(-1)[:-9]),
        raw(frames[5]),
    ]
    recorded = record(tmp_path / "in", "sqlite3", messages)
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options()]) == 0
    said = capsys.readouterr().out
    assert "2 frames" in said
    assert "1 messages dropped: corrupt message: expected a sensor_msgs/msg/Image, got 100 bytes" in said
    assert "1 messages dropped: unknown encoding" in said
    assert "2 messages dropped: truncated data: expected 230400 bytes for 240 rows of 960, got 230393" in said
    assert said.count("truncated data") == 1
    stamps = [stamp_ns(message) for _, message in results(tmp_path / "out", "/camera/keypoints")]
    assert stamps == [frames[0].stamp_ns, frames[5].stamp_ns]


def test_a_damaged_bag_gives_what_comes_before_the_damage(frames, tmp_path, capsys):
    messages = [message for frame in frames for message in (info(frame), raw(frame))]
    recorded = record(tmp_path / "in", "mcap", messages)
    content = bytearray((recorded / "in.mcap").read_bytes())
    record_start = content.rindex(messages[-1].data) - 31  # kind, length, channel, sequence number and two times
    content[record_start : record_start + 7] = b"\xff" * 7
    (recorded / "in.mcap").write_bytes(content)
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options()]) == 1
    said = capsys.readouterr().err
    assert "is damaged: expected 6 messages, found 5; " in said
    assert "holds what was found up to there" in said
    assert len(results(tmp_path / "out", "/camera/keypoints")) == 5


def test_a_recording_that_was_cut_off_is_refused_with_a_way_out(frames, tmp_path, capsys):
    recorded = record(tmp_path / "in", "mcap", [raw(frame) for frame in frames])
    file = recorded / "in.mcap"
    file.write_bytes(file.read_bytes()[:-50_000])
    assert main(["bag", str(recorded), str(tmp_path / "out"), *options()]) == 1
    assert "mcap recover" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(bag, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["bag", str(bag), str(tmp_path / "out"), *options()]) == 1
    assert "exists already; choose another name" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "expected a folder with metadata.yaml"),
        (["{here}"], "got a folder without one"),
        (["{here}/old.bag"], "rosbags-convert"),
        (["{bag}", "--image-topic", "/nowhere"], "image topics of this bag: /camera/image_raw"),
        (["{bag}", "--image-topic", "/camera/camera_info"], "got sensor_msgs/msg/CameraInfo"),
        (["{bag}", "--weights", "nowhere.bin"], "no weights 'nowhere.bin'"),
    ],
)
def test_mistakes_are_answered_in_a_line(arguments, expected, bag, tmp_path, capsys):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    given = [argument.format(bag=bag, here=tmp_path) for argument in arguments]
    assert main(["bag", given[0], str(tmp_path / "out"), *given[1:]]) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
