"""One frame's way from pixels to people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from mambapose_ros.perception.continuity import Shot, discontinuity, loses_people
from mambapose_ros.perception.depth import DepthEstimator, make_depth
from mambapose_ros.perception.device import resolve_device
from mambapose_ros.perception.flow import FlowEstimator, make_flow
from mambapose_ros.perception.keypoints import KeypointDetector, make_detector
from mambapose_ros.perception.side_by_side import SideBySide
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.types import DepthMap, Frame, FrameResult, LiftedFrame, PersonKeypoints


@dataclass(frozen=True)
class PipelineOptions:
    """Which stages a pipeline has.

    Attributes:
        detector: 2D front end, a key of ``keypoints.DETECTORS``.
        detector_weights: name, file or folder of the detector's network, of those that have one to choose; empty = what
            ``mambapose download`` fetched, here and below.
        finder_weights: likewise of the network that finds people for vitpose.
        flow: optical flow, a key of ``flow.FLOWS``.
        flow_weights: file of RAFT's parameters.
        flow_width: pixels that images are scaled down to for flow; 0 = 640, or for RAFT on a CPU 320.
        flow_updates: refinements of RAFT's flow; 0 = 12, or on a CPU 4.
        depth: a key of ``depth.DEPTHS``.
        depth_weights: folder of the depth network.
        depth_side: pixels that images are scaled to for the depth network, as in ``depth.DepthAnything``; 0 = 518, or
            on a CPU 252.
        max_people: people to follow; the most confident ones when there are more.
        weights: name or file of MambaPose weights, or of a published PoseMamba checkpoint, to lift with; "auto" = as
            ``weights.lifter_for``; empty = results have no skeletons.
        window: frames that the lifter sees.
        lookahead: frames that skeletons lie back.
        flip_average: average over the mirror image when lifting; somewhat more accurate, at twice the cost.
        device: where networks run, one of ``device.DEVICES``.
        threads: of networks on the CPU. One is steady; more are faster on idle cores and far slower on busy ones,
            since every operation waits for its slowest thread.
    """

    detector: str = "mediapipe"
    detector_weights: str = ""
    finder_weights: str = ""
    flow: str = "dis"
    flow_weights: str = ""
    flow_width: int = 0
    flow_updates: int = 0
    depth: str = "off"
    depth_weights: str = ""
    depth_side: int = 0
    max_people: int = 4
    weights: str = "auto"
    window: int = 27
    lookahead: int = 0
    flip_average: bool = False
    device: str = "auto"
    threads: int = 1

    @classmethod
    def pick(cls, values: Mapping[str, Any]) -> PipelineOptions:
        """The options among values that have more in them."""
        return cls(**{option.name: values[option.name] for option in fields(cls)})


LIVE_OPTIONS = ("flow", "depth", "max_people")
"""Options that may change between two frames."""


class SkeletonLifter(Protocol):
    """Turns the people of one image, and what it remembers of them, into 3D.

    Attributes:
        description: what it runs on, and where its metres come from, in one line.
    """

    description: str

    def __call__(
        self, frame: Frame, people: Sequence[PersonKeypoints], flow: np.ndarray | None, depth: DepthMap | None
    ) -> LiftedFrame | None:
        """The people of this frame in space or, looking ahead, of an earlier one; None while there is no such frame."""

    def observe(
        self, frame: Frame, people: Sequence[PersonKeypoints], flow: np.ndarray | None, depth: DepthMap | None
    ) -> None:
        """Remember them, as a call does, without lifting."""

    def flush(self) -> tuple[LiftedFrame, ...]:
        """The frames that are still owed when no more come, oldest first."""

    def reset(self) -> None:
        """Forget earlier images: what comes next does not follow them."""


class Pipeline:
    """Keypoints, flow, depth, ids and, with a lifter, skeletons: frame by frame, in the order they were taken.

    Flow and depth are estimated in a second thread while the detector looks for people; results do not depend on it.

    Args:
        detector: finds people.
        flow: estimates optical flow; None = no flow.
        lifter: lifts to 3D; None = results have no skeletons.
        tracker: gives ids.
        depth: estimates depth; None = no depth.

    Attributes:
        description: what runs where, for logs and diagnostics.
    """

    def __init__(
        self,
        detector: KeypointDetector,
        flow: FlowEstimator | None = None,
        lifter: SkeletonLifter | None = None,
        tracker: Tracker | None = None,
        depth: DepthEstimator | None = None,
    ) -> None:
        self._detector = detector
        self._flow = flow
        self._depth = depth
        self._lifter = lifter
        self._tracker = tracker or Tracker()
        self._side_by_side = SideBySide()
        self._last: Shot | None = None
        self._closed = False
        self.description = _describe(lifter)

    @classmethod
    def create(cls, options: PipelineOptions | None = None, tracker: Tracker | None = None) -> Pipeline:
        """The pipeline of these options; the default ones need neither a download nor a GPU.

        Args:
            options: which stages it has.
            tracker: gives ids, and goes on counting where it was; None = a new one.

        Raises:
            ValueError: for unknown names, or a window that the network does not take.
            UserError: when what was asked for is not on this machine: a front end, weights, a GPU.
        """
        options = options or PipelineOptions()
        device = prepare_torch(options)
        tracker = tracker or Tracker()
        tracker.reset()
        tracker.max_people = options.max_people
        # The detector last: nobody would close it if another stage could not be made.
        return cls(
            lifter=_make_lifter(options, device) if options.weights else None,
            flow=_make_flow(options, device),
            depth=_make_depth(options, device),
            detector=_make_detector(options, device),
            tracker=tracker,
        )

    def __call__(self, frame: Frame, lift: bool = True) -> FrameResult:
        """Find the people in the next frame.

        A frame that does not follow the last one (``discontinuity``) starts anew: nothing remembered is used, and
        people get new ids, unless they are back after a gap that is shorter than the tracker's timeout.

        Args:
            frame: that was taken after the last one.
            lift: False = nobody wants to know where in space they are now; depth, which a network takes long for, is
                left out, keypoints and flow are remembered all the same.

        Raises:
            ValueError: when it is closed, as after ``remake`` failed.
        """
        if self._closed:
            raise ValueError("the pipeline is closed: make another one (of a node: clean up, configure)")
        reset_reason = discontinuity(self._last, frame)
        if reset_reason:
            self._forget_images()
        if loses_people(reset_reason):
            self._tracker.reset()
        self._last = Shot(frame.stamp_ns, frame.camera)

        stage_ms: dict[str, float] = {}
        found, flow, depth = self._look(frame, lift, stage_ms)
        with _timed(stage_ms, "tracker"):
            people = self._tracker(frame.stamp_ns, found, flow)
        lifted = None
        if self._lifter is not None:
            with _timed(stage_ms, "lifter"):
                if lift:
                    lifted = self._lifter(frame, people, flow, depth)
                else:
                    self._lifter.observe(frame, people, flow, depth)
        return FrameResult(
            frame=frame,
            keypoints=people,
            flow=flow,
            lifted=lifted,
            depth=depth,
            reset_reason=reset_reason,
            stage_ms=stage_ms,
        )

    def _look(
        self, frame: Frame, lift: bool, stage_ms: dict[str, float]
    ) -> tuple[Sequence[PersonKeypoints], np.ndarray | None, DepthMap | None]:
        """What the image shows: people, flow and, to lift them, depth, which the tracker does not need."""

        def people() -> Sequence[PersonKeypoints]:
            with _timed(stage_ms, "keypoints"):
                return self._detector(frame)

        def flow_and_depth() -> tuple[np.ndarray | None, DepthMap | None]:
            flow = depth = None
            if self._flow is not None:
                with _timed(stage_ms, "flow"):
                    flow = self._flow(frame.image)
            if lift and self._depth is not None:
                with _timed(stage_ms, "depth"):
                    depth = self._depth(frame)
            return flow, depth

        try:
            found, (flow, depth) = self._side_by_side(people, flow_and_depth)
        except BaseException:
            if self._flow is not None:
                self._flow.reset()  # the tracker has not seen this image, so flow since then would tell it nothing
            raise
        return found, flow, depth

    def flush(self) -> tuple[LiftedFrame, ...]:
        """The people in space that a lifter which looks ahead still owes when no more frames come, oldest first."""
        return () if self._lifter is None else self._lifter.flush()

    def prepare(self, option: str, value: Any, options: PipelineOptions) -> Callable[[], None]:
        """Make ready for another value of an option, which may take long and may be done while frames are processed.

        Args:
            option: one of ``LIVE_OPTIONS``.
            value: its new value.
            options: the other ones.

        Returns:
            What makes the change, quickly; to be called between two frames.

        Raises:
            ValueError: when the value or the option is not among those allowed.
            UserError: when what is asked for is not on this machine.
        """
        if option not in LIVE_OPTIONS:
            raise ValueError(f"expected one of {', '.join(LIVE_OPTIONS)} to change between frames, got {option!r}")
        options = replace(options, **{option: value})
        device = prepare_torch(options)
        if option == "flow":
            return partial(setattr, self, "_flow", _make_flow(options, device))
        if option == "depth":
            return partial(setattr, self, "_depth", _make_depth(options, device))
        return partial(self._follow, _make_detector(options, device), value)

    def remake(self, options: PipelineOptions) -> None:
        """Make the stages anew, as after a GPU failed; the next frame starts anew, ids go on counting.

        Raises:
            ValueError, UserError: as ``create``; the pipeline is not used again then.
        """
        self.close()
        self._flow = self._depth = self._lifter = None  # gives their memory back before more is asked for
        made = Pipeline.create(options, self._tracker)
        self._detector, self._flow, self._depth, self._lifter = made._detector, made._flow, made._depth, made._lifter
        self._side_by_side = made._side_by_side
        self.description, self._closed = made.description, False
        self.reset()

    def _follow(self, detector: KeypointDetector, max_people: int) -> None:
        """Follow that many people, found by another detector."""
        self._detector.close()
        self._detector = detector
        self._tracker.max_people = max_people

    def reset(self) -> None:
        """Forget everything seen; ids go on counting."""
        self._forget_images()
        self._tracker.reset()

    def _forget_images(self) -> None:
        """Forget what was seen, but not whom: the tracker tells for how long it knows people again."""
        self._last = None
        for stage in (self._detector, self._flow, self._depth, self._lifter):
            if stage is not None:
                stage.reset()

    def close(self) -> None:
        """Give back what the stages hold; the pipeline is not used again."""
        if not self._closed:
            self._closed = True
            self._side_by_side.close()
            self._detector.close()


def prepare_torch(options: PipelineOptions) -> str:
    """The device that networks run on."""
    # torch takes a second to import, so only where it is needed.
    import torch

    if options.threads < 1:
        raise ValueError(f"expected threads of 1 or more, got {options.threads}")
    torch.set_num_threads(options.threads)
    return resolve_device(options.device, torch.cuda.is_available())


def _make_detector(options: PipelineOptions, device: str) -> KeypointDetector:
    return make_detector(options.detector, options.max_people, device, options.detector_weights, options.finder_weights)


def _make_flow(options: PipelineOptions, device: str) -> FlowEstimator | None:
    return make_flow(options.flow, device, options.flow_weights, options.flow_width, options.flow_updates)


def _make_depth(options: PipelineOptions, device: str) -> DepthEstimator | None:
    return make_depth(options.depth, device, options.depth_weights, options.depth_side)


def _make_lifter(options: PipelineOptions, device: str) -> SkeletonLifter:
    from mambapose_ros.perception.lifter import Lifter
    from mambapose_ros.perception.lifting_networks import load_lifting_network
    from mambapose_ros.weights import lifter_for, locate

    network = load_lifting_network(locate(lifter_for(device, options.weights)), options.flip_average, device)
    return Lifter(network, options.window, options.lookahead)


def _describe(lifter: SkeletonLifter | None) -> dict[str, str]:
    none = "none: no weights given, so there are keypoints and no skeletons"
    return {"lifter": none if lifter is None else lifter.description}


@contextmanager
def _timed(stage_ms: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    stage_ms[stage] = (time.perf_counter() - start) * 1e3
