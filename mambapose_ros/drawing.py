"""Pictures for people: skeletons over images, and several images as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import BONES, JOINT_NAMES, NUM_JOINTS
from mambapose_ros.types import PersonKeypoints, Skeleton3D

# RGB. Right and left as on a ship: starboard green, port red; the middle white.
_SIDE_COLORS = {"right": (60, 210, 90), "left": (240, 70, 70)}
_MIDDLE_COLOR = (245, 245, 245)

_LEAST_CONFIDENCE = 0.3  # of a joint in an image, to be drawn


def draw_keypoints(image: np.ndarray, people: Sequence[PersonKeypoints]) -> np.ndarray:
    """A copy of the image with bones, joints and ids drawn over it. Joints that are unsure are left out, and bones that
    end at them.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: with joints in its pixels.
    """
    canvas = image.copy()
    for person in people:
        x0, y0, x1, y1 = np.clip(person.box, -_FARTHEST, _FARTHEST)
        if not math.isfinite(x0):
            continue
        width = max(1, round(0.012 * min(max(x1 - x0, y1 - y0), max(image.shape))))
        sure = np.where(person.confidence[:, None] >= _LEAST_CONFIDENCE, person.xy, np.nan)
        _draw_bones(canvas, sure, [_color(joint) for joint in range(NUM_JOINTS)], width)
        if person.id:
            _label(canvas, person.id, (round(x0), round(y0) - 6))
    return canvas


def draw_skeletons_3d(
    skeletons: Sequence[Skeleton3D], size: tuple[int, int], reference: Sequence[Skeleton3D] = ()
) -> np.ndarray:
    """People in space from two sides: left as the camera sees them, right from its right-hand side; no perspective.

    Both halves have one scale, a grid line every half metre, counted from the camera, and a floor under the lowest
    joint. A bone is the paler the less sure its joint is.

    Args:
        skeletons: in the camera's optical frame, metres.
        size: width and height of the picture, pixels.
        reference: others to compare with, such as the truth; drawn thin and grey.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    everyone = [skeleton.joints for skeleton in (*skeletons, *reference)]
    joints = np.concatenate([np.empty((0, 3)), *everyone])
    joints = joints[np.isfinite(joints).all(axis=1)]
    low, high = (joints.min(axis=0), joints.max(axis=0)) if len(joints) else (_EMPTY_SCENE[0], _EMPTY_SCENE[1])
    width, height = size
    half = width // 2
    extent = 1.1 * (high - low) + 2 * _SCENE_MARGIN_M
    pixels_per_metre = min(half / max(extent[0], extent[2]), height / max(extent[1], _LEAST_HEIGHT_M))
    views = [
        _View((columns, height), horizontal, (low + high) / 2, pixels_per_metre)
        for columns, horizontal in ((half, 0), (width - half, 2))
    ]
    names = ("camera view", "from the side, camera at the left")
    return np.hstack(
        [_draw_view(view, name, float(high[1]), skeletons, reference) for view, name in zip(views, names, strict=True)]
    )


_EMPTY_SCENE = np.array([(-0.5, -1.0, 3.5), (0.5, 0.8, 4.5)])
_SCENE_MARGIN_M = 0.2
_LEAST_HEIGHT_M = 2.2  # so that pictures of one standing person have one scale, whatever the arms do
_GRID_M = 0.5
_GREY = (120, 120, 128)


@dataclass(frozen=True)
class _View:
    """A picture without perspective of the camera's optical frame, y down.

    Attributes:
        size: width, height in pixels.
        horizontal: which axis of the frame runs to the right.
        center: (3,) metres, in the middle of the picture.
        pixels_per_metre: scale.
    """

    size: tuple[int, int]
    horizontal: int
    center: np.ndarray
    pixels_per_metre: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) metres -> (N, 2) pixels."""
        offsets = (points - self.center)[:, [self.horizontal, 1]]
        return offsets * self.pixels_per_metre + np.array(self.size) / 2

    def grid(self, axis: int) -> list[tuple[float, int]]:
        """Metres and pixel of the grid lines that cross an axis of the frame."""
        span = self.size[0 if axis == self.horizontal else 1] / self.pixels_per_metre
        first = math.ceil((self.center[axis] - span / 2) / _GRID_M)
        last = math.floor((self.center[axis] + span / 2) / _GRID_M)
        point = np.array([self.center])
        lines = []
        for step in range(first, last + 1):
            point[0, axis] = step * _GRID_M
            lines.append((step * _GRID_M, round(self(point)[0, 0 if axis == self.horizontal else 1])))
        return lines


def _draw_view(
    view: _View, name: str, floor: float, skeletons: Sequence[Skeleton3D], reference: Sequence[Skeleton3D]
) -> np.ndarray:
    import cv2

    width, height = view.size
    canvas = np.full((height, width, 3), 24, np.uint8)
    for metres, x in view.grid(view.horizontal):
        cv2.line(canvas, (x, 0), (x, height), _grid_color(metres), 1)
        if metres == round(metres) and x < width - 45:  # whole, or not at all
            _label(canvas, f"{metres:.0f} m", (x + 3, height - 6))
    for metres, y in view.grid(1):
        cv2.line(canvas, (0, y), (width, y), _grid_color(metres), 1)
    floor_y = round(float(view(np.array([[0.0, floor, 0.0]]))[0, 1]))
    cv2.line(canvas, (0, floor_y), (width, floor_y), (150, 140, 100), 2)
    for skeleton in reference:
        _draw_bones(canvas, view(skeleton.joints), [_GREY] * NUM_JOINTS, 1)
    for skeleton in skeletons:
        points = view(skeleton.joints)
        _draw_bones(canvas, points, [_faded(joint, skeleton.confidence[joint]) for joint in range(NUM_JOINTS)], 3)
        if skeleton.id and np.isfinite(points).all(axis=1).any():
            top = points[np.nanargmin(points[:, 1])]
            _label(canvas, skeleton.id, (round(top[0]) + 8, round(top[1]) - 6))
    _label(canvas, name, (6, 18))
    if reference:
        _label(canvas, "grey: reference", (6, 38))
    canvas[:, 0] = 90  # where two views meet
    return canvas


def _draw_bones(canvas: np.ndarray, xy: np.ndarray, colors: Sequence[tuple[int, int, int]], width: int) -> None:
    """Bones and joints that are there; each bone in the colour of the joint at its end."""
    import cv2

    drawn = np.isfinite(xy).all(axis=1)
    points = _fixed_point(xy)
    for parent, joint in BONES:
        if drawn[parent] and drawn[joint]:
            cv2.line(canvas, points[parent], points[joint], colors[joint], width, cv2.LINE_AA, shift=_SHIFT)
    for joint in np.flatnonzero(drawn):
        cv2.circle(canvas, points[joint], (width + 1) << _SHIFT, colors[joint], -1, cv2.LINE_AA, shift=_SHIFT)


def _faded(joint: int, confidence: float) -> tuple[int, int, int]:
    strength = 0.35 + 0.65 * min(1.0, max(0.0, float(np.nan_to_num(confidence))))
    red, green, blue = (round(value * strength) for value in _color(joint))
    return red, green, blue


def _grid_color(metres: float) -> tuple[int, int, int]:
    return (70, 70, 76) if metres == round(metres) else (44, 44, 48)


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
