"""Where a lifted body stands: by its keypoints' rays, and by measured depth where there is any."""

from __future__ import annotations

import numpy as np

from mambapose_ros.geometry import NEAREST_M, Camera, solve_root
from mambapose_ros.skeleton import JOINT_RADIUS_M

_FEWEST_MEASURED = 3  # joints; fewer may all be something in front of the person


def place_body(
    camera: Camera, xy: np.ndarray, pose: np.ndarray, weights: np.ndarray, depth: np.ndarray | None = None
) -> np.ndarray | None:
    """The pelvis such that a pose fits its keypoints and, if measured, stands as far away as its skin was measured.

    Args:
        camera: intrinsics.
        xy: (17, 2) pixels; NaN = missing.
        pose: (17, 3) metres from the pelvis, camera optical frame.
        weights: (17,) not negative; 0 = do not use.
        depth: (17,) metres along the optical axis of what is seen at the joints, measured by a sensor; NaN = unknown.

    Returns:
        (3,) metres, camera optical frame; None when it cannot be known (``geometry.solve_root`` says when).
    """
    solution = solve_root(camera, xy, pose, weights)
    if solution.problem:
        return None
    if depth is None:
        return solution.position
    measured = np.isfinite(depth) & (weights > 0)
    if measured.sum() < _FEWEST_MEASURED:
        return solution.position
    # The skin lies before the joint. Half the weight is on either side, so a few joints that another limb or the
    # background was measured at do not matter.
    distance = _weighted_median((depth + JOINT_RADIUS_M - pose[:, 2])[measured], weights[measured])
    if distance + pose[:, 2].min() < NEAREST_M:
        return solution.position
    return solution.position * (distance / solution.position[2])


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])
