"""From keypoints, flow and depth over time to skeletons in metres: a window per person, one batch, the root solve."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mambapose_ros.evidence import Observations
from mambapose_ros.evidence.channels import TYPICAL_INTERVAL_S
from mambapose_ros.geometry import Camera
from mambapose_ros.perception.bone_lengths import BoneLengths
from mambapose_ros.perception.fusion import sample_depth, sample_flow, sample_radius
from mambapose_ros.perception.lifting_networks import LiftedPoses, LiftingNetwork
from mambapose_ros.perception.measured_distance import MeasuredDistances
from mambapose_ros.perception.placement import FEWEST_MEASURED, Placement, place_body
from mambapose_ros.perception.velocity import JointVelocities
from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.types import DepthMap, Frame, LiftedFrame, PersonKeypoints, Skeleton3D


class Lifter:
    """Lifts everybody in one camera's view, frame by frame; ``lift_together`` does it for several cameras.

    Each person has a window of the newest frames, all windows go through the network in one batch, and the root solve
    places each pose in space. Windows always have their full length: in frames before a person came, and where they
    were missed, nothing of them is seen. Whom no frame of the window shows keeps the last pose. What is remembered is
    at most ``window`` frames of each person seen in them: flow and depth at the joints, not the images' own.

    Args:
        network: lifts windows.
        window: frames; None = as many as the network takes.
        lookahead: how many frames back the output lies; more make it more accurate, and later.

    Raises:
        ValueError: when the network does not take such a window, or the output does not lie inside it.
    """

    def __init__(self, network: LiftingNetwork, window: int | None = None, lookahead: int = 0) -> None:
        window = network.window if window is None else window
        if not 1 <= window <= network.window:
            raise ValueError(f"expected a window of 1 to {network.window} frames, what the network takes, got {window}")
        if not 0 <= lookahead < window:
            raise ValueError(f"expected a lookahead of 0 to {window - 1} frames, inside the window, got {lookahead}")
        self._window, self._lookahead = window, lookahead
        self.go_on_with(network)
        self._moments: deque[_Moment] = deque(maxlen=window)
        self._velocities = JointVelocities()
        self._bone_lengths = BoneLengths()
        self._distances = MeasuredDistances()
        self._last_poses: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}  # with their covariance
        self._lifted_ns: int | None = None

    def go_on_with(self, network: LiftingNetwork) -> None:
        """Lift with another network, as on another device; nothing is forgotten."""
        self._network = network
        self.description = (
            f"{network.description}, window {self._window}, lookahead {self._lookahead}, scale {network.scale_source}"
        )

    def __call__(
        self,
        frame: Frame,
        people: Sequence[PersonKeypoints],
        flow: np.ndarray | None = None,
        depth: DepthMap | None = None,
    ) -> LiftedFrame | None:
        """Lift the people seen ``lookahead`` frames back, given those of this frame.

        Args:
            frame: the image.
            people: in it, with ids.
            flow: (H, W, 2) of the image; None = unknown.
            depth: of the image; None = unknown.

        Returns:
            Their skeletons with that frame's stamp; None while no frame lies so far back. People of whom too little is
            seen to place them are left out. People who are "lost" have joints that are missing.
        """
        self.observe(frame, people, flow, depth)
        (lifted,) = lift_together([self])
        return lifted

    def observe(
        self,
        frame: Frame,
        people: Sequence[PersonKeypoints],
        flow: np.ndarray | None = None,
        depth: DepthMap | None = None,
    ) -> None:
        """Take in what a call does, and leave the lifting to ``lift_together``."""
        interval = (frame.stamp_ns - self._moments[-1].stamp_ns) * 1e-9 if self._moments else np.nan
        seen = {person.id: _observe(frame.camera, person, flow, depth) for person in people}
        self._moments.append(_Moment(frame.stamp_ns, frame.frame_id, frame.camera, interval, seen))

    def flush(self) -> tuple[LiftedFrame, ...]:
        """The frames that wait for others to come, lifted without those, oldest first. Then earlier frames are
        forgotten."""
        done_ns = self._lifted_ns
        waiting = sum(done_ns is None or moment.stamp_ns > done_ns for moment in self._moments)
        lifted = tuple(lifted for back in range(waiting - 1, -1, -1) for lifted in _lift([self], back))
        self.reset()
        return lifted

    def reset(self) -> None:
        """Forget earlier frames; what somebody's size is stays, as long as the next frame has them."""
        self._moments.clear()
        self._velocities.reset()
        self._last_poses.clear()
        self._lifted_ns = None

    def _windows(self, back: int) -> _Windows:
        """Those of the people seen that many frames back."""
        moment = self._moments[-1 - back]
        people = [sighting.person for sighting in moment.people.values() if sighting.person.state != "lost"]
        return _Windows(moment, people, self._observations([person.id for person in people]))

    def _frame(self, windows: _Windows, poses: LiftedPoses, index: int) -> LiftedFrame:
        """The people of frame ``index`` of the windows, in these poses."""
        moment = windows.moment
        people = tuple(sighting.person for sighting in moment.people.values())
        placed, unplaced = self._place(windows, self._steady(windows, poses), index)
        self._lifted_ns = moment.stamp_ns
        lost = [_lost(person) for person in people if person.state == "lost"]
        return LiftedFrame(moment.stamp_ns, moment.frame_id, moment.camera, people, (*placed, *lost), unplaced)

    def _steady(self, windows: _Windows, poses: LiftedPoses) -> LiftedPoses:
        """The poses of all people of the windows, with the bone lengths that each has shown so far; of whom nothing
        was seen, the last one, or NaN."""
        remembered = {name for moment in self._moments for name in moment.people}
        self._bone_lengths.keep(remembered)
        self._distances.keep(remembered)
        self._last_poses = {name: pose for name, pose in self._last_poses.items() if name in remembered}
        shown = [person.id for person, blind in zip(windows.people, windows.blind, strict=True) if not blind]
        for number, name in enumerate(shown):
            covariance = None if poses.covariance is None else poses.covariance[number]
            variance = None if covariance is None else covariance[:, 0, 0]
            self._last_poses[name] = self._bone_lengths(name, poses.joints[number], variance), covariance
        unknown = np.full((NUM_JOINTS, 3), np.nan), None
        known = [self._last_poses.get(person.id, unknown) for person in windows.people]
        joints = np.array([joints for joints, _ in known]).reshape(-1, NUM_JOINTS, 3)
        covariances = [covariance for _, covariance in known]
        if all(covariance is None for covariance in covariances):
            return LiftedPoses(joints)
        nothing = np.full((NUM_JOINTS, 3, 3), np.nan)
        return LiftedPoses(joints, np.stack([nothing if value is None else value for value in covariances]))

    def _observations(self, names: Sequence[str]) -> Observations:
        """Windows of the people with these ids."""
        frames = len(self._moments)
        intervals = np.array([moment.interval for moment in self._moments])
        known = np.isfinite(intervals)
        usual = np.median(intervals[known]) if known.any() else TYPICAL_INTERVAL_S
        interval = np.full(self._window, usual)
        interval[-frames:] = np.where(known, intervals, usual)

        shape = (len(names), self._window, NUM_JOINTS)
        rays, previous_rays = np.full((2, *shape, 2), np.nan)
        confidence, depth = np.zeros(shape), np.full(shape, np.nan)
        measured = np.zeros(shape[:2], dtype=bool)
        for place, moment in enumerate(self._moments, self._window - frames):
            for number, name in enumerate(names):
                if (sighting := moment.people.get(name)) is not None:
                    rays[number, place] = sighting.rays
                    confidence[number, place] = sighting.confidence
                    previous_rays[number, place] = sighting.previous_rays
                    depth[number, place] = sighting.depth
                    measured[number, place] = sighting.measured
        # Depth of one kind: where it was switched, of the newest.
        there = np.isfinite(depth).any(axis=2)
        newest = self._window - 1 - there[:, ::-1].argmax(axis=1)
        metric = measured[np.arange(len(names)), newest]
        depth[measured != metric[:, None]] = np.nan
        return Observations(
            rays=rays,
            confidence=confidence,
            interval=np.repeat(interval[None], len(names), axis=0),
            previous_rays=previous_rays,
            depth=depth,
            metric=metric,
        )

    def _place(self, windows: _Windows, poses: LiftedPoses, index: int) -> tuple[list[Skeleton3D], dict[str, str]]:
        """The people who can be placed in space, and why the others cannot, by id; arrays have one entry per person."""
        moment, people, observations = windows.moment, windows.people, windows.observations
        placements = [self._placement(windows, poses, number, index) for number in range(len(people))]
        unplaced = {person.id: where.problem for person, where in zip(people, placements, strict=True) if where.problem}
        placed = {number: where for number, where in enumerate(placements) if not where.problem}
        joints = {number: poses.joints[number] + where.root for number, where in placed.items()}
        predicted = [person.id for person in people if person.state == "predicted"]
        velocities = self._velocities(
            moment.stamp_ns, {people[number].id: joints[number] for number in placed}, predicted
        )
        skeletons = [
            Skeleton3D(
                id=people[number].id,
                joints=joints[number],
                confidence=observations.confidence[number, index],
                scale_source="depth_sensor" if where.by_depth else self._network.scale_source,
                covariance=None if poses.covariance is None else poses.covariance[number],
                velocity=velocities[people[number].id],
                state=people[number].state,
            )
            for number, where in placed.items()
        ]
        return skeletons, unplaced

    def _placement(self, windows: _Windows, poses: LiftedPoses, number: int, index: int) -> Placement:
        """Where one of the people stands in frame ``index``."""
        person, observations = windows.people[number], windows.observations
        if np.isnan(poses.joints[number]).all():
            return Placement(np.full(3, np.nan), problem="not seen since the window began")
        assert observations.depth is not None
        assert observations.metric is not None
        # Someone predicted is where the keypoints were predicted, all joints alike.
        weights = observations.confidence[number, index] if person.state != "predicted" else np.ones(NUM_JOINTS)
        stamp_ns, pose, camera = windows.moment.stamp_ns, poses.joints[number], windows.moment.camera
        if not self._network.uses_depth:
            return place_body(camera, person.xy, pose, weights)
        depth = observations.depth[number, index] if observations.metric[number] else None
        placement = place_body(camera, person.xy, pose, weights, depth, self._distances.ratio(person.id, stamp_ns))
        if np.isfinite(placement.ratio):
            self._distances.remember(person.id, stamp_ns, placement.ratio)
        return placement


def lift_together(lifters: Sequence[Lifter]) -> tuple[LiftedFrame | None, ...]:
    """Lift what each has observed last; the people of all go through the network in one batch.

    Args:
        lifters: of one network, with the same window and lookahead, and a camera each.

    Returns:
        For each what a call of it would have returned.
    """
    ready = [lifter for lifter in lifters if len(lifter._moments) > lifter._lookahead]
    lifted = dict(zip(ready, _lift(ready, ready[0]._lookahead), strict=True)) if ready else {}
    return tuple(lifted.get(lifter) for lifter in lifters)


def _lift(lifters: Sequence[Lifter], back: int) -> list[LiftedFrame]:
    """The moment that many frames back."""
    network, index = lifters[0]._network, lifters[0]._window - 1 - back
    several = [lifter._windows(back) for lifter in lifters]
    poses = _poses(network, several, index)
    return [
        lifter._frame(windows, lifted, index) for lifter, windows, lifted in zip(lifters, several, poses, strict=True)
    ]


def _poses(network: LiftingNetwork, several: Sequence[_Windows], index: int) -> list[LiftedPoses]:
    """Of those of each camera's people of whom something is seen, from one call of the network."""
    counts = [int((~windows.blind).sum()) for windows in several]
    cameras = [windows.moment.camera for windows, count in zip(several, counts, strict=True) for _ in range(count)]
    if not cameras:
        return [LiftedPoses(np.zeros((0, NUM_JOINTS, 3))) for _ in several]
    joined = (
        np.concatenate([getattr(windows.observations, field.name)[~windows.blind] for windows in several])
        for field in fields(Observations)
    )
    poses = network(Observations(*joined), cameras, index)
    ends = np.cumsum(counts)[:-1]
    joints = np.split(poses.joints, ends)
    covariance = [None] * len(several) if poses.covariance is None else np.split(poses.covariance, ends)
    return [LiftedPoses(*pair) for pair in zip(joints, covariance, strict=True)]


@dataclass(frozen=True, eq=False)
class _Sighting:
    """One person in one image; arrays as one frame of ``Observations``.

    Attributes:
        measured: whether ``depth`` is in metres.
    """

    person: PersonKeypoints
    rays: np.ndarray
    confidence: np.ndarray
    previous_rays: np.ndarray
    depth: np.ndarray
    measured: bool


@dataclass(frozen=True, eq=False)
class _Moment:
    """One image.

    Attributes:
        interval: seconds since the image before; NaN = there was none.
        people: by id.
    """

    stamp_ns: int
    frame_id: str
    camera: Camera
    interval: float
    people: dict[str, _Sighting]


@dataclass(frozen=True, eq=False)
class _Windows:
    """What the network is to lift of one camera.

    Attributes:
        people: of the moment, without those who were lost.
        observations: of these people, over the windows.
    """

    moment: _Moment
    people: Sequence[PersonKeypoints]
    observations: Observations

    @property
    def blind(self) -> np.ndarray:
        """(P,) bool, of whom nothing is seen in any frame: the network would answer with anybody's pose."""
        return ~np.isfinite(self.observations.rays).any(axis=(1, 2, 3))


def _observe(camera: Camera, person: PersonKeypoints, flow: np.ndarray | None, depth: DepthMap | None) -> _Sighting:
    """What an image tells of a person. Joints whose place was predicted, not seen, tell nothing."""
    seen = np.isfinite(person.xy).all(axis=1) & (person.confidence > 0) & (person.state in ("tentative", "tracked"))
    xy = np.where(seen[:, None], person.xy, np.nan)
    radius = sample_radius(xy)
    before = xy - sample_flow(flow, xy, radius) if flow is not None else np.full_like(xy, np.nan)
    values = sample_depth(depth, xy, radius) if depth is not None else np.full(len(xy), np.nan)
    measured = depth is not None and depth.source == "sensor"
    if depth is not None and depth.metric and not measured:
        # A network's metres are a guess, of which only the relief is of use: inverse depth, as of any other.
        values = 1.0 / values
    if measured and np.isfinite(values).sum() < FEWEST_MEASURED:
        values[:] = np.nan  # a stray measurement would be taken for the person's distance
    confidence = np.where(seen, person.confidence, 0.0)
    return _Sighting(person, camera.rays(xy), confidence, camera.rays(before), values, measured)


def _lost(person: PersonKeypoints) -> Skeleton3D:
    """Somebody who was not seen for a while, said once."""
    return Skeleton3D(person.id, np.full((NUM_JOINTS, 3), np.nan), np.zeros(NUM_JOINTS), "none", state="lost")
