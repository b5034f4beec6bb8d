import itertools

import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.perception.keypoints import DetectorUnavailable, make_detector
from mambapose_ros.perception.pipeline import discontinuity
from mambapose_ros.sources import open_source
from mambapose_ros.types import Frame, LiftedFrame, PersonKeypoints, Skeleton3D

SECOND = 1_000_000_000


class FixedDetector:
    """Sees the same person in every image."""

    def __init__(self) -> None:
        self.resets = 0

    def __call__(self, image):
        return (PersonKeypoints(np.linspace(10, 50, 34).reshape(17, 2), np.ones(17)),)

    def reset(self):
        self.resets += 1

    def close(self):
        pass


class RecordingLifter:
    description = "recording"

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    def __call__(self, frame, people, flow):
        self.seen.append(tuple(person.id for person in people))
        skeletons = (Skeleton3D(person.id, np.zeros((17, 3)), np.ones(17), "none") for person in people)
        return LiftedFrame(frame.stamp_ns, frame.frame_id, frame.camera, tuple(people), tuple(skeletons))

    def reset(self):
        self.seen.append(("reset",))


def frame_at(stamp_ns: int) -> Frame:
    return Frame(stamp_ns, "cam", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48))


@pytest.mark.parametrize(
    ("previous", "current", "reason"),
    [
        (None, 5, ""),
        (0, SECOND // 30, ""),
        (0, SECOND, ""),
        (5, 5, "stamp repeated"),
        (5, 4, "stamp ran backwards"),
        (0, SECOND + 1, "gap between stamps"),
    ],
)
def test_discontinuities_have_names(previous, current, reason):
    assert discontinuity(None if previous is None else frame_at(previous), frame_at(current)) == reason


def test_another_image_size_starts_anew():
    pipeline = Pipeline(FixedDetector(), lifter=RecordingLifter())
    pipeline(frame_at(0))
    other = Frame(33_000_000, "cam", np.zeros((24, 32, 3), np.uint8), Camera.from_fov(32, 24))
    result = pipeline(other)
    assert result.reset_reason == "image size changed"
    assert result.keypoints[0].id == "p2"


def test_intrinsics_that_come_late_change_nobodys_id():
    pipeline = Pipeline(FixedDetector(), lifter=RecordingLifter())
    pipeline(Frame(0, "cam", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48, assumed=True)))
    result = pipeline(Frame(33_000_000, "cam", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48, 1.2)))
    assert result.reset_reason == ""
    assert result.keypoints[0].id == "p1"


def test_ids_stay_while_time_runs_on_and_are_new_after_a_jump():
    detector, lifter = FixedDetector(), RecordingLifter()
    pipeline = Pipeline(detector, lifter=lifter)
    stamps = [0, 33_000_000, 33_000_000, 10_000_000, 20_000_000, 5 * SECOND]
    results = [pipeline(frame_at(stamp)) for stamp in stamps]
    assert [result.keypoints[0].id for result in results] == ["p1", "p1", "p2", "p3", "p3", "p4"]
    reasons = ["", "", "stamp repeated", "stamp ran backwards", "", "gap between stamps"]
    assert [result.reset_reason for result in results] == reasons
    assert detector.resets == 3
    reset = ("reset",)
    assert lifter.seen == [("p1",), ("p1",), reset, ("p2",), reset, ("p3",), ("p3",), reset, ("p4",)]
    assert [skeleton.id for skeleton in results[0].lifted.skeletons] == ["p1"]


def test_stages_are_timed_and_may_be_left_out():
    result = Pipeline(FixedDetector())(frame_at(0))
    assert result.flow is None
    assert result.lifted is None
    assert set(result.stage_ms) == {"keypoints", "tracker"}


@pytest.mark.parametrize(("name", "what"), [("detector", "mediapipe"), ("flow", "dis")])
def test_unknown_stages_are_refused_with_the_known_ones(name, what):
    with pytest.raises(ValueError, match=what):
        Pipeline.create(PipelineOptions(**{name: "magic"}))


def test_a_front_end_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(DetectorUnavailable, match=r"Python 3\.10-3\.12"):
        make_detector("mediapipe")


def test_the_default_pipeline_follows_a_synthetic_person():
    pipeline = Pipeline.create()
    errors = []
    for source_frame in itertools.islice(open_source("synthetic:wave"), 20):
        result = pipeline(source_frame.frame)
        assert [person.id for person in result.keypoints] == ["p1"]
        truth = source_frame.truth.keypoints[0]
        height = np.ptp(truth[:, 1])
        errors.append(np.linalg.norm(result.keypoints[0].xy - truth, axis=1) / height)
    pipeline.close()
    assert np.median(errors) < 0.05
    assert result.flow.shape == (480, 640, 2)
    assert set(result.stage_ms) == {"keypoints", "flow", "tracker"}
