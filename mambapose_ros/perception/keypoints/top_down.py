"""What top-down pose networks need: the crop of an image around a box, and joints from heatmaps.

Numerically what transformers' ``VitPoseImageProcessor`` computes, for all boxes at once and on any device.
Unbiased data processing: Huang et al., CVPR 2020, arXiv 1911.07524. Distribution-aware decoding: Zhang et al.,
CVPR 2020, arXiv 1910.06278, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

_PADDING = 1.25  # the crop is so much larger than the box
_PIXEL_STD = 200.0  # upstream keeps the scale in these units, in float32
_SIGMA, _RADIUS = 0.8, 5  # heatmap pixels, of the blur before decoding
_LOWEST, _HIGHEST = 1e-3, 50.0  # of heatmaps, before the logarithm


@dataclass(frozen=True, eq=False)
class Crops:
    """The upright parts of an image that a network looks at.

    Attributes:
        center: (P, 2) float32 pixels.
        size: (P, 2) float32 pixels, width and height.
    """

    center: np.ndarray
    size: np.ndarray

    @classmethod
    def around(cls, boxes: np.ndarray, width: int, height: int) -> Crops:
        """Crops for boxes (P, 4) of x0, y0, x1, y1 pixels, in the shape of a network's input of that size."""
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        extent = boxes[:, 2:] - boxes[:, :2]
        center = (boxes[:, :2] + 0.5 * extent).astype(np.float32)
        aspect = width / height
        extent = np.maximum(extent, extent[:, ::-1] * (aspect, 1.0 / aspect))
        return cls(center, (extent / _PIXEL_STD).astype(np.float32) * np.float32(_PADDING) * np.float32(_PIXEL_STD))


def crop(image: torch.Tensor, crops: Crops, width: int, height: int) -> torch.Tensor:
    """Parts of an image, bilinearly resampled; black outside it.

    Args:
        image: (H, W, 3) uint8.
        crops: P of them.
        width, height: of the result, pixels.

    Returns:
        (P, 3, height, width) float32 whole numbers in [0, 255], on the image's device: upstream rounds to uint8.
    """
    result = []
    for center, size in zip(crops.center, crops.size, strict=True):
        columns, right, x_inside = _samples(center[0], size[0], width, image.shape[1], image.device)
        rows, below, y_inside = _samples(center[1], size[1], height, image.shape[0], image.device)
        # Picked as bytes before anything is computed: an image has many more pixels than a crop.
        upper, lower = (row[:, None] for row in _and_next(rows, image.shape[0]))
        left_line, right_line = (
            _between(image[upper, column], image[lower, column], below[:, None, None])
            for column in _and_next(columns, image.shape[1])
        )
        part = _between(left_line, right_line, right[None, :, None])
        part = part * (y_inside[:, None] & x_inside[None, :])[..., None]
        result.append((part + 0.5).floor().permute(2, 0, 1))
    return torch.stack(result).to(torch.float32)


def decode(heatmaps: torch.Tensor, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
    """Joints at the peaks of heatmaps, to a fraction of a heatmap's pixel.

    Args:
        heatmaps: (P, K, h, w) of the crops.
        crops: P of them.

    Returns:
        (P, K, 2) pixels of the image, NaN where a heatmap has no positive value; (P, K) peak values.
    """
    people, joints, height, width = heatmaps.shape
    heatmaps = heatmaps.to(torch.float32)
    score, index = heatmaps.flatten(2).max(dim=-1)
    column, row = index % width, index // width
    by_rows = _blur(height, heatmaps.device)[_neighbours(row, height)]  # (P, K, 3, h)
    by_columns = _blur(width, heatmaps.device)[_neighbours(column, width)]
    near = torch.einsum("pkah,pkhw,pkbw->pkab", by_rows, heatmaps, by_columns)
    offset = _newton_step(near.clamp(_LOWEST, _HIGHEST).log().to(torch.float64).cpu().numpy())
    peak = torch.stack([column, row], dim=-1).cpu().numpy() - offset
    scale = crops.size / np.array([width - 1.0, height - 1.0])
    xy = peak * scale[:, None] + (crops.center - 0.5 * crops.size)[:, None]
    values = score.cpu().numpy().astype(np.float64)
    xy[values <= 0.0] = np.nan
    return xy.reshape(people, joints, 2), values


def _samples(
    center: np.float32, size: np.float32, count: int, length: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where a crop's axis is sampled: (count,) pixel to the left, weight of the one to the right, whether inside."""
    # Upstream keeps this transformation in float32.
    scale = float(np.float32((count - 1.0) / size))
    shift = float(np.float32((count - 1.0) / size * (-0.5 * (center * 2.0) + 0.5 * size)))
    position = (torch.arange(count, dtype=torch.float64, device=device) - shift) / scale
    inside = (position >= 0.0) & (position <= length - 1.0)
    position = position.clamp(0.0, length - 1.0)
    first = position.floor()
    return first.long(), position - first, inside


def _and_next(index: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices and those that follow them; the border is repeated."""
    return index, (index + 1).clamp(max=length - 1)


def _between(first: torch.Tensor, second: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Values between bytes or float64 values, in float64; the second where the weight is 1."""
    first = first.to(torch.float64)
    return first + weight * (second - first)


def _neighbours(index: torch.Tensor, length: int) -> torch.Tensor:
    """(..., 3) indices before, at and after; the border is repeated."""
    return (index[..., None] + torch.tensor([-1, 0, 1], device=index.device)).clamp(0, length - 1)


@cache
def _blur(length: int, device: torch.device) -> torch.Tensor:
    """(length, length) matrix of a Gaussian blur along an axis whose border mirrors what is inside."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1)
    weights = torch.exp(-0.5 * (offsets.to(torch.float64) / _SIGMA) ** 2)
    weights /= weights.sum()
    source = (torch.arange(length)[:, None] + offsets) % (2 * length)
    source = torch.where(source < length, source, 2 * length - 1 - source)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    matrix.scatter_add_(1, source, weights.expand(length, -1))
    return matrix.to(device, torch.float32)


def _newton_step(near: np.ndarray) -> np.ndarray:
    """Inverse Hessian times gradient of (..., 3, 3) values, rows y and columns x: (..., 2) as x, y."""
    middle = near[..., 1, 1]
    dx, dy = 0.5 * (near[..., 1, 2] - near[..., 1, 0]), 0.5 * (near[..., 2, 1] - near[..., 0, 1])
    dxx = near[..., 1, 2] - 2.0 * middle + near[..., 1, 0]
    dyy = near[..., 2, 1] - 2.0 * middle + near[..., 0, 1]
    cross = near[..., 2, 2] - near[..., 1, 2] - near[..., 2, 1]
    dxy = 0.5 * (cross + 2.0 * middle - near[..., 1, 0] - near[..., 0, 1] + near[..., 0, 0])
    tiny = float(np.finfo(np.float32).eps)
    dxx, dyy = dxx + tiny, dyy + tiny
    determinant = dxx * dyy - dxy**2
    determinant = np.where(np.abs(determinant) < 1e-30, np.inf, determinant)
    return np.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], axis=-1) / determinant[..., None]
