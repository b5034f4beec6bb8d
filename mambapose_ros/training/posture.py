"""Postures that motion capture seldom shows: joints turned toward sitting, crouching, bending, reaching and lying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.training.kinematics import heading, rotation_about, yaw_rotation
from mambapose_ros.training.motion import Motion
from mambapose_ros.training.random_process import slow_noise


@dataclass(frozen=True)
class Posture:
    """How far the parts of the body turn, as (least, most) degrees; drawn anew for each side and window.

    Attributes:
        thigh: forward (flexion of the hip).
        shank: backward in space, not relative to the thigh.
        trunk: forward, with all that hangs on it.
        arm: about any axis, relative to the trunk.
        body: of the whole body about a horizontal axis; 90 = lying.
    """

    thigh: tuple[float, float] = (-10.0, 10.0)
    shank: tuple[float, float] = (0.0, 10.0)
    trunk: tuple[float, float] = (-10.0, 10.0)
    arm: tuple[float, float] = (0.0, 40.0)
    body: tuple[float, float] = (-5.0, 5.0)


POSTURES = (
    Posture(thigh=(60, 100), shank=(-20, 20), trunk=(-20, 25)),  # sitting
    Posture(thigh=(30, 115), shank=(10, 60), trunk=(0, 50)),  # crouching
    Posture(thigh=(-30, 30), shank=(80, 110), trunk=(-15, 40)),  # kneeling
    Posture(trunk=(30, 105)),  # bending
    Posture(trunk=(-15, 25), arm=(40, 150)),  # reaching
    Posture(thigh=(0, 70), shank=(0, 30), trunk=(-10, 20), arm=(0, 90), body=(75, 100)),  # lying
)

_UPPER = slice(JOINT_INDEX["spine"], None)  # Trunk, head and arms, and the direction of the face.
_LEFT_ARM = [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]]
_RIGHT_ARM = [JOINT_INDEX["right_elbow"], JOINT_INDEX["right_wrist"]]
# In this order: an arm turns in the trunk's frame, everything in the body's.
_PARTS: dict[str, list[int] | slice] = {
    "left_thigh": [JOINT_INDEX["left_knee"]],
    "right_thigh": [JOINT_INDEX["right_knee"]],
    "left_shank": [JOINT_INDEX["left_ankle"]],
    "right_shank": [JOINT_INDEX["right_ankle"]],
    "left_arm": _LEFT_ARM,
    "right_arm": _RIGHT_ARM,
    "trunk": _UPPER,
    "body": slice(1, None),
}

_SIDEWAYS = np.array([0.0, 1.0, 0.0], np.float32)  # To the left of a body that faces along x.
_JITTER = np.float32(np.radians(4.0))
_JITTER_TIME_S = 0.4
_CHANGE_TIME_S = 0.8  # A person sits down in one to two seconds.


def change_posture(rng: np.random.Generator, motion: Motion) -> Motion:
    """Turn every motion of a batch toward a posture drawn from ``POSTURES``, some for part of the time only.

    Lengths of bones stay; heights over the floor do not (see ``augmentation.stand_on_floor``).
    """
    people, frames = motion.joints.shape[:2]
    angle = _angles(rng, people)[:, None] * _activation(rng, motion.mean_interval, frames)
    jitter = slow_noise(rng, motion.mean_interval, frames, len(_PARTS) - 1, _JITTER_TIME_S)
    angle[..., :-1] += jitter * _JITTER
    turn = {part: rotation_about(axis[:, None], angle[..., i]) for i, (part, axis) in enumerate(_axes(rng, people))}

    facing = yaw_rotation(heading(motion.joints))
    segments = motion.to_segments()
    root = segments[:, :, :1].copy()
    segments = segments @ facing
    for name, part in _PARTS.items():
        segments[:, :, part] = segments[:, :, part] @ turn[name].swapaxes(2, 3)
    segments = segments @ facing.swapaxes(2, 3)
    segments[:, :, :1] = root
    return Motion.from_segments(segments, motion.interval)


def _angles(rng: np.random.Generator, people: int) -> np.ndarray:
    """(P, 8) radians about the axes of ``_axes``, in the order of ``_PARTS``."""
    kind = rng.integers(len(POSTURES), size=people)
    limits = np.radians([[getattr(posture, part.split("_")[-1]) for part in _PARTS] for posture in POSTURES])
    # About the axis to the left, positive angles carry what hangs backward and what stands forward.
    sign = np.array([-1.0 if part.endswith("thigh") else 1.0 for part in _PARTS])
    return (sign * rng.uniform(limits[kind, :, 0], limits[kind, :, 1])).astype(np.float32)


def _axes(rng: np.random.Generator, people: int) -> list[tuple[str, np.ndarray]]:
    """For each part the unit axis (P, 3) that it turns about, in the frame of a body that faces along x."""
    axes = []
    for part in _PARTS:
        axis = rng.standard_normal((people, 3), dtype=np.float32)
        if part == "body":
            axis[:, 2] = 0.0
        elif not part.endswith("arm"):
            axis = _SIDEWAYS + 0.15 * axis
        axes.append((part, axis / np.linalg.norm(axis, axis=1, keepdims=True)))
    return axes


def _activation(rng: np.random.Generator, interval: np.ndarray, frames: int) -> np.ndarray:
    """(P, F, 1) how far the posture is taken, in [0, 1]: mostly fully, sometimes coming or going."""
    wish = slow_noise(rng, interval, frames, 1, _CHANGE_TIME_S)
    return 1.0 / (1.0 + np.exp(-4.0 * (wish + 0.9)))
