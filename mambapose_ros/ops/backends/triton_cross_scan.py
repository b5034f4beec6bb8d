"""Triton kernels of `cross_scan` for training: no reordered copies, one program per window, direction and channels.

A batch of training windows has enough channels to fill a GPU, so that each is scanned from end to end. The state is
kept every `_SEGMENT` tokens (at width 64 and two tokens, 16 KiB per token and scan); the gradient takes a segment at a
time, newest first, and runs it again from there with all its states in registers.

Tensors are contiguous, and shaped as in `mambapose_ros.ops.cross_scan`; what is summed afterwards has one more
dimension in front: y and the gradient of u one per direction, that of the projected features one per block of channels,
those of parameters one per window.
"""

# mypy: disable-error-code="assignment"
# Tuples that grow while Triton unrolls a loop.

import torch
import triton
import triton.language as tl
from torch import Tensor

from mambapose_ros.ops.backends.triton_kernels import softplus

_LOG2_E = tl.constexpr(1.4426950408889634)
# Found on an H200, for 303 windows of 27 frames:
_BLOCK, _GRADIENT_BLOCK = 32, 16  # channels of a program
_SEGMENT = 2  # tokens
# Registers beyond these make the gradient no faster; ROCm's compiler has no such option.
_GRADIENT_OPTIONS = {} if torch.version.hip else {"maxnreg": 128}


def forward(
    u: Tensor, projected: Tensor, orders: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> tuple[Tensor, Tensor]:
    """y, and the states before each segment, `[directions x batch x segments x channels x N]`."""
    sources, batch, length, channels = u.shape
    directions, _, rank = dt_weight.shape
    states = A.shape[1]
    segments = triton.cdiv(length, _SEGMENT)
    y = u.new_empty(directions, batch, length, channels)
    kept = u.new_empty(directions, batch, segments, channels, states)
    if batch > 0:
        with torch.cuda.device_of(u):
            _scan[(triton.cdiv(channels, _BLOCK), directions, batch)](
                u, projected, orders, dt_weight, dt_bias, A, D, y, kept,
                length, channels, states, segments, sources, directions,
                RANK=rank, STATES=triton.next_power_of_2(states), BLOCK=_BLOCK, SEGMENT=_SEGMENT, num_warps=1,
            )  # fmt: skip
    return y.sum(0), kept


def backward(
    dy: Tensor,
    u: Tensor,
    projected: Tensor,
    orders: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    kept: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, projected, dt_weight, dt_bias, A and D."""
    sources, batch, length, channels = u.shape
    directions, _, rank = dt_weight.shape
    states, segments = A.shape[1], kept.shape[2]
    blocks = triton.cdiv(channels, _GRADIENT_BLOCK)
    du = u.new_empty(directions, batch, length, channels)
    dprojected = u.new_empty(blocks, *projected.shape)
    of_windows = [tensor.new_empty(batch, *tensor.shape) for tensor in (dt_weight, dt_bias, A, D)]
    if batch > 0:
        with torch.cuda.device_of(u):
            _gradient[(blocks, directions, batch)](
                u, projected, orders, dt_weight, dt_bias, A, D, kept, dy, du, dprojected, *of_windows,
                length, channels, states, segments, sources, directions,
                RANK=rank, STATES=triton.next_power_of_2(states), BLOCK=_GRADIENT_BLOCK, SEGMENT=_SEGMENT,
                num_warps=1, **_GRADIENT_OPTIONS,
            )  # fmt: skip
    # Direction k reads source k % sources.
    du = du.unflatten(0, (-1, sources)).sum(0)
    ddt_weight, ddt_bias, dA, dD = (tensor.sum(0) for tensor in of_windows)
    return du, dprojected.sum(0), ddt_weight, ddt_bias, dA, dD


@triton.jit
def _softplus_slope(step):
    """The slope of softplus where it is `step`: 1 - exp(-step)."""
    small = step * (1.0 - step * (0.5 - step * (1.0 / 6.0)))
    return tl.where(step < 1e-2, small, 1.0 - tl.exp(-step))


@triton.jit
def _step_size(features, weights, bias, mask, RANK: tl.constexpr):
    """The step of a token's channels; 0, which changes nothing, where `mask` is not."""
    step = bias
    for r in tl.static_range(RANK):
        step += weights[r] * tl.load(features + r)
    return tl.where(mask, softplus(step), 0.0)


@triton.jit
def _scan(
    u, projected, orders, dt_weight, dt_bias, A, D, y, kept,
    length, channels, states, segments, sources, directions,
    RANK: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr, SEGMENT: tl.constexpr,
):  # fmt: skip
    direction, window, windows = tl.program_id(1), tl.program_id(2).to(tl.int64), tl.num_programs(2)
    channel, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, STATES)
    has_d, has_n = channel < channels, n < states
    has_state = has_d[:, None] & has_n[None, :]
    d = direction * channels + channel
    a = tl.load(A + d[:, None] * states + n[None, :], mask=has_state, other=0.0) * _LOG2_E
    skip = tl.load(D + d, mask=has_d, other=0.0)
    bias = tl.load(dt_bias + d, mask=has_d, other=0.0)
    weights = ()
    for r in tl.static_range(RANK):
        weights = weights + (tl.load(dt_weight + d * RANK + r, mask=has_d, other=0.0),)

    row = (direction % sources * windows + window) * length
    size = RANK + 2 * states
    u += row * channels
    projected += row * (directions // sources) * size + direction // sources * size
    orders += direction * length
    y += (direction * windows + window) * length * channels
    kept += (direction * windows + window) * segments * channels * states
    place = channel[:, None] * states + n[None, :]
    h = tl.zeros([BLOCK, STATES], tl.float32)
    for segment in range(segments):
        tl.store(kept + segment * channels * states + place, h, mask=has_state)
        for i in tl.static_range(SEGMENT):
            t = segment * SEGMENT + i
            token = tl.load(orders + tl.minimum(t, length - 1))
            features = projected + token * (directions // sources) * size
            mask = channel < tl.where(t < length, channels, 0)
            step = _step_size(features, weights, bias, mask, RANK)
            value = tl.load(u + token * channels + channel, mask=mask, other=0.0)
            b = tl.load(features + RANK + n, mask=has_n, other=0.0)
            c = tl.load(features + RANK + states + n, mask=has_n, other=0.0)
            h = tl.exp2(step[:, None] * a) * h + (step * value)[:, None] * b[None, :]
            out = tl.sum(h * c[None, :], 1) + skip * value
            tl.store(y + token * channels + channel, out, mask=mask)


@triton.jit
def _gradient(
    u, projected, orders, dt_weight, dt_bias, A, D, kept, dy, du, dprojected, ddt_weight, ddt_bias, dA, dD,
    length, channels, states, segments, sources, directions,
    RANK: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr, SEGMENT: tl.constexpr,
):  # fmt: skip
    block, direction = tl.program_id(0).to(tl.int64), tl.program_id(1)
    window, windows = tl.program_id(2).to(tl.int64), tl.num_programs(2)
    channel, n = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, STATES)
    has_d, has_n = channel < channels, n < states
    has_state = has_d[:, None] & has_n[None, :]
    d = direction * channels + channel
    a = tl.load(A + d[:, None] * states + n[None, :], mask=has_state, other=0.0)
    skip = tl.load(D + d, mask=has_d, other=0.0)
    bias = tl.load(dt_bias + d, mask=has_d, other=0.0)
    weights = ()
    dweights = ()
    for r in tl.static_range(RANK):
        weights = weights + (tl.load(dt_weight + d * RANK + r, mask=has_d, other=0.0),)
        dweights = dweights + (tl.zeros([BLOCK], tl.float32),)

    row = (direction % sources * windows + window) * length
    size = RANK + 2 * states
    features_per_token = (directions // sources) * size
    u += row * channels
    projected += row * features_per_token + direction // sources * size
    dprojected += (block * sources * windows * length + row) * features_per_token + direction // sources * size
    orders += direction * length
    dy += window * length * channels
    du += (direction * windows + window) * length * channels
    kept += (direction * windows + window) * segments * channels * states
    place = channel[:, None] * states + n[None, :]

    dh = tl.zeros([BLOCK, STATES], tl.float32)
    da = tl.zeros([BLOCK, STATES], tl.float32)
    dskip = tl.zeros([BLOCK], tl.float32)
    dbias = tl.zeros([BLOCK], tl.float32)
    for back in range(segments):
        segment = segments - 1 - back
        h = tl.load(kept + segment * channels * states + place, mask=has_state, other=0.0)
        steps = ()
        decays = ()
        left = ()  # of the state before each token: decay * h_{t-1}
        for i in tl.static_range(SEGMENT):
            t = segment * SEGMENT + i
            token = tl.load(orders + tl.minimum(t, length - 1))
            features = projected + token * features_per_token
            mask = channel < tl.where(t < length, channels, 0)
            step = _step_size(features, weights, bias, mask, RANK)
            value = tl.load(u + token * channels + channel, mask=mask, other=0.0)
            b = tl.load(features + RANK + n, mask=has_n, other=0.0)
            decay = tl.exp2(step[:, None] * a * _LOG2_E)
            h = decay * h
            steps = steps + (step,)
            decays = decays + (decay,)
            left = left + (h,)
            h += (step * value)[:, None] * b[None, :]
        for i in tl.static_range(SEGMENT):
            t = segment * SEGMENT + SEGMENT - 1 - i
            token = tl.load(orders + tl.minimum(t, length - 1))
            features = projected + token * features_per_token
            dfeatures = dprojected + token * features_per_token
            mask = channel < tl.where(t < length, channels, 0)
            step = steps[SEGMENT - 1 - i]
            value = tl.load(u + token * channels + channel, mask=mask, other=0.0)
            gradient = tl.load(dy + token * channels + channel, mask=mask, other=0.0)
            b = tl.load(features + RANK + n, mask=has_n, other=0.0)
            c = tl.load(features + RANK + states + n, mask=has_n, other=0.0)
            h = left[SEGMENT - 1 - i] + (step * value)[:, None] * b[None, :]
            dh += gradient[:, None] * c[None, :]

            dinput = tl.sum(dh * b[None, :], 1)
            dexponent = dh * left[SEGMENT - 1 - i]
            dstep = tl.sum(dexponent * a, 1) + dinput * value
            da += dexponent * step[:, None]
            dskip += gradient * value
            tl.store(du + token * channels + channel, dinput * step + skip * gradient, mask=mask)
            has_matrix = n < tl.where(t < length, states, 0)
            tl.store(dfeatures + RANK + n, tl.sum(dh * (step * value)[:, None], 0), mask=has_matrix)
            tl.store(dfeatures + RANK + states + n, tl.sum(gradient[:, None] * h, 0), mask=has_matrix)
            draw = dstep * _softplus_slope(step)
            dbias += draw
            new = ()
            for r in tl.static_range(RANK):
                new = new + (dweights[r] + draw * tl.load(features + r),)
                tl.store(dfeatures + r, tl.sum(draw * weights[r], 0), mask=t < length)
            dweights = new
            dh *= decays[SEGMENT - 1 - i]

    width = directions * channels
    tl.store(dA + (window * width + d[:, None]) * states + n[None, :], da, mask=has_state)
    tl.store(dD + window * width + d, dskip, mask=has_d)
    tl.store(ddt_bias + window * width + d, dbias, mask=has_d)
    for r in tl.static_range(RANK):
        tl.store(ddt_weight + (window * width + d) * RANK + r, dweights[r], mask=has_d)
