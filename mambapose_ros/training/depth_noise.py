"""Depth at the joints: of a network like Depth Anything (Yang et al., 2024), or of a depth camera."""

from __future__ import annotations

import numpy as np

from mambapose_ros.training.random_process import slow_noise
from mambapose_ros.training.surface import Surface

_ERROR_TIME_S = 0.3
_DRIFT_TIME_S = 1.0

# A network's depth.
_SCALE_DRIFT, _SHIFT_DRIFT = 0.03, 0.05
_RELIEF_SPREAD = 0.25  # of the logarithm: bodies come out flatter or deeper than they are
_TILT_M = 0.06  # standard deviation, per metre across the body
_JOINT_ERROR_M = 0.035
_WHITE_ERROR_M = 0.01
_BLEEDING = 0.3  # share of the background at the edge of a limb

# A depth camera's.
_SENSOR_ERROR = (0.001, 0.004)  # metres at 1 m; grows with the square of the distance, as disparity has a fixed error
_SENSOR_SCALE = 0.01
_SENSOR_RANGE_M = (4.0, 8.0)
_SENSOR_HOLES = (0.01, 0.1)
_EDGE_HOLES = 0.5


def relative_depth(rng: np.random.Generator, rays: np.ndarray, surface: Surface, interval: np.ndarray) -> np.ndarray:
    """Inverse depth of unknown scale and shift, both drifting slowly.

    It is that of the surface seen, with a smooth error: the body's relief is stretched and tilted, and each joint is
    off by some centimetres. Toward the edge of a limb it bleeds into the background's.

    Args:
        rng: source of randomness.
        rays: (B, F, 17, 2) on the plane z = 1, where it is read.
        surface: what is seen there.
        interval: (B,) seconds between frames.

    Returns:
        (B, F, 17) float32, larger = nearer.
    """
    people, frames, joints = surface.depth.shape
    middle = np.median(surface.depth, axis=2, keepdims=True)
    relief = np.exp(_RELIEF_SPREAD * rng.standard_normal((people, 1, 1), dtype=np.float32))
    tilt = slow_noise(rng, interval, frames, 2, _ERROR_TIME_S) * np.float32(_TILT_M)
    across = (rays - rays.mean(axis=2, keepdims=True)) * middle[..., None]
    error = slow_noise(rng, interval, frames, joints, _ERROR_TIME_S) * np.float32(_JOINT_ERROR_M)
    error += rng.standard_normal(error.shape, dtype=np.float32) * np.float32(_WHITE_ERROR_M)
    error += (across @ tilt[..., None])[..., 0]
    near = middle * 0.2
    seen = 1.0 / np.maximum(middle + relief * (surface.depth - middle) + error, near)
    seen += _BLEEDING * surface.rim * (1.0 / surface.background - seen)
    drift = slow_noise(rng, interval, frames, 2, _DRIFT_TIME_S)
    gain = np.exp(rng.standard_normal((people, 1), dtype=np.float32) + _SCALE_DRIFT * drift[..., 0])
    shift = rng.standard_normal((people, 1), dtype=np.float32) + _SHIFT_DRIFT * drift[..., 1]
    return gain[..., None] * (seen + shift[..., None])


def sensor_depth(rng: np.random.Generator, surface: Surface) -> np.ndarray:
    """Metres along the optical axis: noise that grows with distance squared, holes, a range.

    Args:
        rng: source of randomness.
        surface: what is seen.

    Returns:
        (B, F, 17) float32; NaN = no measurement.
    """
    people, seen = len(surface.depth), surface.depth
    draw = rng.random((2, *seen.shape), dtype=np.float32)
    error = rng.uniform(*_SENSOR_ERROR, (people, 1, 1)).astype(np.float32) * seen**2
    calibration = 1.0 + np.float32(_SENSOR_SCALE) * rng.standard_normal((people, 1, 1), dtype=np.float32)
    measured = calibration * seen + error * rng.standard_normal(seen.shape, dtype=np.float32)
    hole = draw[0] < rng.uniform(*_SENSOR_HOLES, (people, 1, 1)).astype(np.float32)
    hole |= draw[1] < _EDGE_HOLES * surface.rim
    hole |= measured > rng.uniform(*_SENSOR_RANGE_M, (people, 1, 1))
    return np.where(hole, np.nan, measured)
