"""Depth at the joints: of a network like Depth Anything (Yang et al., 2024), or of a depth camera."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import JOINT_RADIUS_M
from mambapose_ros.training.detector_noise import Detections
from mambapose_ros.training.random_process import slow_noise
from mambapose_ros.training.surface import Surface

_ERROR_TIME_S = 0.3
_DRIFT_TIME_S = 1.0
_BACKGROUND_M = (0.3, 4.0)  # behind the body

# A network's depth.
_SCALE_DRIFT, _SHIFT_DRIFT = 0.03, 0.05
_RELIEF_SPREAD = 0.25  # of the logarithm: bodies come out flatter or deeper than they are
_TILT_M = 0.06  # standard deviation, per metre across the body
_JOINT_ERROR_M = 0.035
_WHITE_ERROR_M = 0.01

# A depth camera's.
_SENSOR_ERROR = (0.001, 0.004)  # metres at 1 m; grows with the square of the distance, as disparity has a fixed error
_SENSOR_SCALE = 0.01
_SENSOR_RANGE_M = (4.0, 8.0)
_SENSOR_HOLES = (0.01, 0.1)
_EDGE_HOLES = 0.5


def relative_depth(
    rng: np.random.Generator,
    detections: Detections,
    surface: Surface,
    scale: np.ndarray,
    interval: np.ndarray,
) -> np.ndarray:
    """Inverse depth of unknown scale and shift, both drifting slowly, at the detected keypoints.

    It is that of the surface seen there, with a smooth error: the body's relief is stretched and tilted, and each
    joint is off by some centimetres. Toward the edge of a limb it bleeds into the background's.

    Args:
        rng: source of randomness.
        detections: keypoints (B, F, 17).
        surface: what is seen at the joints.
        scale: (B,) size of the body relative to an average adult.
        interval: (B,) seconds between frames.

    Returns:
        (B, F, 17) float32, larger = nearer.
    """
    people, frames, joints = surface.depth.shape
    middle = surface.depth.mean(axis=2, keepdims=True)
    relief = np.exp(_RELIEF_SPREAD * rng.standard_normal((people, 1, 1), dtype=np.float32))
    tilt = slow_noise(rng, interval, frames, 2, _ERROR_TIME_S) * np.float32(_TILT_M)
    across = (detections.rays - detections.rays.mean(axis=2, keepdims=True)) * middle[..., None]
    error = slow_noise(rng, interval, frames, joints, _ERROR_TIME_S) * np.float32(_JOINT_ERROR_M)
    error += rng.standard_normal(error.shape, dtype=np.float32) * np.float32(_WHITE_ERROR_M)
    error += (across @ tilt[..., None])[..., 0]
    near = middle * 0.2
    seen = 1.0 / np.maximum(middle + relief * (surface.depth - middle) + error, near)
    bleeding = edge_share(detections, scale)
    seen += bleeding * (1.0 / (surface.depth + _behind(rng, people)) - seen)
    drift = slow_noise(rng, interval, frames, 2, _DRIFT_TIME_S)
    gain = np.exp(rng.standard_normal((people, 1), dtype=np.float32) + _SCALE_DRIFT * drift[..., 0])
    shift = rng.standard_normal((people, 1), dtype=np.float32) + _SHIFT_DRIFT * drift[..., 1]
    return gain[..., None] * (seen + shift[..., None])


def sensor_depth(
    rng: np.random.Generator,
    detections: Detections,
    surface: Surface,
    scale: np.ndarray,
) -> np.ndarray:
    """Metres along the optical axis at the detected keypoints: noise that grows with distance squared, holes, a range.

    Arguments as of ``relative_depth``.

    Returns:
        (B, F, 17) float32; NaN = no measurement.
    """
    people = len(scale)
    draw = rng.random((3, *surface.depth.shape), dtype=np.float32)
    edge = edge_share(detections, scale)
    seen = surface.depth + np.where(draw[0] < edge, _behind(rng, people), np.float32(0.0))
    error = rng.uniform(*_SENSOR_ERROR, (people, 1, 1)).astype(np.float32) * seen**2
    calibration = 1.0 + np.float32(_SENSOR_SCALE) * rng.standard_normal((people, 1, 1), dtype=np.float32)
    measured = calibration * seen + error * rng.standard_normal(seen.shape, dtype=np.float32)
    hole = draw[1] < rng.uniform(*_SENSOR_HOLES, (people, 1, 1)).astype(np.float32)
    hole |= draw[2] < _EDGE_HOLES * edge
    hole |= measured > rng.uniform(*_SENSOR_RANGE_M, (people, 1, 1))
    return np.where(hole, np.nan, measured)


def edge_share(detections: Detections, scale: np.ndarray) -> np.ndarray:
    """(B, F, 17) how much of the background is mixed in: 0 well inside the limb, 1 well beyond its edge."""
    radius = JOINT_RADIUS_M * scale[:, None, None]
    return np.clip(detections.off / radius - 0.7, 0.0, 1.0)


def _behind(rng: np.random.Generator, people: int) -> np.ndarray:
    """(P, 1, 1) metres from the body to what stands behind it."""
    return rng.uniform(*_BACKGROUND_M, (people, 1, 1)).astype(np.float32)
