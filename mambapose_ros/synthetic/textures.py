"""Textures: small pictures that are wrapped round the shapes, painted from a seed.

A texture is (TILE_HEIGHT, TILE_WIDTH, 3) float32 RGB in 0..255. Columns run round the shape's axis from back over the
person's right, front (the middle column) and left to the back again, as seen from the front; rows run from the
shape's upper end to its lower end.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

TILE_WIDTH, TILE_HEIGHT = 256, 128

Color = ArrayLike
"""R, G, B in 0..255."""


def plain(color: Color, rng: np.random.Generator, grain: float = 0.03) -> np.ndarray:
    """One colour with soft irregularities, as skin or hair has."""
    return cloth(color, rng, weave=0.4 * grain, folds=grain)


def cloth(color: Color, rng: np.random.Generator, weave: float = 0.03, folds: float = 0.07) -> np.ndarray:
    """Cloth of one colour: fine grain and broad folds, as shares of the brightness."""
    fine = rng.standard_normal((TILE_HEIGHT, TILE_WIDTH)).astype(np.float32)
    broad: np.ndarray = cv2.resize(
        rng.standard_normal((6, 14)).astype(np.float32), (TILE_WIDTH, TILE_HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    # Seams must not show, neither at the back nor between shapes: fade the folds out towards them.
    for size, axes in ((TILE_WIDTH, np.s_[None, :]), (TILE_HEIGHT, np.s_[:, None])):
        broad *= np.sqrt(1.0 - np.linspace(-1.0, 1.0, size, dtype=np.float32) ** 2)[axes]
    brightness = 1.0 + weave * cv2.GaussianBlur(fine, (0, 0), 1.0) * 2.0 + folds * broad
    return brightness[..., None] * np.asarray(color, np.float32)


def striped(base: np.ndarray, color: Color, stripes: int, width: float) -> np.ndarray:
    """``base`` with level stripes that take the share ``width`` of the cloth."""
    phase = (np.arange(TILE_HEIGHT) + 0.5) / TILE_HEIGHT * stripes % 1.0
    inside = (phase < width).astype(np.float32)[:, None, None]
    return base + inside * (np.asarray(color, np.float32) - base.mean(axis=(0, 1)))


def checked(base: np.ndarray, color: Color, around: int, along: int) -> np.ndarray:
    """``base`` with a tartan of half transparent bands."""
    columns = (np.arange(TILE_WIDTH) / TILE_WIDTH * around % 1.0 < 0.4).astype(np.float32)[None, :, None]
    rows = (np.arange(TILE_HEIGHT) / TILE_HEIGHT * along % 1.0 < 0.4).astype(np.float32)[:, None, None]
    return base + 0.35 * (columns + rows) * (np.asarray(color, np.float32) - base.mean(axis=(0, 1)))


def ending(upper: np.ndarray, lower: np.ndarray, share: float) -> np.ndarray:
    """``upper`` down to ``share`` of the height, ``lower`` below: a sleeve and a bare arm."""
    result = lower.copy()
    result[: round(share * TILE_HEIGHT)] = upper[: round(share * TILE_HEIGHT)]
    return result


def face(skin: Color, hair: Color, rng: np.random.Generator) -> np.ndarray:
    """A face on a head: eyes, brows, mouth, cheeks and a hint of shade under brows, nose and lip."""
    scale, shift = 4, 2  # Painted four times as large, positions in quarters of that, then scaled down: no jags.
    size = (scale * TILE_WIDTH, scale * TILE_HEIGHT)
    canvas = cv2.resize(plain(skin, rng, 0.02), size)
    dark, lips = 0.72 * np.asarray(skin, np.float32), np.array([0.78, 0.45, 0.45]) * skin
    iris = np.array([(88, 60, 40), (70, 105, 130), (75, 95, 60)][rng.integers(3)])

    def oval(x: float, y: float, rx: float, ry: float, color: Color, start: float = 0.0, stop: float = 360.0) -> None:
        """Ellipse at degrees x from the middle of the face, share y of the head's height; radii alike."""
        per_degree, height = scale * TILE_WIDTH / 360.0, scale * TILE_HEIGHT
        centre = (0.5 * scale * TILE_WIDTH + x * per_degree, y * height)
        fixed = tuple(round(v * 2**shift) for v in (*centre, rx * per_degree, ry * height))
        cv2.ellipse(
            canvas, fixed[:2], fixed[2:], 0.0, start, stop, np.asarray(color, float).tolist(), -1, cv2.LINE_AA, shift
        )

    for side in (-1.0, 1.0):
        oval(side * 24.0, 0.510, 15.0, 0.052, 0.88 * np.asarray(skin))  # Eye socket.
        oval(side * 36.0, 0.66, 15.0, 0.06, np.array([1.03, 0.92, 0.90]) * skin)  # Cheek.
        oval(side * 4.5, 0.668, 4.0, 0.014, 0.75 * dark)  # Nostril.
    canvas = cv2.GaussianBlur(canvas, (0, 0), 3.5 * scale)
    for side in (-1.0, 1.0):
        oval(side * 23.0, 0.510, 13.0, 0.034, 0.45 * dark)  # Lashes.
        oval(side * 23.0, 0.516, 11.5, 0.028, (214, 208, 200))
        oval(side * 22.5, 0.514, 5.8, 0.028, iris)
        oval(side * 22.5, 0.514, 2.9, 0.014, (18, 14, 12))
        oval(side * 24.0, 0.447, 14.5, 0.022, 0.8 * np.asarray(hair), 180.0, 360.0)  # Brow.
        oval(side * 4.5, 0.672, 3.0, 0.010, 0.7 * dark)
    oval(0.0, 0.770, 19.0, 0.020, lips, 180.0, 360.0)
    oval(0.0, 0.770, 17.0, 0.028, 1.08 * lips, 0.0, 180.0)
    oval(0.0, 0.770, 18.0, 0.005, 0.55 * lips)
    oval(0.0, 0.825, 12.0, 0.010, 0.9 * np.asarray(skin))
    # The hairline: high on the forehead, down before the ears, lowest at the back.
    line = np.interp(
        np.abs(np.linspace(-180.0, 180.0, size[0])), (0, 38, 62, 80, 95, 180), (0.19, 0.22, 0.34, 0.52, 0.68, 0.78)
    )
    scalp = np.linspace(0.0, 1.0, size[1])[:, None] < line
    canvas[scalp] = cv2.resize(cloth(hair, rng, weave=0.10, folds=0.08), size)[scalp]
    small = cv2.resize(canvas, (TILE_WIDTH, TILE_HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 0.8)


def atlas(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """(len(tiles) * TILE_HEIGHT, TILE_WIDTH + 2, 3) uint8: the tiles in a column, closed round at the seam."""
    column = np.clip(np.concatenate(tiles), 0, 255).astype(np.uint8)
    return np.concatenate([column[:, -1:], column, column[:, :1]], axis=1)
