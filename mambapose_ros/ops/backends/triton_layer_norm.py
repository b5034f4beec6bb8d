"""Triton kernels of `mambapose_ros.ops.layer_norm`: many rows to a program. Tensors are contiguous float32."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 2048  # numbers that a program has at a time
_PROGRAMS = 1024  # of the gradient, each of which sums its rows' share of the parameters' gradients


def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised rows of x, `[... x features]`, and each row's mean and 1 / standard deviation."""
    features = x.shape[-1]
    rows = x.numel() // features
    width, height = _tile(features)
    y = torch.empty_like(x)
    mean, rate = x.new_empty(2, rows).unbind()
    if rows:
        with torch.cuda.device_of(x):
            _normalise[(triton.cdiv(rows, height),)](
                x, weight, bias, y, mean, rate, rows, features, eps, HEIGHT=height, WIDTH=width
            )
    return y, mean, rate


def backward(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    features = x.shape[-1]
    rows = x.numel() // features
    width, height = _tile(features)
    programs = max(1, min(_PROGRAMS, triton.cdiv(rows, height)))
    dx = torch.empty_like(x)
    dweight, dbias = x.new_empty(2, programs, features).unbind()
    with torch.cuda.device_of(x):
        _gradient[(programs,)](
            x, weight, mean, rate, dy, dx, dweight, dbias, rows, features, HEIGHT=height, WIDTH=width
        )
    return dx, dweight.sum(0), dbias.sum(0)


def _tile(features: int) -> tuple[int, int]:
    width = triton.next_power_of_2(features)
    return width, max(1, _TILE // width)


@triton.jit
def _normalise(
    x, weight, bias, y, mean, rate, rows, features, eps, HEIGHT: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    row, n = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT), tl.arange(0, WIDTH)
    has_row, has_n = row < rows, n < features
    mask = has_row[:, None] & has_n[None, :]
    place = row[:, None].to(tl.int64) * features + n[None, :]
    values = tl.load(x + place, mask=mask, other=0.0)
    centre = tl.sum(values, 1) / features
    offset = tl.where(mask, values - centre[:, None], 0.0)
    factor = 1.0 / tl.sqrt(tl.sum(offset * offset, 1) / features + eps)
    w = tl.load(weight + n, mask=has_n, other=0.0)
    b = tl.load(bias + n, mask=has_n, other=0.0)
    tl.store(y + place, offset * factor[:, None] * w[None, :] + b[None, :], mask=mask)
    tl.store(mean + row, centre, mask=has_row)
    tl.store(rate + row, factor, mask=has_row)


@triton.jit
def _gradient(
    x, weight, mean, rate, dy, dx, dweight, dbias, rows, features, HEIGHT: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    program, programs, n = tl.program_id(0), tl.num_programs(0), tl.arange(0, WIDTH)
    has_n = n < features
    w = tl.load(weight + n, mask=has_n, other=0.0)
    dw = tl.zeros([WIDTH], tl.float32)
    db = tl.zeros([WIDTH], tl.float32)
    for first in range(program * HEIGHT, rows, programs * HEIGHT):
        row = first + tl.arange(0, HEIGHT)
        has_row = row < rows
        mask = has_row[:, None] & has_n[None, :]
        place = row[:, None].to(tl.int64) * features + n[None, :]
        factor = tl.load(rate + row, mask=has_row, other=0.0)[:, None]
        values = tl.load(x + place, mask=mask, other=0.0)
        unit = tl.where(mask, (values - tl.load(mean + row, mask=has_row, other=0.0)[:, None]) * factor, 0.0)
        gradient = tl.load(dy + place, mask=mask, other=0.0)
        dunit = gradient * w[None, :]
        common = tl.sum(dunit, 1)[:, None] / features
        along = tl.sum(dunit * unit, 1)[:, None] / features
        tl.store(dx + place, factor * (dunit - common - unit * along), mask=mask)
        dw += tl.sum(gradient * unit, 0)
        db += tl.sum(gradient, 0)
    tl.store(dweight + program * features + n, dw, mask=has_n)
    tl.store(dbias + program * features + n, db, mask=has_n)
