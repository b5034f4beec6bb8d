"""Optical flow at the joints as an estimator like RAFT (Teed and Deng, ECCV 2020) would give it."""

from __future__ import annotations

import numpy as np

from mambapose_ros.skeleton import JOINT_RADIUS_M
from mambapose_ros.training.cameras import Cameras, project
from mambapose_ros.training.detector_noise import Detections
from mambapose_ros.training.random_process import slow_noise
from mambapose_ros.training.surface import Surface

_BLUR = 0.06  # of the motion: estimators smooth over edges
_PIXEL_ERROR = (0.1, 0.6)  # least and most, standard deviation per axis
_ERROR_TIME_S = 0.1
_GROSS = 0.02  # of all samples
_UNKNOWN = 0.02  # of all samples: forward and backward flow disagree


def observe_flow(
    rng: np.random.Generator,
    detections: Detections,
    surface: Surface,
    cameras: Cameras,
    scale: np.ndarray,
    interval: np.ndarray,
) -> np.ndarray:
    """Where the point seen at each detected keypoint was one frame before.

    Flow is read where the detector says that the joint is. That far from the body it is the background's, and where
    the joint is hidden it is that of the limb in front.

    Args:
        rng: source of randomness.
        detections: keypoints (B, F, 17).
        surface: what is seen at the joints.
        cameras: that see it.
        scale: (B,) size of the body relative to an average adult.
        interval: (B,) seconds between frames.

    Returns:
        (B, F, 17, 2) float32 on the plane z = 1; NaN = unknown, as in the first frame.
    """
    people, frames, joints = detections.confidence.shape
    missed = detections.off > misses_body(rng, scale)
    flow = np.where(missed[..., None], background_motion(rng, detections.rays, surface.depth, cameras), surface.motion)
    pixels = rng.uniform(*_PIXEL_ERROR, people) * cameras.pixel
    error = slow_noise(rng, interval, frames, 2 * joints, _ERROR_TIME_S).reshape(flow.shape)
    gross = rng.random(missed.shape, dtype=np.float32) < _GROSS
    speed = np.hypot(flow[..., 0], flow[..., 1])
    error *= (pixels[:, None, None] + speed * np.where(gross, np.float32(1.0), np.float32(_BLUR)))[..., None]
    previous = detections.rays - flow - error
    previous[rng.random(missed.shape, dtype=np.float32) < _UNKNOWN] = np.nan
    previous[:, 0] = np.nan
    return previous


def misses_body(rng: np.random.Generator, scale: np.ndarray) -> np.ndarray:
    """(B, 1, 17) metres off the joint from which on the background is seen: the thickness of the flesh, about."""
    slimness = rng.uniform(0.7, 1.3, len(scale)).astype(np.float32)
    return (slimness * scale)[:, None, None] * JOINT_RADIUS_M


def background_motion(rng: np.random.Generator, rays: np.ndarray, depth: np.ndarray, cameras: Cameras) -> np.ndarray:
    """(B, F, 17, 2) motion since the frame before of what stands still some metres behind the body."""
    behind = rng.uniform(0.3, 4.0, (len(rays), 1, 1, 1)).astype(np.float32) + depth[..., None]
    points = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=3) * behind
    return rays - project(cameras.earlier(points))
