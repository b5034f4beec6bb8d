import itertools
import sys
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tiny_lifter import WINDOW, save_tiny_lifter
from torchvision.models import optical_flow

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import Camera
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.perception.depth import make_depth
from mambapose_ros.perception.flow import make_flow
from mambapose_ros.perception.keypoints import DetectorUnavailable, make_detector
from mambapose_ros.perception.pipeline import LIVE_OPTIONS
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.sources import open_source
from mambapose_ros.types import Frame, LiftedFrame, PersonKeypoints, Skeleton3D

SECOND = 1_000_000_000


class FixedDetector:
    """Sees the same person in every image."""

    def __init__(self) -> None:
        self.resets, self.closed = 0, False

    def __call__(self, frame):
        return (PersonKeypoints(np.linspace(10, 50, 34).reshape(17, 2), np.ones(17)),)

    def reset(self):
        self.resets += 1

    def close(self):
        self.closed = True


class RecordingLifter:
    description = "recording"

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []
        self.given: list[tuple] = []

    def __call__(self, frame, people, flow, depth):
        self.seen.append(tuple(person.id for person in people))
        self.given.append((flow, depth))
        skeletons = (Skeleton3D(person.id, np.zeros((17, 3)), np.ones(17), "none") for person in people)
        return LiftedFrame(frame.stamp_ns, frame.frame_id, frame.camera, tuple(people), tuple(skeletons))

    def observe(self, frame, people, flow, depth):
        self.seen.append(("observed", *(person.id for person in people)))

    def flush(self):
        return ("the rest",)

    def reset(self):
        self.seen.append(("reset",))


def frame_at(stamp_ns: int, depth: np.ndarray | None = None) -> Frame:
    return Frame(stamp_ns, "cam", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48), depth)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(save_tiny_lifter(tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


@pytest.mark.parametrize("stamp_ns", [33_000_000, 1_500_000_000])  # of a driver that was set up anew, after a gap
def test_another_image_size_starts_anew(stamp_ns):
    pipeline = Pipeline(FixedDetector(), lifter=RecordingLifter())
    pipeline(frame_at(0))
    other = Frame(stamp_ns, "cam", np.zeros((24, 32, 3), np.uint8), Camera.from_fov(32, 24))
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
    of_before = "p3"  # lost, so that whoever shows people knows
    assert lifter.seen == [("p1",), ("p1",), reset, ("p2",), reset, ("p3",), ("p3",), reset, ("p4", of_before)]
    assert [skeleton.id for skeleton in results[0].lifted.skeletons] == ["p1"]


def test_who_is_back_after_a_gap_that_the_tracker_bridges_keeps_the_id():
    detector, lifter = FixedDetector(), RecordingLifter()
    pipeline = Pipeline(detector, lifter=lifter, tracker=Tracker(timeout=2.0))
    results = [pipeline(frame_at(stamp)) for stamp in (0, 33_000_000, 1_533_000_000)]  # as a busy machine leaves
    assert results[2].reset_reason == "gap between stamps"
    assert [result.keypoints[0].id for result in results] == ["p1", "p1", "p1"]
    assert lifter.seen[-2:] == [("reset",), ("p1",)]  # what was seen before the gap is not lifted with it
    assert detector.resets == 1
    pipeline.reset()
    assert pipeline(frame_at(1_566_000_000)).keypoints[0].id == "p2"


def test_stages_are_timed_and_may_be_left_out():
    result = Pipeline(FixedDetector())(frame_at(0))
    assert result.flow is None
    assert result.lifted is None
    assert set(result.stage_ms) == {"keypoints", "tracker"}


def test_who_is_not_to_be_lifted_is_remembered():
    lifter = RecordingLifter()
    pipeline = Pipeline(FixedDetector(), lifter=lifter)
    assert pipeline(frame_at(0), lift=False).lifted is None
    assert pipeline(frame_at(33_000_000)).lifted.skeletons
    assert lifter.seen == [("observed", "p1"), ("p1",)]


def test_depth_is_estimated_to_lift_and_for_nothing_else():
    pipeline = Pipeline(FixedDetector(), lifter=RecordingLifter(), depth=make_depth("sensor"))
    depth_image = np.ones((48, 64), np.float32)
    keypoints_only = pipeline(frame_at(0, depth_image), lift=False)
    assert keypoints_only.depth is None
    assert "depth" not in keypoints_only.stage_ms
    assert pipeline(frame_at(33_000_000, depth_image)).depth is not None


def test_flow_and_depth_are_estimated_while_the_detector_works():
    meeting = threading.Barrier(2, timeout=10.0)  # breaks unless both are there

    class Detector(FixedDetector):
        def __call__(self, frame):
            meeting.wait()  # for the flow
            meeting.wait()  # for the depth
            return super().__call__(frame)

    class Estimator:
        def __call__(self, image_or_frame):
            meeting.wait()

        def reset(self):
            pass

    pipeline = Pipeline(Detector(), flow=Estimator(), depth=Estimator())
    assert set(pipeline(frame_at(0)).stage_ms) == {"keypoints", "flow", "depth", "tracker"}
    pipeline.close()


@pytest.mark.parametrize("failing", ["detector", "flow", "depth"])
def test_a_failure_comes_as_it_is_and_flow_goes_on_from_the_next_image(failing):
    error = RuntimeError("CUDA error: out of memory")
    stages = {"detector": FixedDetector(), "flow": make_flow("dis"), "depth": make_depth("sensor")}
    pipeline = Pipeline(**stages)
    pipeline(frame_at(0))

    class Failing(FixedDetector):
        def __call__(self, frame):
            raise error

    setattr(pipeline, f"_{failing}", Failing())
    with pytest.raises(RuntimeError) as raised:
        pipeline(frame_at(33_000_000))
    assert raised.value is error
    setattr(pipeline, f"_{failing}", stages[failing])
    if failing != "flow":
        # The image that failed is not the one that the tracker saw last.
        assert pipeline(frame_at(66_000_000)).flow is None
    else:
        pipeline(frame_at(66_000_000))
    assert pipeline(frame_at(99_000_000)).flow is not None


def test_no_thread_is_left_of_a_pipeline_that_is_closed():
    options, before = PipelineOptions(detector="ground_truth", weights=""), set(threading.enumerate())
    pipeline = Pipeline.create(options)
    for index in range(2):
        pipeline(replace(frame_at(index), people=()))
        assert len(set(threading.enumerate()) - before) == 1
        pipeline.remake(options)
        assert set(threading.enumerate()) <= before
    pipeline(replace(frame_at(2), people=()))
    pipeline.close()
    assert set(threading.enumerate()) <= before


def test_depth_is_a_stage_and_reaches_the_lifter():
    lifter = RecordingLifter()
    pipeline = Pipeline(FixedDetector(), lifter=lifter, depth=make_depth("sensor"))
    measured = np.full((48, 64), 2.0, np.float32)
    result = pipeline(frame_at(0, measured))
    assert set(result.stage_ms) == {"keypoints", "depth", "tracker", "lifter"}
    assert result.depth.metric
    assert result.depth.values is measured
    assert lifter.given == [(None, result.depth)]
    assert pipeline(frame_at(33_000_000)).depth is None


def test_what_a_lifter_owes_at_the_end_is_handed_over():
    assert Pipeline(FixedDetector(), lifter=RecordingLifter()).flush() == ("the rest",)
    assert Pipeline(FixedDetector()).flush() == ()


def test_flow_and_depth_are_turned_on_and_off_between_frames_and_nobody_is_forgotten():
    lifter = RecordingLifter()
    pipeline = Pipeline(FixedDetector(), flow=make_flow("dis"), lifter=lifter)
    options = PipelineOptions()
    changes = {3: ("flow", "off"), 6: ("depth", "sensor"), 9: ("flow", "dis"), 12: ("depth", "off")}
    seen = []
    for i in range(15):
        if i in changes:
            pipeline.prepare(*changes[i], options)()
        result = pipeline(frame_at(i * 33_000_000, np.ones((48, 64), np.float32)))
        seen.append((result.flow is not None, result.depth is not None))
        assert [person.id for person in result.keypoints] == ["p1"]
    # After it is turned on, flow needs one image more.
    assert seen == [
        *[(False, False), (True, False), (True, False)],
        *[(False, False)] * 3,
        *[(False, True)] * 3,
        *[(False, True), (True, True), (True, True)],
        *[(True, False)] * 3,
    ]
    assert [(flow is not None, depth is not None) for flow, depth in lifter.given] == seen


def test_how_many_are_followed_may_change_between_frames():
    class Crowd(FixedDetector):
        def __call__(self, frame):
            xy = np.linspace(10, 30, 34).reshape(17, 2)
            return tuple(PersonKeypoints(xy + (30 * i, 0), np.full(17, 0.9)) for i in range(3))

    pipeline = Pipeline(Crowd())
    assert len(pipeline(frame_at(0)).keypoints) == 3
    old, crowd = pipeline._detector, Crowd()
    change = pipeline.prepare("max_people", 2, PipelineOptions())
    assert not old.closed
    change()
    assert old.closed
    pipeline._detector.close()
    pipeline._detector = crowd
    seen = [person.id for person in pipeline(frame_at(33_000_000)).keypoints if person.state != "lost"]
    assert seen == ["p1", "p2"]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("flow", "magic", "dis"),
        ("depth", "magic", "sensor"),
        ("max_people", 0, "1 or more"),
        ("window", 9, ", ".join(LIVE_OPTIONS)),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_and_nothing_changes(option, value, expected):
    pipeline = Pipeline(FixedDetector(), flow=make_flow("dis"))
    with pytest.raises(ValueError, match=expected):
        pipeline.prepare(option, value, PipelineOptions())
    pipeline(frame_at(0))
    assert pipeline(frame_at(33_000_000)).flow is not None


@pytest.mark.parametrize(("name", "what"), [("detector", "mediapipe"), ("flow", "dis"), ("depth", "sensor")])
def test_unknown_stages_are_refused_with_the_known_ones(name, what):
    with pytest.raises(ValueError, match=what):
        Pipeline.create(PipelineOptions(weights="", **{name: "magic"}))


@pytest.mark.parametrize(
    "options",
    [
        {"detector": "vitpose", "detector_weights": "nowhere"},
        {"detector": "keypoint_rcnn", "detector_weights": "nowhere"},
        {"detector": "vitpose", "detector_weights": ".", "finder_weights": "nowhere"},
        {"detector": "external", "flow": "raft_large", "flow_weights": "nowhere"},
        {"detector": "external", "depth": "depth_anything_v2_small", "depth_weights": "nowhere"},
    ],
)
def test_every_network_is_loaded_from_the_path_that_is_given(options):
    with pytest.raises(UserError, match="no weights 'nowhere'"):
        Pipeline.create(PipelineOptions(weights="", **options))


def test_width_and_updates_of_the_flow_are_those_asked_for(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "raft_small.pth"
    torch.save(optical_flow.raft_small(weights=None).state_dict(), file)
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (144, 160, 3), dtype=np.uint8), (0, 0), 2.0)
    images = (texture, np.roll(texture, (3, 5), axis=(0, 1)))
    asked = {"flow_weights": str(file), "flow_width": 144, "flow_updates": 2}
    pipeline = Pipeline(FixedDetector())
    flows = []
    for other in ({}, {"flow_width": 160}, {"flow_updates": 1}):
        pipeline.prepare("flow", "raft_small", PipelineOptions(**{**asked, **other}))()
        pipeline.reset()
        for index, image in enumerate(images):
            result = pipeline(Frame(index * 33_000_000, "cam", image, Camera.from_fov(160, 144)))
        flows.append(result.flow)
    expected = make_flow("raft_small", weights=str(file), width=144, updates=2)
    expected(images[0])
    np.testing.assert_array_equal(flows[0], expected(images[1]))
    assert flows[0].shape == (144, 160, 2)
    assert all(np.abs(flow - flows[0]).max() > 1e-3 for flow in flows[1:])


def test_weights_that_are_not_there_are_named():
    with pytest.raises(UserError, match=r"nowhere\.bin"):
        Pipeline.create(PipelineOptions(weights="nowhere.bin"))


def test_a_front_end_that_is_not_installed_says_so(monkeypatch):
    for loaded in [name for name in sys.modules if name.startswith("mediapipe.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(DetectorUnavailable, match=r"Python 3\.10-3\.12"):
        make_detector("mediapipe")


@pytest.mark.parametrize("lookahead", [0, 3])
def test_the_default_pipeline_follows_and_lifts_a_synthetic_person(weights, lookahead):
    options = PipelineOptions(weights=weights, window=WINDOW, lookahead=lookahead, device="cpu")
    pipeline = Pipeline.create(options)
    errors, lifted, truth = [], [], {}
    for source_frame in itertools.islice(open_source("synthetic:wave"), 20):
        result = pipeline(source_frame.frame)
        assert [person.id for person in result.keypoints] == ["p1"]
        expected = source_frame.truth.keypoints[0]
        errors.append(np.linalg.norm(result.keypoints[0].xy - expected, axis=1) / np.ptp(expected[:, 1]))
        truth[source_frame.frame.stamp_ns] = source_frame.truth.joints[0]
        lifted += [result.lifted] if result.lifted else []
    lifted += pipeline.flush()
    pipeline.close()
    assert np.median(errors) < 0.05
    assert result.flow.shape == (480, 640, 2)
    assert set(result.stage_ms) == {"keypoints", "flow", "tracker", "lifter"}
    assert [moment.stamp_ns for moment in lifted] == list(truth)
    # The tiny lifter knows little of poses, but where a person is follows from the rays.
    for moment in lifted[5:]:
        (skeleton,) = moment.skeletons
        assert skeleton.scale_source == "learned"
        assert np.linalg.norm(skeleton.joints - truth[moment.stamp_ns], axis=1).mean() < 1.0


def test_a_pipeline_whose_stages_could_not_be_made_again_says_so():
    pipeline = Pipeline.create(PipelineOptions(detector="ground_truth", flow="off", weights=""))
    with pytest.raises(ValueError, match="magic"):
        pipeline.remake(PipelineOptions(detector="ground_truth", flow="magic", weights=""))
    with pytest.raises(ValueError, match="the pipeline is closed: make another one"):
        pipeline(frame_at(0))
    pipeline.close()


def test_a_tracker_goes_on_counting_in_the_next_pipeline():
    tracker, options = Tracker(), PipelineOptions(detector="ground_truth", flow="off", weights="")
    ids = []
    for index in range(2):
        frame = replace(frame_at(index), people=FixedDetector()(None))
        ids += [found.id for found in Pipeline.create(options, tracker)(frame).keypoints]
    assert ids == ["p1", "p2"]
