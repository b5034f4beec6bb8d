"""Flow over several images, from the flow between each two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class StampedFlow:
    """Flow and the images that it lies between.

    Attributes:
        stamp_ns: of the image on whose grid it lies.
        since_ns: of the image before, that it is counted from.
        values: (H, W, 2) float32 pixels: the point now at (x, y) was at (x, y) - values[y, x] then.
    """

    stamp_ns: int
    since_ns: int
    values: np.ndarray


def chain_flow(flows: Sequence[StampedFlow], since_ns: int, stamp_ns: int) -> np.ndarray | None:
    """Flow from one image to a later one, over those between them.

    Args:
        flows: in any order; not all of them need be of use.
        since_ns: of the earlier image.
        stamp_ns: of the later one.

    Returns:
        (H, W, 2) float32 pixels on the later image's grid, NaN where the way leaves an image between; None when a link
        is missing, or the grids differ.
    """
    by_stamp = {flow.stamp_ns: flow for flow in flows}
    total: np.ndarray | None = None
    while stamp_ns > since_ns:
        link = by_stamp.get(stamp_ns)
        if link is None or link.since_ns >= stamp_ns or (total is not None and link.values.shape != total.shape):
            return None
        total = link.values if total is None else total + _where_it_was(link.values, total)
        stamp_ns = link.since_ns
    return total if stamp_ns == since_ns else None


def _where_it_was(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """(H, W, 2) the earlier flow of what is now at each pixel, at the place that the later flow gives; NaN outside."""
    import cv2

    height, width = later.shape[:2]
    x = np.arange(width, dtype=np.float32) - later[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] - later[..., 1]
    earlier = cv2.remap(earlier, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    earlier[~((x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5))] = np.nan
    return earlier
