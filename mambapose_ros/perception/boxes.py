"""Boxes around people in an image."""

from __future__ import annotations

import numpy as np


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes.

    Args:
        a, b: x0, y0, x1, y1 pixels, (..., 4); they are broadcast. NaN = no box.

    Returns:
        (...) in [0, 1]; 0 where there is no box.
    """
    shared = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0, None).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    return np.nan_to_num(shared / np.maximum(union, 1.0))
