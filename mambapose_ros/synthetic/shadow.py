"""The soft shadow that shapes cast on the floor."""

from __future__ import annotations

import cv2
import numpy as np

from mambapose_ros.geometry import Camera
from mambapose_ros.synthetic.quadrics import Quadrics

_CELL = 0.025
"""Metres; the shadow is drawn on a map of the floor with cells of this size."""

_SUBCELL = 4
"""Bits of the fraction of a cell that OpenCV's drawing takes."""

_MARGIN = 0.4
"""Metres of floor around the shapes' axes that the map holds."""

_LOSS = 0.55
"""Share of the light that is lost where the shadow is deepest."""

_CONTACT = 0.1
"""Metres; what is lower lies on the floor."""


def darken_floor(
    image: np.ndarray,
    floor: np.ndarray,
    quadrics: Quadrics,
    to_world: np.ndarray,
    to_camera: np.ndarray,
    camera: Camera,
    lamp: np.ndarray,
) -> None:
    """Darken ``image`` (H, W, 3) uint8 in place where its ``floor`` (H, W; 0 or 1) lies in the shapes' shadow.

    Args:
        to_world: (S, 4, 4) from segments to the world, in which the floor is z = 0.
        to_camera: (4, 4) from the world to the optical frame.
        lamp: (3,) direction towards the lamp, world frame.
    """
    frame = to_world[quadrics.segment] @ quadrics.frame
    centres = frame[:, None, :3, 3] + frame[:, None, :3, 2] * quadrics.spheres[:, :, :1]
    cast = centres[..., :2] - lamp[:2] * (centres[..., 2:] / lamp[2])
    # The thinner way across a shape decides: flat shapes throw about that much shadow, round ones exactly.
    across = np.linalg.norm(frame[:, :3, :2], axis=1).min(axis=1)
    radius = (across[:, None] * quadrics.spheres[..., 1]).mean(axis=1)

    low = cast.min(axis=(0, 1)) - _MARGIN
    size = np.ceil((cast.max(axis=(0, 1)) + _MARGIN - low) / _CELL).astype(int)
    shadow: np.ndarray = np.zeros((size[1], size[0]), np.uint8)
    _draw(shadow, cast - low, radius)
    # Light from all around does not get under what lies on the floor.
    on_floor = (centres[..., 2] < _CONTACT).all(axis=1)
    _draw(shadow, centres[on_floor, :, :2] - low, radius[on_floor])
    shadow = cv2.GaussianBlur(shadow, (0, 0), 1.3)

    floor_to_camera = to_camera[:3] @ np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1.0]])
    cell_to_floor = np.array([[_CELL, 0, low[0]], [0, _CELL, low[1]], [0, 0, 1]])
    seen: np.ndarray = cv2.warpPerspective(shadow, camera.K @ floor_to_camera @ cell_to_floor, image.shape[1::-1])
    seen *= floor
    x, y, w, h = cv2.boundingRect(seen)
    if w:
        box = np.s_[y : y + h, x : x + w]
        factor = 1.0 - seen[box].astype(np.float32) * (_LOSS / 255.0)
        np.copyto(image[box], cv2.multiply(image[box], cv2.merge([factor] * 3), dtype=cv2.CV_8U))


def _draw(shadow: np.ndarray, axes: np.ndarray, radius: np.ndarray) -> None:
    """Draw shapes as thick lines: ``axes`` (n, 2, 2) metres from the map's corner, ``radius`` (n,) metres."""
    cells = np.round(axes / _CELL * 2**_SUBCELL).astype(int).tolist()
    widths = np.maximum(1, np.round(2.0 * radius / _CELL)).astype(int).tolist()
    for (a, b), width in zip(cells, widths, strict=True):
        cv2.line(shadow, a, b, (255,), width, cv2.LINE_AA, _SUBCELL)
