"""The kinematic tree over batches of poses: bones and joints, rotations, and the axes of a body."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX, NUM_JOINTS, PARENTS

TRUNK_LENGTH_M = 0.53
"""Pelvis to thorax of an adult of average stature."""

_TINY = 1e-9


def _subtrees() -> np.ndarray:
    member = np.eye(NUM_JOINTS, dtype=bool)
    for joint in reversed(range(1, NUM_JOINTS)):
        member[PARENTS[joint]] |= member[joint]
    return member


SUBTREE = _subtrees()
"""(17, 17) bool: ``SUBTREE[a, b]`` when b is a or hangs on it."""

_TREE_SUM = SUBTREE.T.astype(np.float32)


def to_bones(joints: np.ndarray) -> np.ndarray:
    """Joints (..., 17, 3) -> vectors from each joint's parent; the pelvis keeps its place."""
    bones = joints.copy()
    bones[..., 1:, :] -= joints[..., list(PARENTS[1:]), :]
    return bones


def to_joints(bones: np.ndarray) -> np.ndarray:
    """The inverse of ``to_bones``: forward kinematics."""
    return _TREE_SUM @ bones


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) scaled to length 1; zero stays zero."""
    return vectors / (np.sqrt(np.einsum("...c,...c->...", vectors, vectors))[..., None] + _TINY)


def rotation_about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotations by radians (...) about unit axes (..., 3) (Rodrigues)."""
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    sine, cosine = np.sin(angle), np.cos(angle)
    rest = 1.0 - cosine
    matrix = np.empty((*np.broadcast_shapes(angle.shape, axis.shape[:-1]), 3, 3), np.float32)
    matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 2, 2] = (cosine + rest * c * c for c in (x, y, z))
    matrix[..., 0, 1], matrix[..., 1, 0] = rest * x * y - sine * z, rest * x * y + sine * z
    matrix[..., 0, 2], matrix[..., 2, 0] = rest * x * z + sine * y, rest * x * z - sine * y
    matrix[..., 1, 2], matrix[..., 2, 1] = rest * y * z - sine * x, rest * y * z + sine * x
    return matrix


def yaw_rotation(angle: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotations by radians (...) about the vertical z."""
    return rotation_about(np.array([0.0, 0.0, 1.0], np.float32), angle)


def heading(joints: np.ndarray) -> np.ndarray:
    """Yaw (...) in radians of where the hips of joints (..., 17, 3), z up, face."""
    left = joints[..., JOINT_INDEX["left_hip"], :] - joints[..., JOINT_INDEX["right_hip"], :]
    return np.arctan2(-left[..., 0], left[..., 1])


def body_axes(joints: np.ndarray) -> np.ndarray:
    """(..., 3, 3) unit vectors in rows of joints (..., 17, 3): to the body's left, up along the trunk, and forward.

    Right-handed, for joints in right-handed coordinates.
    """
    up = unit(joints[..., JOINT_INDEX["thorax"], :] - joints[..., 0, :])
    across = (
        joints[..., JOINT_INDEX["left_hip"], :]
        - joints[..., JOINT_INDEX["right_hip"], :]
        + joints[..., JOINT_INDEX["left_shoulder"], :]
        - joints[..., JOINT_INDEX["right_shoulder"], :]
    )
    forward = unit(np.cross(across, up))
    return np.stack([np.cross(up, forward), up, forward], axis=-2)


def body_scale(joints: np.ndarray) -> np.ndarray:
    """(...) size relative to an average adult, by the trunk of joints (..., 17, 3) metres."""
    trunk = joints[..., JOINT_INDEX["thorax"], :] - joints[..., 0, :]
    return np.sqrt(np.einsum("...c,...c->...", trunk, trunk)) / np.float32(TRUNK_LENGTH_M)
