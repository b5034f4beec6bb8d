"""Where to look for people who are too small in the whole image for a detector's input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mambapose_ros.skeleton import BONES
from mambapose_ros.types import PersonKeypoints

SMALLEST_WINDOW = 32  # pixels; nobody is recognised in less

_SIDES = (1.0, 2.0 / 3.0)  # of the image's shorter side

_LIMB = 0.12  # thickness of a limb painted over, as a fraction of the person's size
_GREY = (128, 128, 128)
_THICKEST, _FARTHEST = 255, 20_000  # pixels, that OpenCV can draw


class Window(NamedTuple):
    """A part of an image: the pixels from (x, y), ``width`` times ``height`` of them."""

    x: int
    y: int
    width: int
    height: int

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Its part (height, width, 3) of an image (H, W, 3), as a view."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


def search_windows(width: int, height: int) -> tuple[Window, ...]:
    """The whole image, then square windows of two sizes that overlap by half or more; together they cover everything.

    Anybody from about a sixth of the image's shorter side on is in a window of which they are a quarter.
    """
    windows = [Window(0, 0, width, height)]
    for share in _SIDES:
        side = round(share * min(width, height))
        if side >= SMALLEST_WINDOW and (side, side) != (width, height):
            windows += [Window(x, y, side, side) for y in _starts(height, side) for x in _starts(width, side)]
    return tuple(windows)


def without_people(image: np.ndarray, people: Sequence[PersonKeypoints], window: Window) -> np.ndarray:
    """The window's part of an image, with people painted over, so that a detector sees the others.

    A detector suppresses somebody half hidden by one whom it sees better.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: with joints in its pixels.
    """
    import cv2

    part = np.ascontiguousarray(window.crop(image))
    if people and np.shares_memory(part, image):
        part = part.copy()
    for person in people:
        x0, y0, x1, y1 = person.box
        if not math.isfinite(x0):
            continue
        thickness = max(1, min(round(_LIMB * max(x1 - x0, y1 - y0)), _THICKEST))
        points = np.clip(np.nan_to_num(person.xy - (window.x, window.y)), -_FARTHEST, _FARTHEST).round().astype(int)
        there = np.isfinite(person.xy).all(axis=1)
        for parent, joint in BONES:
            if there[parent] and there[joint]:
                cv2.line(part, points[parent].tolist(), points[joint].tolist(), _GREY, thickness)
    return part


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin along an axis, half a window or less from each other."""
    count = 1 + math.ceil(2 * (length - side) / side)
    return [round(start) for start in np.linspace(0, length - side, count)]
