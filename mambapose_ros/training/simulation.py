"""Motions as the lifter will see them: through random cameras, and through noisy keypoints, flow and depth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mambapose_ros.evidence import Observations, VirtualCamera, build_evidence
from mambapose_ros.training.cameras import CameraRanges, random_cameras
from mambapose_ros.training.depth_noise import relative_depth, sensor_depth
from mambapose_ros.training.detector_noise import Body, choose_families, detect
from mambapose_ros.training.flow_noise import observe_flow
from mambapose_ros.training.kinematics import body_scale
from mambapose_ros.training.motion import Motion
from mambapose_ros.training.surface import hidden_joints, visible_surface

SLIMNESS = (0.8, 1.25)
"""Range of how thick limbs are, over an average adult's of the same size."""

BACKGROUND_M = (0.3, 4.0)
"""Range of metres from the body to what stands behind it."""


class DepthKind(IntEnum):
    """Where depth comes from."""

    NONE = 0
    RELATIVE = 1
    SENSOR = 2


@dataclass(frozen=True, eq=False)
class Modalities:
    """What each of B windows is observed with, besides keypoints: flow (B,) bool, depth (B,) of ``DepthKind``."""

    flow: np.ndarray
    depth: np.ndarray

    @classmethod
    def same(cls, people: int, flow: bool, depth: DepthKind) -> Modalities:
        """The same for all windows."""
        return cls(np.full(people, flow), np.full(people, depth))


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """B windows of T frames, oldest first.

    Attributes:
        evidence: (B, T, 17, ``evidence.NUM_CHANNELS``) float32, the network's input.
        target: (B, T, 17, 3) float32 metres from the pelvis, in the virtual camera's axes.
        virtual_camera: turns answers back into the camera's optical frame.
        root: (B, T, 3) float32 metres, the pelvis in the camera's optical frame.
        observations: what the evidence was made from, e.g. to solve for the root.
    """

    evidence: np.ndarray
    target: np.ndarray
    virtual_camera: VirtualCamera
    root: np.ndarray
    observations: Observations


def simulate(
    rng: np.random.Generator,
    motion: Motion,
    ranges: CameraRanges,
    modalities: Modalities,
    arrival: np.ndarray,
) -> TrainingBatch:
    """Observe motions of T + 1 frames through random cameras; the first frame only serves the flow of the second.

    Args:
        rng: source of randomness; what is drawn does not depend on ``modalities``.
        motion: of B people.
        ranges: of the cameras.
        modalities: what is observed.
        arrival: (B,) frame of the window in which each person is first seen.
    """
    interval = motion.mean_interval
    cameras = random_cameras(rng, ranges, motion)
    joints = cameras.view(motion.joints)
    body = Body(joints, cameras.turn(motion.head_forward), body_scale(joints).mean(axis=1))
    family = choose_families(rng, len(joints))
    detections = detect(rng, body, cameras, hidden_joints(joints, body.scale), family, interval)
    detections.confidence[np.arange(joints.shape[1]) <= arrival[:, None]] = 0.0
    thickness = (body.scale * rng.uniform(*SLIMNESS, len(joints))).astype(np.float32)
    behind = rng.uniform(*BACKGROUND_M, len(joints)).astype(np.float32)
    surface = visible_surface(detections.rays, joints, thickness, behind, cameras)
    previous = observe_flow(rng, detections.rays, surface, cameras.pixel, interval)
    relative = relative_depth(rng, detections.rays, surface, interval)
    measured = sensor_depth(rng, surface)

    kind = modalities.depth[:, None, None]
    depth = np.where(kind == DepthKind.SENSOR, measured, np.where(kind == DepthKind.RELATIVE, relative, np.nan))
    outside = (np.abs(detections.rays) > cameras.half_extent[:, None, None]).any(axis=3)
    previous[outside] = depth[outside] = np.nan
    observations = Observations(
        rays=detections.rays[:, 1:],
        confidence=detections.confidence[:, 1:],
        interval=motion.interval[:, 1:],
        previous_rays=np.where(modalities.flow[:, None, None, None], previous, np.nan)[:, 1:],
        depth=depth[:, 1:],
        metric=modalities.depth == DepthKind.SENSOR,
    )
    evidence, virtual_camera = build_evidence(observations)
    root = joints[:, 1:, 0]
    target = virtual_camera.to_virtual(joints[:, 1:] - root[:, :, None])
    return TrainingBatch(evidence, target, virtual_camera, root, observations)
