"""Object-keypoint similarity: how alike two people in an image are, by their joints."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import JOINT_NAMES
from mambapose_ros.types import PersonKeypoints

_COCO_SIGMA = {"shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089}
# COCO has none of these. The head is made of the ears mostly; the others lie between joints that COCO has.
_TRUNK_SIGMA = {"head": 0.035, "neck": 0.057, "thorax": 0.079, "spine": 0.093, "pelvis": 0.107}

OKS_SIGMAS = np.array([_TRUNK_SIGMA.get(name) or _COCO_SIGMA[name.split("_")[-1]] for name in JOINT_NAMES])
"""(17,) standard deviation of where annotators put a joint, over the square root of the person's area.

Those of limbs are the constants of COCO's keypoint evaluation (https://cocodataset.org/#keypoints-eval)."""
OKS_SIGMAS.flags.writeable = False

_AREA_OF_BOX = 0.53  # what people cover of the box around them: usual where there is no segmentation
_SLIMMEST = 0.4  # width over height of a box, below which somebody seen from the side is not taken to be smaller


def oks(a: PersonKeypoints, b: PersonKeypoints) -> float:
    """Object-keypoint similarity as COCO defines it, over the joints that both have, in [0, 1]; 0 without any.

    The mean of exp(-d^2 / 2 s^2 k^2) over joints that are d apart, where s^2 is the area, here of the larger of both,
    and k twice the joint's sigma.
    """
    squared = ((a.xy - b.xy) ** 2).sum(axis=1)
    common = np.isfinite(squared)
    if not common.any():
        return 0.0
    variance = area_of(np.array([a.box, b.box])).max() * (2.0 * OKS_SIGMAS) ** 2
    return float(np.exp(-0.5 * squared[common] / variance[common]).mean())


def area_of(boxes: np.ndarray) -> np.ndarray:
    """(N,) square pixels that people in boxes (N, 4) cover; that of a pixel for NaN."""
    sides = np.sort(np.nan_to_num(boxes[:, 2:] - boxes[:, :2]), axis=1)
    return np.maximum(_AREA_OF_BOX * np.maximum(sides[:, 0], _SLIMMEST * sides[:, 1]) * sides[:, 1], 1.0)
