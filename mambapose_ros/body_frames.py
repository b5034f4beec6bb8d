"""Coordinate frames on a body, from the places of its joints.

Axes as REP-155 has them for a body: x forward, out of the body; y to its left; z toward the head. Standing upright with
the arms hanging, the frames of all joints are turned alike. How far a limb is turned about itself cannot be seen from
points: it is turned from the part that it hangs on by the smallest rotation, as a hinge turns.
"""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX, NUM_JOINTS

SHORTEST_M = 0.01
"""Metres; points nearer to each other than this tell no direction."""

_LEAST_SINE = 0.05  # of the angle between two directions that span a plane: 3 degrees

_TRUNK = (
    # joint, joint that it hangs on, and the bone, from its lower to its upper end, that its z axis follows
    ("spine", "pelvis", "spine", "thorax"),
    ("thorax", "spine", "spine", "thorax"),
    ("neck", "thorax", "thorax", "head"),
    ("head", "thorax", "thorax", "head"),
)
_LIMBS = (
    ("hip", "pelvis", "knee", "hip"),
    ("knee", "hip", "ankle", "knee"),
    ("ankle", "knee", "ankle", "knee"),
    ("shoulder", "thorax", "elbow", "shoulder"),
    ("elbow", "shoulder", "wrist", "elbow"),
    ("wrist", "elbow", "wrist", "elbow"),
)


def _indices(names: tuple[str, ...], side: str = "") -> tuple[int, ...]:
    return tuple(JOINT_INDEX[name if name in JOINT_INDEX else f"{side}_{name}"] for name in names)


_TREE = tuple(_indices(row) for row in _TRUNK) + tuple(
    _indices(row, side) for side in ("right", "left") for row in _LIMBS
)


def body_rotation(joints: np.ndarray) -> np.ndarray:
    """Which way a body faces.

    z points from the pelvis to the base of the neck; x is at right angles to it and to the line through the hips or,
    when those are not known, the shoulders.

    Args:
        joints: (17, 3) metres in any frame; NaN = missing.

    Returns:
        (3, 3) rotation whose columns are the body's axes in the joints' frame; NaN when that cannot be told.
    """
    up = joints[JOINT_INDEX["thorax"]] - joints[JOINT_INDEX["pelvis"]]
    for pair in ("hip", "shoulder"):
        rotation = _upright(up, joints[JOINT_INDEX[f"left_{pair}"]] - joints[JOINT_INDEX[f"right_{pair}"]])
        if np.isfinite(rotation).all():
            return rotation
    return np.full((3, 3), np.nan)


def joint_rotations(joints: np.ndarray) -> np.ndarray:
    """How each joint's part of the body is turned; the pelvis as ``body_rotation``.

    The z axis of a limb's joint points up along the bone below it when the limb hangs: from knee to hip, from wrist to
    elbow. A limb's last joint is turned as its last bone.

    Args:
        joints: (17, 3) metres in any frame; NaN = missing.

    Returns:
        (17, 3, 3) rotations whose columns are the axes in the joints' frame; NaN where the bone, or what the joint
        hangs on, is not known.
    """
    rotations = np.full((NUM_JOINTS, 3, 3), np.nan)
    rotations[JOINT_INDEX["pelvis"]] = body_rotation(joints)
    for joint, base, lower, upper in _TREE:
        up = joints[upper] - joints[lower]
        rotations[joint] = _swung(rotations[base], up)
        if joint == JOINT_INDEX["thorax"]:  # the shoulders show how it is turned about the spine
            left = joints[JOINT_INDEX["left_shoulder"]] - joints[JOINT_INDEX["right_shoulder"]]
            turned = _upright(up, left)
            if np.isfinite(turned).all():
                rotations[joint] = turned
    return rotations


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """(4,) x, y, z, w of unit length, w not negative, of a (3, 3) rotation.

    Shepperd, Journal of Guidance and Control 1978: divides by the largest of the four components.
    """
    R = rotation
    # Rows of four times the outer product of the quaternion with itself.
    products = np.array(
        [
            [1 + R[0, 0] - R[1, 1] - R[2, 2], R[0, 1] + R[1, 0], R[0, 2] + R[2, 0], R[2, 1] - R[1, 2]],
            [R[0, 1] + R[1, 0], 1 - R[0, 0] + R[1, 1] - R[2, 2], R[1, 2] + R[2, 1], R[0, 2] - R[2, 0]],
            [R[0, 2] + R[2, 0], R[1, 2] + R[2, 1], 1 - R[0, 0] - R[1, 1] + R[2, 2], R[1, 0] - R[0, 1]],
            [R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1], 1 + R[0, 0] + R[1, 1] + R[2, 2]],
        ]
    )
    row = products[np.argmax(np.diag(products))]
    row = row / np.linalg.norm(row)
    return -row if row[3] < 0.0 else row


def rotation_of(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a quaternion x, y, z, w of any length but zero."""
    x, y, z, w = np.asarray(quaternion, dtype=np.float64) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _upright(up: np.ndarray, left: np.ndarray) -> np.ndarray:
    """The rotation with this z axis, and y as near to ``left`` as can be; NaN when the two span no plane."""
    lengths = np.linalg.norm(up), np.linalg.norm(left)
    if not min(lengths) > SHORTEST_M:
        return np.full((3, 3), np.nan)
    z = up / lengths[0]
    x = np.cross(left / lengths[1], z)
    sine = np.linalg.norm(x)
    if not sine > _LEAST_SINE:
        return np.full((3, 3), np.nan)
    x = x / sine
    return np.stack([x, np.cross(z, x), z], axis=1)


def _swung(base: np.ndarray, up: np.ndarray) -> np.ndarray:
    """``base`` turned by the smallest rotation that points its z axis along ``up``; NaN when either is not known.

    Opposite to z there are many; it is turned about y, as an arm is raised forward.
    """
    length = np.linalg.norm(up)
    if not length > SHORTEST_M:
        return np.full((3, 3), np.nan)
    x, y, z = base.T @ up / length
    if z < -1.0 + 1e-9:
        return base @ np.diag([-1.0, 1.0, -1.0])
    # Rodrigues' formula for the rotation of (0, 0, 1) to (x, y, z).
    k = 1.0 / (1.0 + z)
    return base @ np.array([[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]])
