"""Whether what a detector calls a person can be one: pose networks also see people in walls, shadows and legs."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.types import PersonKeypoints

_SURE = 0.5  # confidence
_FEWEST = 5  # sure joints: head, neck, thorax and shoulders of somebody close to the camera
_SMALLEST = 24.0  # pixels between the farthest two sure joints, along x or y; below, joints are guesses
_UPPER_BODY = [JOINT_INDEX[name] for name in ("thorax", "neck", "head", "left_shoulder", "right_shoulder")]
_LIMBS = [i for name, i in JOINT_INDEX.items() if name.endswith(("elbow", "wrist", "hip", "knee", "ankle"))]
_FEWEST_LIMBS = 3


def is_plausible(person: PersonKeypoints, width: int, height: int) -> bool:
    """Whether enough of somebody is seen, in an image of that size, to go on believing in them."""
    sure = _sure_inside(person, width, height)
    if sure.sum() < _FEWEST:
        return False
    return bool(np.ptp(person.xy[sure], axis=0).max() >= _SMALLEST)


def is_convincing(person: PersonKeypoints, width: int, height: int) -> bool:
    """Whether enough of somebody is seen to believe in them without having seen them before.

    Head, shoulders and three more joints of the limbs: false finds are mostly legs without a body and bodies outside
    the image.
    """
    sure = _sure_inside(person, width, height)
    seen = bool(sure[_UPPER_BODY].all()) and sure[_LIMBS].sum() >= _FEWEST_LIMBS
    return seen and is_plausible(person, width, height)


def _sure_inside(person: PersonKeypoints, width: int, height: int) -> np.ndarray:
    """(17,) bool: joints that are sure and in the image."""
    inside = ((person.xy >= -0.5) & (person.xy < (width - 0.5, height - 0.5))).all(axis=1)  # NaN is not
    return inside & (person.confidence >= _SURE)
