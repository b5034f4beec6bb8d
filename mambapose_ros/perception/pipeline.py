"""One frame's way from pixels to people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.device import resolve_device
from mambapose_ros.perception.flow import FlowEstimator, make_flow
from mambapose_ros.perception.keypoints import KeypointDetector, make_detector
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.types import Frame, FrameResult, LiftedFrame, PersonKeypoints

MAX_GAP_S = 1.0
"""Longest time between two images that still counts as one movement."""


@dataclass(frozen=True)
class PipelineOptions:
    """Which stages a pipeline has.

    Attributes:
        detector: 2D front end, a key of ``keypoints.DETECTORS``.
        flow: optical flow, as ``make_flow``.
        max_people: people to follow; the most confident ones when there are more.
        weights: name or file of a PoseMamba checkpoint to lift with; empty = results have no skeletons.
        window: frames that the lifter sees.
        lookahead: frames that skeletons lie back.
        flip_average: average over the mirror image when lifting; somewhat more accurate, at twice the cost.
        device: where networks run, one of ``device.DEVICES``.
        threads: of networks on the CPU. One is steady; more are faster on idle cores and far slower on busy ones,
            since every operation waits for its slowest thread.
    """

    detector: str = "mediapipe"
    flow: str = "dis"
    max_people: int = 4
    weights: str = ""
    window: int = 27
    lookahead: int = 0
    flip_average: bool = False
    device: str = "auto"
    threads: int = 1

    @classmethod
    def pick(cls, values: Mapping[str, Any]) -> PipelineOptions:
        """The options among values that have more in them."""
        return cls(**{option.name: values[option.name] for option in fields(cls)})


class SkeletonLifter(Protocol):
    """Turns the people of one image, and what it remembers of them, into 3D.

    Attributes:
        description: what it runs on, and where its metres come from, in one line.
    """

    description: str

    def __call__(self, frame: Frame, people: Sequence[PersonKeypoints], flow: np.ndarray | None) -> LiftedFrame | None:
        """The people of this frame in space or, looking ahead, of an earlier one; None while there is no such frame."""

    def reset(self) -> None:
        """Forget earlier images: what comes next does not follow them."""


class Pipeline:
    """Keypoints, flow, ids and, with a lifter, skeletons: frame by frame, in the order they were taken.

    Args:
        detector: finds people.
        flow: estimates optical flow; None = no flow.
        lifter: lifts to 3D; None = results have no skeletons.
        tracker: gives ids.
    """

    def __init__(
        self,
        detector: KeypointDetector,
        flow: FlowEstimator | None = None,
        lifter: SkeletonLifter | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self._detector = detector
        self._flow = flow
        self._lifter = lifter
        self._tracker = tracker or Tracker()
        self._last: _Shot | None = None

    @classmethod
    def create(cls, options: PipelineOptions | None = None) -> Pipeline:
        """The pipeline of these options; the default ones need neither a download nor a GPU.

        Raises:
            ValueError: for unknown names, or a window that the network does not take.
            UserError: when what was asked for is not on this machine: a front end, weights, a GPU.
        """
        options = options or PipelineOptions()
        lifter = _make_lifter(options) if options.weights else None
        detector, flow = make_detector(options.detector), make_flow(options.flow)
        return cls(detector, flow, lifter, Tracker(max_people=options.max_people))

    def __call__(self, frame: Frame) -> FrameResult:
        """Find the people in the next frame.

        A frame that does not follow the last one (``discontinuity``) starts anew: nothing remembered is used, and
        people get new ids.
        """
        reset_reason = discontinuity(self._last, frame)
        if reset_reason:
            self.reset()
        self._last = _Shot(frame.stamp_ns, frame.camera)

        stage_ms: dict[str, float] = {}
        with _timed(stage_ms, "keypoints"):
            found = self._detector(frame.image)
        flow = None
        if self._flow is not None:
            with _timed(stage_ms, "flow"):
                flow = self._flow(frame.image)
        with _timed(stage_ms, "tracker"):
            people = self._tracker(frame.stamp_ns, found)
        lifted = None
        if self._lifter is not None:
            with _timed(stage_ms, "lifter"):
                lifted = self._lifter(frame, people, flow)
        return FrameResult(
            frame=frame,
            keypoints=people,
            flow=flow,
            lifted=lifted,
            reset_reason=reset_reason,
            stage_ms=stage_ms,
        )

    @property
    def description(self) -> dict[str, str]:
        """What runs where, for logs and diagnostics."""
        if self._lifter is None:
            return {"lifter": "none: no weights given, so there are keypoints and no skeletons"}
        return {"lifter": self._lifter.description}

    def reset(self) -> None:
        """Forget everything seen; ids go on counting."""
        self._last = None
        for stage in (self._detector, self._flow, self._tracker, self._lifter):
            if stage is not None:
                stage.reset()

    def close(self) -> None:
        """Give back what the stages hold; the pipeline is not used again."""
        self._detector.close()


def _make_lifter(options: PipelineOptions) -> SkeletonLifter:
    # torch takes a second to import, so only where it is needed.
    import torch

    from mambapose_ros.models import load_official_checkpoint
    from mambapose_ros.perception.lifter import Lifter, OfficialPoseMamba
    from mambapose_ros.weights import locate

    if options.threads < 1:
        raise ValueError(f"expected threads of 1 or more, got {options.threads}")
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device, torch.cuda.is_available())
    model = load_official_checkpoint(locate(options.weights))
    return Lifter(OfficialPoseMamba(model, options.flip_average, device), options.window, options.lookahead)


@dataclass(frozen=True)
class _Shot:
    """What is remembered of a frame to tell whether the next one follows it."""

    stamp_ns: int
    camera: Camera


def discontinuity(previous: _Shot | Frame | None, frame: Frame) -> str:
    """Why a frame does not continue the previous one; empty when it does or is the first."""
    if previous is None:
        return ""
    if frame.stamp_ns == previous.stamp_ns:
        return "stamp repeated"
    if frame.stamp_ns < previous.stamp_ns:
        return "stamp ran backwards"
    if frame.stamp_ns - previous.stamp_ns > MAX_GAP_S * 1e9:
        return "gap between stamps"
    # Other intrinsics for the same pixels, as when the first CameraInfo comes late, interrupt nothing.
    if (frame.camera.width, frame.camera.height) != (previous.camera.width, previous.camera.height):
        return "image size changed"
    return ""


@contextmanager
def _timed(stage_ms: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stage_ms[stage] = (time.perf_counter() - start) * 1e3
