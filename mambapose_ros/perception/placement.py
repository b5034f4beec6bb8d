"""Where a lifted body stands: by its keypoints' rays, and by measured depth where there is any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mambapose_ros.geometry import NEAREST_M, Camera, solve_root
from mambapose_ros.skeleton import JOINT_RADIUS_M

FEWEST_MEASURED = 3
"""Joints at which depth must have been measured to count; fewer may all be something in front of the person."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a body stands.

    Attributes:
        root: (3,) the pelvis, metres, camera optical frame; NaN when it cannot be known.
        by_depth: whether measured depth says how far away it is, that of this image or of earlier ones.
        ratio: how far away it was measured to be in this image over what the rays say; NaN = it was not.
        problem: why the place cannot be known; empty when it is.
    """

    root: np.ndarray
    by_depth: bool = False
    ratio: float = np.nan
    problem: str = ""


def place_body(
    camera: Camera,
    xy: np.ndarray,
    pose: np.ndarray,
    weights: np.ndarray,
    depth: np.ndarray | None = None,
    usual_ratio: float = np.nan,
) -> Placement:
    """The pelvis such that a pose fits its keypoints and, if measured, stands as far away as its skin was measured.

    Args:
        camera: intrinsics.
        xy: (17, 2) pixels; NaN = missing.
        pose: (17, 3) metres from the pelvis, camera optical frame.
        weights: (17,) not negative; 0 = do not use.
        depth: (17,) metres along the optical axis of what is seen at the joints, measured by a sensor; NaN = unknown.
        usual_ratio: ``Placement.ratio`` of late, for when nothing is measured; NaN = unknown.

    Returns:
        The place; it has a ``problem`` where ``geometry.solve_root`` has one.
    """
    solution = solve_root(camera, xy, pose, weights)
    by_rays = Placement(solution.position, problem=solution.problem)
    if solution.problem:
        return by_rays
    nearest = NEAREST_M - pose[:, 2].min()
    by_rays_m, distance = solution.position[2], _measured_distance(pose, weights, depth)
    measured = distance >= nearest  # which NaN is not
    if not measured:
        distance = by_rays_m * usual_ratio
    if not distance >= nearest:
        return by_rays
    scale = distance / by_rays_m if by_rays_m > NEAREST_M else np.nan
    ratio = scale if measured else np.nan
    if weights[0] > 0 and np.isfinite(xy[0]).all() and np.isfinite(scale):
        return Placement(solution.position * scale, by_depth=True, ratio=ratio)
    # Nobody sees the pelvis, and its ray is no better known than the body's size: the joints that are seen stay.
    rays = camera.rays(xy)
    used = np.isfinite(rays).all(axis=1) & (weights > 0)
    aside = (rays * (distance + pose[:, 2:]) - pose[:, :2])[used]
    root = np.array([*(_weighted_median(axis, weights[used]) for axis in aside.T), distance])
    return Placement(root, by_depth=True, ratio=ratio)


def _measured_distance(pose: np.ndarray, weights: np.ndarray, depth: np.ndarray | None) -> float:
    """The pelvis's depth in metres by those of the skin; NaN when too little was measured."""
    if depth is None:
        return np.nan
    measured = np.isfinite(depth) & (weights > 0)
    if measured.sum() < FEWEST_MEASURED:
        return np.nan
    # The skin lies before the joint. Half the weight is on either side, so a few joints that another limb or the
    # background was measured at do not matter.
    return _weighted_median((depth + JOINT_RADIUS_M - pose[:, 2])[measured], weights[measured])


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])
