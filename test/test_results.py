import json
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.results import ResultWriter, VideoWriter
from mambapose_ros.skeleton import JOINT_NAMES
from mambapose_ros.types import Frame, FrameResult, LiftedFrame, PersonKeypoints, Skeleton3D


def result_of(stamp_ns: int, ids: tuple[str, ...], lifted: tuple[str, ...] = ()) -> FrameResult:
    frame = Frame(stamp_ns, "cam", np.full((48, 64, 3), 90, np.uint8), Camera.from_fov(64, 48))
    xy = np.linspace(5, 40, 34).reshape(17, 2)
    people = tuple(PersonKeypoints(xy + i, np.full(17, 0.5), name) for i, name in enumerate(ids))
    skeletons = tuple(Skeleton3D(name, np.full((17, 3), 2.0), np.full(17, 0.75), "learned") for name in lifted)
    return FrameResult(
        frame, people, None, LiftedFrame(stamp_ns, "cam", frame.camera, people, skeletons), stage_ms={"keypoints": 10.0}
    )


def test_one_row_per_person_and_frame(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    writer.add(result_of(0, ("p1", "p2"), lifted=("p2",)))
    writer.add(result_of(33_000_000, ()))
    writer.add(result_of(66_000_000, ("p2",)))
    summary = writer.close(source="test")

    written = np.load(tmp_path / "skeletons.npz")
    assert written["frame"].tolist() == [0, 0, 2]
    assert written["stamp_ns"].tolist() == [0, 0, 66_000_000]
    assert written["id"].tolist() == ["p1", "p2", "p2"]
    assert tuple(written["joint_names"]) == JOINT_NAMES
    assert written["joints"].shape == (3, 17, 3)
    assert np.isnan(written["joints"][[0, 2]]).all()  # nobody lifted these
    np.testing.assert_array_equal(written["joints"][1], 2.0)
    np.testing.assert_array_equal(written["confidence"][:, 0], [0.5, 0.75, 0.5])
    np.testing.assert_allclose(written["keypoints"][1, 0], [6.0, 7.0606, 0.5], atol=1e-3)
    assert np.isnan(written["velocity"]).all()
    assert np.isnan(written["deviation"]).all()

    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames"] == 3
    assert summary["people"] == 2
    assert summary["frames_with_people"] == 2
    assert summary["scale_sources"] == ["learned", "none"]
    assert summary["stage_ms_median"] == {"keypoints": 10.0}

    capture = cv2.VideoCapture(str(tmp_path / "annotated.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(30.0)


def test_skeletons_of_a_frame_that_was_not_added_are_left_out(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    writer.add(result_of(0, ("p1",)))
    for stamp_ns in (0, 33_000_000):
        writer.add_lifted(result_of(stamp_ns, ("p1",), lifted=("p1", "p2")).lifted)
    writer.close()
    written = np.load(tmp_path / "skeletons.npz")
    assert written["id"].tolist() == ["p1"]
    np.testing.assert_array_equal(written["joints"], 2.0)


def test_people_with_the_same_stamp_keep_their_own_rows(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    writer.add(result_of(0, ("p1",), lifted=("p1",)))
    writer.add(result_of(0, ("p2", "p3"), lifted=("p3",)))
    summary = writer.close()
    written = np.load(tmp_path / "skeletons.npz")
    assert written["frame"].tolist() == [0, 1, 1]
    assert written["id"].tolist() == ["p1", "p2", "p3"]
    assert np.isfinite(written["joints"]).all(axis=(1, 2)).tolist() == [True, False, True]
    assert (summary["frames_with_people"], summary["rows_with_joints"]) == (2, 2)


def test_the_file_has_the_types_that_are_documented(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    writer.add(result_of(0, ("p1", "person 10")))
    writer.close()
    written = np.load(tmp_path / "skeletons.npz")
    assert {name: written[name].dtype.str for name in written.files if name != "joint_names"} == {
        "frame": "<i8",
        "stamp_ns": "<i8",
        "id": "<U9",
        "joints": "<f4",
        "confidence": "<f4",
        "keypoints": "<f4",
        "velocity": "<f4",
        "deviation": "<f4",
    }


def test_rows_take_about_a_kilobyte(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoWriter, "write", lambda self, image: None)
    writer = ResultWriter(tmp_path, rate=30.0)
    people, frames = ("p1", "p2", "p3", "p4"), 100
    tracemalloc.start()
    try:
        for index in range(frames):
            writer.add(result_of(index * 33_000_000, people, lifted=people))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / (frames * len(people)) < 1200


def test_a_run_without_people_writes_empty_columns(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    writer.add(result_of(0, ()))
    writer.close()
    written = np.load(tmp_path / "skeletons.npz")
    assert written["joints"].shape == (0, 17, 3)
    assert written["keypoints"].shape == (0, 17, 3)
    assert written["id"].shape == (0,)


def test_skeletons_of_an_earlier_frame_join_its_row(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    first, second = result_of(0, ("p1",), lifted=("p1",)), result_of(33_000_000, ("p1",))
    writer.add(replace(first, lifted=None))
    writer.add(replace(second, lifted=first.lifted))
    writer.close()
    joints = np.load(tmp_path / "skeletons.npz")["joints"]
    np.testing.assert_array_equal(joints[0], 2.0)
    assert np.isnan(joints[1]).all()


def test_frames_lifted_after_the_last_one_join_their_rows(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    first = result_of(0, ("p1",), lifted=("p1",))
    writer.add(replace(first, lifted=None))
    covariance, velocity = np.repeat(0.04 * np.eye(3)[None], 17, axis=0), np.full((17, 3), 1.5)
    skeleton = replace(first.lifted.skeletons[0], covariance=covariance, velocity=velocity)
    writer.add_lifted(replace(first.lifted, skeletons=(skeleton,)))
    writer.close()
    written = np.load(tmp_path / "skeletons.npz")
    np.testing.assert_array_equal(written["joints"][0], 2.0)
    np.testing.assert_array_equal(written["velocity"][0], 1.5)
    np.testing.assert_allclose(written["deviation"][0], 0.2, rtol=1e-6)


def test_people_who_are_lost_have_no_row(tmp_path):
    writer = ResultWriter(tmp_path, rate=30.0)
    result = result_of(0, ("p1", "p2"), lifted=("p1", "p2"))
    people = (result.keypoints[0], replace(result.keypoints[1], state="lost"))
    skeletons = (result.lifted.skeletons[0], replace(result.lifted.skeletons[1], state="lost"))
    writer.add(replace(result, keypoints=people, lifted=replace(result.lifted, skeletons=skeletons)))
    writer.close()
    assert np.load(tmp_path / "skeletons.npz")["id"].tolist() == ["p1"]


def test_images_of_odd_and_changing_sizes_all_reach_the_video(tmp_path):
    video = VideoWriter(tmp_path / "video.mp4", 30.0)
    for width, height in ((65, 49), (65, 49), (32, 24)):
        video.write(np.zeros((height, width, 3), np.uint8))
    video.close()
    assert cv2.VideoCapture(str(tmp_path / "video.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
