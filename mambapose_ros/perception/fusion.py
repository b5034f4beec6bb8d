"""Flow and depth at the joints of a person, read so that the background beside a limb does not get in."""

from __future__ import annotations

import numpy as np

from mambapose_ros.evidence.channels import TYPICAL_EXTENT_M
from mambapose_ros.types import DepthMap

SAMPLE_RADIUS_M = 0.025
"""Metres around a joint that are looked at: the thickness of a wrist."""

_NEAR = 0.25  # quantile of depth that is taken: a patch of which more than this share is limb gives the limb
_GRID = np.array([(x, y) for y in range(-3, 4) for x in range(-3, 4) if x * x + y * y <= 10]) / 3.0  # (37, 2) in a disc
_TAPS = np.array([(x, y) for y in (-0.7, 0.0, 0.7) for x in (-0.7, 0.0, 0.7)])  # (9, 2) in the same disc


def sample_radius(xy: np.ndarray) -> float:
    """``SAMPLE_RADIUS_M`` in pixels, at least 1, by the size of a person.

    Args:
        xy: (17, 2) pixels; NaN = missing. Their spread is taken to be that of a standing adult.
    """
    known = xy[np.isfinite(xy).all(axis=1)]
    if len(known) < 2:
        return 1.0
    spread = np.sqrt(known.var(axis=0).sum())
    return max(1.0, float(spread) * SAMPLE_RADIUS_M / TYPICAL_EXTENT_M)


def sample_flow(flow: np.ndarray, xy: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """Flow at joints: the median, per axis, of nine bilinear readings, which a few bad ones do not move.

    Args:
        flow: (H, W, 2) pixels; NaN = unknown.
        xy: (N, 2) pixels; NaN = missing.
        radius: pixels around each joint that are looked at, as ``sample_radius``.

    Returns:
        (N, 2) pixels; NaN = unknown, as outside the image, and where less than half of the readings are known.
    """
    inside = _inside(flow.shape, xy)
    places = np.where(inside[:, None], xy, 0.0)[:, None] + radius * _TAPS
    taps = _bilinear(flow, places)
    known = np.isfinite(taps).all(axis=2)
    enough = inside & (2 * known.sum(axis=1) > len(_TAPS))
    sampled = np.full(xy.shape, np.nan)
    sampled[enough] = np.nanmedian(np.where(known[..., None], taps, np.nan)[enough], axis=1)
    return sampled


def sample_depth(depth: DepthMap, xy: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """Depth of what is seen at joints: that of the nearer surface where two meet, and never anything between them.

    Of the pixels around a joint that have a value, the one a quarter of the way from the nearest to the farthest is
    taken as it is: a limb is nearer than what is behind it, and a few pixels that are too near are passed over.

    Args:
        depth: of the image. Metric values that are not above zero are taken as unknown.
        xy: (N, 2) pixels; NaN = missing.
        radius: pixels around each joint that are looked at, as ``sample_radius``.

    Returns:
        (N,) in the unit of ``depth``; NaN = unknown.
    """
    height, width = depth.values.shape
    inside = _inside(depth.values.shape, xy)
    places = np.where(inside[:, None], xy, 0.0)[:, None] + radius * _GRID
    column, row = np.floor(places + 0.5).astype(np.int64).transpose(2, 0, 1)
    usable = inside[:, None] & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    values = depth.values[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)].astype(np.float64)
    usable &= np.isfinite(values)
    if depth.metric:
        usable &= values > 0
    # Sorted from near to far, unusable ones last.
    nearness = np.sort(np.where(usable, values if depth.metric else -values, np.inf), axis=1)
    count = usable.sum(axis=1)
    chosen = nearness[np.arange(len(xy)), (_NEAR * np.maximum(count - 1, 0)).astype(np.int64)]
    return np.where(count > 0, chosen if depth.metric else -chosen, np.nan)


def _inside(shape: tuple[int, ...], xy: np.ndarray) -> np.ndarray:
    """(N,) bool, which of pixels (N, 2) lie on an image of this shape."""
    with np.errstate(invalid="ignore"):
        return ((xy >= -0.5) & (xy < (shape[1] - 0.5, shape[0] - 0.5))).all(axis=1)


def _bilinear(flow: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(..., 2) values of (H, W, 2) at ``places`` (..., 2) pixels; NaN outside, and where a neighbour is NaN."""
    height, width = flow.shape[:2]
    outside = ~_inside(flow.shape, places.reshape(-1, 2)).reshape(places.shape[:-1])
    x = np.clip(places[..., 0], 0.0, width - 1.0)
    y = np.clip(places[..., 1], 0.0, height - 1.0)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    upper = flow[top, left] * (1.0 - across) + flow[top, right] * across
    lower = flow[bottom, left] * (1.0 - across) + flow[bottom, right] * across
    values = upper * (1.0 - down) + lower * down
    values[outside] = np.nan
    return values
