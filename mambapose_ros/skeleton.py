"""The body: joints, bones and symmetry of Human3.6M-17, and how detectors' landmarks map to it.

Every skeleton in this package has the 17 joints below in this order. Where they lie on a body:

- hips, knees, ankles, shoulders, elbows, wrists: the centres of those joints.
- ``pelvis``: midpoint of the hips. ``spine``: halfway between pelvis and thorax.
- ``thorax``: base of the neck, 4-6 cm above the line between the shoulders.
- ``neck``: between thorax and head, about 6 cm in front of the line that joins them ("neck/nose").
- ``head``: inside the head at the height of the forehead, about 9 cm under the vertex.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

JOINT_NAMES = (
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",
    "neck",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
NUM_JOINTS = len(JOINT_NAMES)
JOINT_INDEX: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(JOINT_NAMES)})

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
"""Parent of each joint in the kinematic tree; -1 at the root (pelvis)."""

BONES = tuple((parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0)
"""The 16 bones as (parent, joint)."""

FLIP = tuple(
    JOINT_INDEX[name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_")]
    for name in JOINT_NAMES
)
"""``pose[FLIP]`` exchanges left and right."""

LEFT = tuple(i for i, name in enumerate(JOINT_NAMES) if name.startswith("left_"))
RIGHT = tuple(i for i, name in enumerate(JOINT_NAMES) if name.startswith("right_"))

ADULT_STATURE_M = 1.70
"""Metres; about the mean of women and men."""

_BONE_TO_STATURE = {"knee": 0.245, "ankle": 0.246, "elbow": 0.186, "wrist": 0.146}

JOINT_RADIUS_M = np.full(NUM_JOINTS, 0.11, np.float32)
"""(17,) metres from each joint to the skin of an average adult."""
for _name, _radius in {"knee": 0.06, "ankle": 0.045, "shoulder": 0.06, "elbow": 0.04, "wrist": 0.03}.items():
    JOINT_RADIUS_M[[JOINT_INDEX[f"left_{_name}"], JOINT_INDEX[f"right_{_name}"]]] = _radius
JOINT_RADIUS_M[[JOINT_INDEX["neck"], JOINT_INDEX["head"]]] = 0.09
JOINT_RADIUS_M.flags.writeable = False

BONE_LENGTH_PRIOR: Mapping[int, float] = MappingProxyType(
    {
        JOINT_INDEX[f"{side}_{end}"]: ratio * ADULT_STATURE_M
        for side in ("right", "left")
        for end, ratio in _BONE_TO_STATURE.items()
    }
)
"""Metres from the parent to each of these joints in an average adult: thighs, shanks, upper and lower arms, on whose
ends all definitions agree. Ratios to stature: R. Drillis and R. Contini, Body Segment Parameters, New York University
1966."""

BLAZEPOSE_NAMES = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)

COCO_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

_LIMB_JOINTS = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
)


def _combine(*terms: tuple[float, Mapping[str, float]]) -> dict[str, float]:
    """Sum of landmark combinations, each times its factor."""
    total: dict[str, float] = {}
    for factor, combination in terms:
        for name, weight in combination.items():
            total[name] = total.get(name, 0.0) + factor * weight
    return total


def _mean(*names: str) -> dict[str, float]:
    return {name: 1.0 / len(names) for name in names}


def _mapping(names: Sequence[str], head: Mapping[str, float]) -> np.ndarray:
    """Matrix (17, len(names)) that turns landmarks into joints; each row sums to 1.

    Limb joints are the landmarks of the same name. The trunk and head joints, which no detector has, are affine
    combinations, so they hold in the image as well as in space:

    - pelvis: midpoint of the hips
    - thorax: a fifth of the way from the middle of the shoulders to the middle of the ears (about 5 cm up)
    - spine: midpoint of pelvis and thorax
    - head: as given by ``head``; the landmarks of a face differ per detector
    - neck: 0.55 thorax + 0.45 head, moved by 0.65 of ears-to-nose (about 6 cm forward)
    """
    ears, shoulders = _mean("left_ear", "right_ear"), _mean("left_shoulder", "right_shoulder")
    pelvis = _mean("left_hip", "right_hip")
    thorax = _combine((0.8, shoulders), (0.2, ears))
    joints: dict[str, Mapping[str, float]] = {name: {name: 1.0} for name in _LIMB_JOINTS}
    joints["pelvis"] = pelvis
    joints["thorax"] = thorax
    joints["spine"] = _combine((0.5, pelvis), (0.5, thorax))
    joints["head"] = head
    joints["neck"] = _combine((0.55, thorax), (0.45, head), (0.65, {"nose": 1.0}), (-0.65, ears))
    matrix = np.zeros((NUM_JOINTS, len(names)))
    for joint, combination in joints.items():
        for name, weight in combination.items():
            matrix[JOINT_INDEX[joint], names.index(name)] = weight
    matrix.flags.writeable = False
    return matrix


# Ears, raised by half of mouth-to-eyes (about 3.5 cm): from the ear canal up to the height of the forehead.
BLAZEPOSE_TO_H36M = _mapping(
    BLAZEPOSE_NAMES,
    head=_combine(
        (1.0, _mean("left_ear", "right_ear")),
        (0.5, _mean("left_eye", "right_eye")),
        (-0.5, _mean("mouth_left", "mouth_right")),
    ),
)
# COCO has no mouth: raised by nose-to-eyes (about 4 cm) instead.
COCO_TO_H36M = _mapping(
    COCO_NAMES,
    head=_combine(
        (1.0, _mean("left_ear", "right_ear")),
        (1.0, _mean("left_eye", "right_eye")),
        (-1.0, {"nose": 1.0}),
    ),
)


def map_landmarks(matrix: np.ndarray, landmarks: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a detector's landmarks into Human3.6M-17 joints.

    Args:
        matrix: (17, L), ``BLAZEPOSE_TO_H36M`` or ``COCO_TO_H36M``.
        landmarks: (..., L, D) positions, in the image (D = 2) or in space (D = 3), in any unit.
        confidence: (..., L) in [0, 1].

    Returns:
        Joints (..., 17, D) in the landmarks' unit, and confidences (..., 17): a joint is as certain as the least
        certain landmark that it is made of.

    Raises:
        ValueError: when the number of landmarks is not the matrix's.
    """
    if landmarks.shape[-2] != matrix.shape[1] or confidence.shape[-1] != matrix.shape[1]:
        raise ValueError(
            f"expected {matrix.shape[1]} landmarks with a confidence each, got positions {landmarks.shape} and "
            f"confidences {confidence.shape}; choose the matrix of the detector that made them"
        )
    joints = np.einsum("jl,...ld->...jd", matrix, landmarks)
    used = np.where(matrix != 0.0, confidence[..., None, :], np.inf)
    return joints, used.min(axis=-1)


def coco_to_h36m(landmarks: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """COCO-17 landmarks of one person, of which some are missing, as Human3.6M-17 joints.

    A landmark that is missing takes the joints with it that are made of it, and no others.

    Args:
        landmarks: (17, 2) pixels; NaN = missing.
        confidence: (17,) in [0, 1].

    Returns:
        (17, 2) pixels, NaN = missing; and (17,) in [0, 1], 0 = missing.
    """
    found = np.isfinite(landmarks).all(axis=1)
    xy, sure = map_landmarks(COCO_TO_H36M, np.where(found[:, None], landmarks, 0.0), np.where(found, confidence, 0.0))
    return np.where(sure[:, None] > 0.0, xy, np.nan), sure
