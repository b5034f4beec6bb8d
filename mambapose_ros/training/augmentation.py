"""More people and motions than were recorded: proportions, mirror images, recombined bodies.

Directions are not among them: random cameras look at a motion from all sides.
"""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import FLIP, JOINT_INDEX, JOINT_NAMES, NUM_JOINTS
from mambapose_ros.training.kinematics import heading, to_bones, to_joints, yaw_rotation
from mambapose_ros.training.motion import Motion

CHILD_SHARE = 0.1
CHILD_STATURE = (0.55, 0.85)
"""Range of children's stature over the recorded adult's: about three to twelve years."""

ADULT_STATURE_SPREAD = 0.055
PROPORTION_SPREAD = 0.045
"""Standard deviations of the logarithms of stature and of each segment's length relative to it."""

_SEGMENTS = {
    "hip": ("hip",),
    "thigh": ("knee",),
    "shank": ("ankle",),
    "trunk": ("spine", "thorax"),
    "head": ("neck", "head"),
    "shoulder": ("shoulder",),
    "upper_arm": ("elbow",),
    "forearm": ("wrist",),
}

_CHILD_FACTOR = {"thigh": 0.88, "shank": 0.86, "trunk": 1.05, "head": 1.35, "upper_arm": 0.94, "forearm": 0.94}
"""A small child's segments relative to an adult scaled to its stature; rough, since proportions are varied anyway: the
head is a sixth of the stature instead of an eighth, and what it takes is missing in the legs."""

_UPPER = slice(JOINT_INDEX["spine"], None)
_MIRROR = np.array([1.0, -1.0, 1.0], np.float32)


def random_proportions(rng: np.random.Generator, people: int) -> np.ndarray:
    """(P, 17) factors on the lengths of the bones that end in each joint; the same left and right."""
    stature = np.exp(ADULT_STATURE_SPREAD * rng.standard_normal(people))
    child = rng.random(people) < CHILD_SHARE
    stature = np.where(child, rng.uniform(*CHILD_STATURE, people), stature.clip(0.85, 1.2))
    childlike = ((1.0 - stature) / (1.0 - CHILD_STATURE[0])).clip(0.0, 1.0) * child
    factors = np.ones((people, NUM_JOINTS))
    for segment, ends in _SEGMENTS.items():
        factor = stature * np.exp(PROPORTION_SPREAD * rng.standard_normal(people))
        factor *= _CHILD_FACTOR.get(segment, 1.0) ** childlike
        factors[:, [i for i, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in ends]] = factor[:, None]
    return factors.astype(np.float32)


def scale_bones(motion: Motion, factors: np.ndarray) -> Motion:
    """Bones made longer by ``factors`` (B, 17), angles and path of the pelvis kept."""
    bones = to_bones(motion.joints)
    bones[:, :, 1:] *= factors[:, None, 1:, None]
    return Motion(to_joints(bones), motion.head_forward, motion.interval)


def stand_on_floor(motion: Motion, recorded: Motion, factors: np.ndarray) -> Motion:
    """Move a changed motion so that it touches the floor where the recorded one did.

    The lowest joint of each frame takes its recorded height, and the pelvis its recorded path, both scaled by the
    length of the legs: a shorter leg makes shorter steps, or feet would slide.

    Args:
        motion: as changed.
        recorded: the same frames before.
        factors: (B, 17) as of ``random_proportions``.
    """
    leg = factors[:, [JOINT_INDEX["right_knee"], JOINT_INDEX["right_ankle"]]].mean(axis=1)[:, None]
    move = np.empty(motion.joints.shape[:2] + (3,), np.float32)
    move[..., :2] = recorded.joints[:, :, 0, :2] * leg[..., None] - motion.joints[:, :, 0, :2]
    move[..., 2] = recorded.joints[..., 2].min(axis=2) * leg - motion.joints[..., 2].min(axis=2)
    return Motion(motion.joints + move[:, :, None], motion.head_forward, motion.interval)


def mirror(motion: Motion, chosen: np.ndarray) -> Motion:
    """The mirror image of the motions that ``chosen`` (B,) bool names: left is right."""
    joints, head = motion.joints.copy(), motion.head_forward.copy()
    joints[chosen] = joints[chosen][:, :, list(FLIP)] * _MIRROR
    head[chosen] = head[chosen] * _MIRROR
    return Motion(joints, head, motion.interval)


def recombine(lower: Motion, upper: Motion) -> Motion:
    """Legs and path of one motion with the trunk, head and arms of another, turned so that the hips face alike."""
    turn = yaw_rotation(heading(lower.joints) - heading(upper.joints))
    segments = lower.to_segments()
    segments[:, :, _UPPER] = upper.to_segments()[:, :, _UPPER] @ turn.swapaxes(2, 3)
    return Motion.from_segments(segments, lower.interval)
