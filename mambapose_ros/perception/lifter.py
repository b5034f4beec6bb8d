"""From keypoints, flow and depth over time to skeletons in metres: a window per person, one batch, the root solve."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mambapose_ros.evidence import Observations
from mambapose_ros.evidence.channels import TYPICAL_INTERVAL_S
from mambapose_ros.geometry import Camera
from mambapose_ros.perception.bone_lengths import BoneLengths
from mambapose_ros.perception.fusion import sample_depth, sample_flow, sample_radius
from mambapose_ros.perception.lifting_networks import LiftedPoses, LiftingNetwork
from mambapose_ros.perception.placement import place_body
from mambapose_ros.perception.velocity import JointVelocities
from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.types import DepthMap, Frame, LiftedFrame, PersonKeypoints, Skeleton3D


class Lifter:
    """Lifts everybody in view, frame by frame.

    Each person has a window of the newest frames, all windows go through the network in one batch, and the root solve
    places each pose in space. Windows always have their full length: in frames before a person came, and where they
    were missed, nothing of them is seen. What is remembered is at most ``window`` frames of each person seen in them:
    flow and depth at the joints, not the images' own.

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
        self._network, self._window, self._lookahead = network, window, lookahead
        self.description = (
            f"{network.description}, window {window}, lookahead {lookahead}, scale {network.scale_source}"
        )
        self._moments: deque[_Moment] = deque(maxlen=window)
        self._velocities = JointVelocities()
        self._bone_lengths = BoneLengths()

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
        interval = (frame.stamp_ns - self._moments[-1].stamp_ns) * 1e-9 if self._moments else np.nan
        seen = {person.id: _observe(frame.camera, person, flow, depth) for person in people}
        self._moments.append(_Moment(frame.stamp_ns, frame.frame_id, frame.camera, interval, seen))
        return self._lift(self._lookahead) if len(self._moments) > self._lookahead else None

    def flush(self) -> tuple[LiftedFrame, ...]:
        """The frames that wait for others to come, lifted without those, oldest first. Then earlier frames are
        forgotten."""
        waiting = min(self._lookahead, len(self._moments))
        lifted = tuple(self._lift(back) for back in range(waiting - 1, -1, -1))
        self.reset()
        return lifted

    def reset(self) -> None:
        """Forget earlier frames."""
        self._moments.clear()
        self._velocities.reset()
        self._bone_lengths.keep(())

    def _lift(self, back: int) -> LiftedFrame:
        """The moment that many frames back."""
        moment = self._moments[-1 - back]
        people = tuple(sighting.person for sighting in moment.people.values())
        present = [person for person in people if person.state != "lost"]
        skeletons = [_lost(person) for person in people if person.state == "lost"]
        if present:
            observations = self._observations([person.id for person in present])
            poses = self._steady(present, self._network(observations, moment.camera, self._window - 1 - back))
            skeletons = [*self._place(moment, present, observations, poses, self._window - 1 - back), *skeletons]
        return LiftedFrame(moment.stamp_ns, moment.frame_id, moment.camera, people, tuple(skeletons))

    def _steady(self, people: Sequence[PersonKeypoints], poses: LiftedPoses) -> LiftedPoses:
        """The poses of these people with the bone lengths that each has shown so far."""
        self._bone_lengths.keep({name for moment in self._moments for name in moment.people})
        joints = poses.joints.copy()
        for number, person in enumerate(people):
            variance = None if poses.covariance is None else poses.covariance[number, :, 0, 0]
            joints[number] = self._bone_lengths(person.id, poses.joints[number], variance)
        return replace(poses, joints=joints)

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

    def _place(
        self,
        moment: _Moment,
        people: Sequence[PersonKeypoints],
        observations: Observations,
        poses: LiftedPoses,
        index: int,
    ) -> list[Skeleton3D]:
        """The people who can be placed in space; arrays have one entry per person."""
        assert observations.depth is not None
        assert observations.metric is not None
        by_sensor = observations.metric & np.isfinite(observations.depth).any(axis=(1, 2)) & self._network.uses_depth
        placed = {}
        for number, person in enumerate(people):
            # Someone predicted is where the keypoints were predicted, all joints alike.
            weights = observations.confidence[number, index] if person.state != "predicted" else np.ones(NUM_JOINTS)
            depth = observations.depth[number, index] if by_sensor[number] else None
            root = place_body(moment.camera, person.xy, poses.joints[number], weights, depth)
            if root is not None:
                placed[number] = poses.joints[number] + root
        velocities = self._velocities(moment.stamp_ns, {people[number].id: joints for number, joints in placed.items()})
        return [
            Skeleton3D(
                id=people[number].id,
                joints=joints,
                confidence=observations.confidence[number, index],
                scale_source="depth_sensor" if by_sensor[number] else self._network.scale_source,
                covariance=None if poses.covariance is None else poses.covariance[number],
                velocity=velocities[people[number].id],
                state=people[number].state,
            )
            for number, joints in placed.items()
        ]


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
    confidence = np.where(seen, person.confidence, 0.0)
    return _Sighting(person, camera.rays(xy), confidence, camera.rays(before), values, measured)


def _lost(person: PersonKeypoints) -> Skeleton3D:
    """Somebody who was not seen for a while, said once."""
    return Skeleton3D(person.id, np.full((NUM_JOINTS, 3), np.nan), np.zeros(NUM_JOINTS), "none", state="lost")
