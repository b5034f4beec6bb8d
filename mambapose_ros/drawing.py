"""Pictures for people: skeletons over images, and several images as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mambapose_ros.skeleton import BONES, JOINT_NAMES
from mambapose_ros.types import PersonKeypoints

# RGB. Right and left as on a ship: starboard green, port red; the middle white.
_SIDE_COLORS = {"right": (60, 210, 90), "left": (240, 70, 70)}
_MIDDLE_COLOR = (245, 245, 245)


def draw_keypoints(image: np.ndarray, people: Sequence[PersonKeypoints], min_confidence: float = 0.3) -> np.ndarray:
    """A copy of the image with bones, joints and ids drawn over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: with joints in its pixels.
        min_confidence: joints below are left out, and bones that end at them.
    """
    import cv2

    canvas = image.copy()
    for person in people:
        x0, y0, x1, y1 = np.clip(person.box, -_FARTHEST, _FARTHEST)
        if not math.isfinite(x0):
            continue
        width = max(1, round(0.012 * min(max(x1 - x0, y1 - y0), max(image.shape))))
        drawn = np.isfinite(person.xy).all(axis=1) & (person.confidence >= min_confidence)
        points = _fixed_point(person.xy)
        for parent, joint in BONES:
            if drawn[parent] and drawn[joint]:
                cv2.line(canvas, points[parent], points[joint], _color(joint), width, cv2.LINE_AA, shift=_SHIFT)
        for joint in np.flatnonzero(drawn):
            cv2.circle(canvas, points[joint], (width + 1) << _SHIFT, _color(joint), -1, cv2.LINE_AA, shift=_SHIFT)
        if person.id:
            _label(canvas, person.id, (round(x0), round(y0) - 6))
    return canvas


def tile(images: Sequence[np.ndarray], columns: int, width: int) -> np.ndarray:
    """Images (h, w, 3) of one shape as a grid that many wide, row by row; ``width`` in pixels, empty places dark."""
    import cv2

    cell_width = width // columns
    height = round(cell_width * images[0].shape[0] / images[0].shape[1])
    cells = [cv2.resize(image, (cell_width, height), interpolation=cv2.INTER_AREA) for image in images]
    cells += [np.full_like(cells[0], 24)] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """A copy of the image (H, W, 3) with a line of text in its top left corner."""
    canvas = image.copy()
    _label(canvas, text, (6, 20))
    return canvas


_SHIFT = 3  # OpenCV draws at eighths of a pixel
_FARTHEST = 20_000  # a wild coordinate must not overflow OpenCV's integers; a line to there looks the same


def _fixed_point(xy: np.ndarray) -> list[tuple[int, int]]:
    limited = np.clip(np.nan_to_num(xy), -_FARTHEST, _FARTHEST)
    return [(round(x * 2**_SHIFT), round(y * 2**_SHIFT)) for x, y in limited]


def _color(joint: int) -> tuple[int, int, int]:
    return _SIDE_COLORS.get(JOINT_NAMES[joint].partition("_")[0], _MIDDLE_COLOR)


def _label(canvas: np.ndarray, text: str, origin: tuple[int, int]) -> None:
    import cv2

    scale = max(0.45, canvas.shape[0] / 1100)
    for color, width in (((20, 20, 20), 3), ((255, 255, 255), 1)):
        cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, width, cv2.LINE_AA)
