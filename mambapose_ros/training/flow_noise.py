"""Optical flow at the joints as an estimator like RAFT (Teed and Deng, ECCV 2020) would give it."""

from __future__ import annotations

import numpy as np

from mambapose_ros.training.random_process import slow_noise
from mambapose_ros.training.surface import Surface

_BLUR = 0.06  # of the motion: estimators smooth over edges
_PIXEL_ERROR = (0.1, 0.6)  # least and most, standard deviation per axis
_ERROR_TIME_S = 0.1
_GROSS = 0.02  # of all samples
_UNKNOWN = 0.02  # of all samples: forward and backward flow disagree


def observe_flow(
    rng: np.random.Generator, rays: np.ndarray, surface: Surface, pixel: np.ndarray, interval: np.ndarray
) -> np.ndarray:
    """Where the points seen were one frame before.

    Args:
        rng: source of randomness.
        rays: (B, F, 17, 2) on the plane z = 1, where the points are seen.
        surface: what is seen there.
        pixel: (B,) size of a pixel on that plane.
        interval: (B,) seconds between frames.

    Returns:
        (B, F, 17, 2) float32 on the plane z = 1; NaN = unknown, as in the first frame.
    """
    people, frames, joints, _ = rays.shape
    error = slow_noise(rng, interval, frames, 2 * joints, _ERROR_TIME_S).reshape(rays.shape)
    gross = rng.random((people, frames, joints), dtype=np.float32) < _GROSS
    speed = np.hypot(surface.motion[..., 0], surface.motion[..., 1])
    typical = (rng.uniform(*_PIXEL_ERROR, people) * pixel)[:, None, None]
    error *= (typical + speed * np.where(gross, np.float32(1.0), np.float32(_BLUR)))[..., None]
    previous = rays - surface.motion - error
    previous[rng.random(gross.shape, dtype=np.float32) < _UNKNOWN] = np.nan
    previous[:, 0] = np.nan
    return previous
