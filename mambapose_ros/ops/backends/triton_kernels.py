"""The Triton kernels of mambapose_ros.ops.backends.triton_chunked, and their launches.

Tensors are contiguous: u, delta, y and their gradients `[batch x length x groups x channels]`,
A `[groups * channels x N]`, B and C `[batch x length x groups x N]`. What is kept per chunk is
`[batch x chunks x groups * channels (x N)]`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2_E = tl.constexpr(1.4426950408889634)
_BLOCK = 16  # channels of a program
_CHUNK = 32  # fewest tokens of a chunk: short enough that one window fills a GPU
_CHUNKS = 256  # most chunks of a sequence; longer sequences get longer chunks


def forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """y of the scan."""
    launch = _Launch(u, B)
    starts = launch.chunk_starts(u, delta, A, B, delta_bias, delta_softplus, reverse=False)
    y = torch.empty_like(u)
    launch(
        _chunk_outputs,
        launch.token_grid,
        (u, delta, A, B, C, D, delta_bias, starts, y),
        BLOCK=_BLOCK,
        SOFTPLUS=delta_softplus,
    )
    return y


def backward(
    u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, step (delta as used), A, B and C, without the skip connection's part."""
    launch = _Launch(u, B)
    starts = launch.chunk_starts(u, step, A, B, None, False, reverse=False)
    ends = launch.chunk_starts(dy, step, A, C, None, False, reverse=True)
    du, dstep, dB, dC = (torch.empty_like(tensor) for tensor in (u, step, B, C))
    dA = torch.empty_like(starts)
    launch(
        _chunk_gradients,
        launch.group_grid,
        (u, step, A, B, C, dy, starts, ends, du, dstep, dA, dB, dC),
    )
    return du, dstep, dA.sum((0, 1)), dB, dC


class _Launch:
    """Sizes and grids of the kernels for one call."""

    def __init__(self, u: Tensor, B: Tensor) -> None:
        self.device = torch.cuda.device_of(u)
        self.batch, length, groups, channels = u.shape
        states = B.shape[3]
        self.chunk = max(_CHUNK, triton.next_power_of_2(triton.cdiv(length, _CHUNKS)))
        self.chunks = triton.cdiv(length, self.chunk)
        self.width = groups * channels
        self.sizes = (length, groups, channels, states, self.chunks)
        self.tile = triton.next_power_of_2(states)
        self.token_grid = (self.chunks, groups * triton.cdiv(channels, _BLOCK), self.batch)
        self.channel_grid = (self.width, self.batch)
        self.group_grid = (self.chunks, groups, self.batch)

    def __call__(
        self,
        kernel: triton.JITFunction,
        grid: tuple[int, ...],
        tensors: tuple[Tensor | None, ...],
        **options: int | bool,
    ) -> None:
        if self.batch == 0:
            return
        with self.device:
            kernel[grid](*tensors, *self.sizes, CHUNK=self.chunk, STATES=self.tile, **options)

    def chunk_starts(
        self,
        value: Tensor,
        delta: Tensor,
        A: Tensor,
        matrix: Tensor,
        delta_bias: Tensor | None,
        delta_softplus: bool,
        *,
        reverse: bool,
    ) -> Tensor:
        """What each chunk starts from; undefined where that is zero: at the first, or, in reverse,
        the last."""
        decays = value.new_empty(self.batch, self.chunks, self.width)
        ends = value.new_empty(*decays.shape, A.shape[1])
        starts = torch.empty_like(ends)
        self(
            _chunk_ends,
            self.token_grid,
            (value, delta, A, matrix, delta_bias, ends, decays),
            BLOCK=_BLOCK,
            SOFTPLUS=delta_softplus,
            REVERSE=reverse,
            num_warps=1,
        )
        self(
            _chain,
            self.channel_grid,
            (A, ends, decays, starts),
            CHUNKS=triton.next_power_of_2(self.chunks),
            REVERSE=reverse,
        )
        return starts


@triton.jit
def softplus(x):
    # The series keeps small steps exact; beyond 20, softplus(x) is x in float32.
    e = tl.exp(tl.minimum(x, 20.0))
    small = e * (1.0 - e * (0.5 - e * (1.0 / 3.0)))
    return tl.where(x > 20.0, x, tl.where(e < 1e-2, small, tl.log(1.0 + e)))


@triton.jit
def _step_size(delta, delta_bias, place, d, mask, SOFTPLUS: tl.constexpr):
    """The step of a token's channels; 0, which changes nothing, where `mask` is not."""
    step = tl.load(delta + place, mask=mask, other=0.0)
    if delta_bias is not None:
        step += tl.load(delta_bias + d, mask=mask, other=0.0)
    if SOFTPLUS:
        step = softplus(step)
    return tl.where(mask, step, 0.0)


@triton.jit
def _then(decay, value, next_decay, next_value):
    """Two maps h -> decay * h + value, one after the other."""
    return decay * next_decay, value * next_decay + next_value


@triton.jit
def _chunk_ends(
    value, delta, A, matrix, delta_bias, ends, decays,
    length, groups, channels, states, chunks,
    CHUNK: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """The state after a chunk that starts from zero, and the sum of its steps.

    In reverse, `value` is dy, `matrix` is C, and the state is what the gradient of the state
    before a token owes to that token and the later ones.
    """
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK)
    group = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, STATES)
    has_d, has_n = channel < channels, n < states
    d = group * channels + channel
    has_state = has_d[:, None] & has_n[None, :]
    a = tl.load(A + d[:, None] * states + n[None, :], mask=has_state, other=0.0) * _LOG2_E
    h = tl.zeros([BLOCK, STATES], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for i in range(CHUNK):
        t = chunk * CHUNK + (CHUNK - 1 - i if REVERSE else i)
        mask = channel < tl.where(t < length, channels, 0)
        has_m = n < tl.where(t < length, states, 0)
        token = batch * length + t
        place = token * groups * channels + d
        step = _step_size(delta, delta_bias, place, d, mask, SOFTPLUS)
        v = tl.load(value + place, mask=mask, other=0.0)
        m = tl.load(matrix + (token * groups + group) * states + n, mask=has_m, other=0.0)
        decay = tl.exp2(step[:, None] * a)
        if REVERSE:
            h += v[:, None] * m[None, :]
            h *= decay
        else:
            h = decay * h + (step * v)[:, None] * m[None, :]
        total += step
    row = (batch * chunks + chunk) * groups * channels + d
    tl.store(ends + row[:, None] * states + n[None, :], h, mask=has_state)
    tl.store(decays + row, total, mask=has_d)


@triton.jit
def _chain(
    A, ends, decays, starts,
    length, groups, channels, states, chunks,
    CHUNK: tl.constexpr, STATES: tl.constexpr, CHUNKS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """The states that a channel's chunks start from, given how each ends from zero."""
    d, batch = tl.program_id(0), tl.program_id(1).to(tl.int64)
    chunk, n = tl.arange(0, CHUNKS), tl.arange(0, STATES)
    row = (batch * chunks + chunk) * groups * channels + d
    has_n = n < states
    mask = (chunk < chunks)[:, None] & has_n[None, :]
    a = tl.load(A + d * states + n, mask=has_n, other=0.0) * _LOG2_E
    total = tl.load(decays + row, mask=chunk < chunks, other=0.0)
    end = tl.load(ends + row[:, None] * states + n[None, :], mask=mask, other=0.0)
    decay = tl.exp2(total[:, None] * a[None, :])
    _, state = tl.associative_scan((decay, end), 0, _then, reverse=REVERSE)
    next_chunk = chunk + (-1 if REVERSE else 1)
    next_row = row + (-1 if REVERSE else 1) * groups * channels
    exists = (chunk < chunks) & (next_chunk >= 0) & (next_chunk < chunks)
    tl.store(starts + next_row[:, None] * states + n[None, :], state, mask=exists[:, None] & has_n[None, :])


@triton.jit
def _chunk_outputs(
    u, delta, A, B, C, D, delta_bias, starts, y,
    length, groups, channels, states, chunks,
    CHUNK: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr, SOFTPLUS: tl.constexpr,
):  # fmt: skip
    """y of a chunk, from the state that it starts from."""
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK)
    group = tl.program_id(1) // blocks
    channel = tl.program_id(1) % blocks * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, STATES)
    has_d, has_n = channel < channels, n < states
    d = group * channels + channel
    has_state = has_d[:, None] & has_n[None, :]
    a = tl.load(A + d[:, None] * states + n[None, :], mask=has_state, other=0.0) * _LOG2_E
    row = (batch * chunks + chunk) * groups * channels + d
    has_start = has_d[:, None] & (n < tl.where(chunk > 0, states, 0))[None, :]
    h = tl.load(starts + row[:, None] * states + n[None, :], mask=has_start, other=0.0)
    for i in range(CHUNK):
        t = chunk * CHUNK + i
        mask = channel < tl.where(t < length, channels, 0)
        has_m = n < tl.where(t < length, states, 0)
        token = batch * length + t
        place = token * groups * channels + d
        matrix_place = (token * groups + group) * states + n
        step = _step_size(delta, delta_bias, place, d, mask, SOFTPLUS)
        value = tl.load(u + place, mask=mask, other=0.0)
        b = tl.load(B + matrix_place, mask=has_m, other=0.0)
        c = tl.load(C + matrix_place, mask=has_m, other=0.0)
        h = tl.exp2(step[:, None] * a) * h + (step * value)[:, None] * b[None, :]
        out = tl.sum(h * c[None, :], 1)
        if D is not None:
            out += tl.load(D + d, mask=has_d, other=0.0) * value
        tl.store(y + place, out, mask=mask)


@triton.jit
def _chunk_gradients(
    u, delta, A, B, C, dy, starts, ends, du, ddelta, dA, dB, dC,
    length, groups, channels, states, chunks,
    CHUNK: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Gradients of a chunk of a group, channel after channel, as tiles [tokens x states].

    A program takes all channels of a group, so that no two programs add to the same dB and dC.
    """
    chunk, group, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    i, n = tl.arange(0, CHUNK), tl.arange(0, STATES)
    t = chunk * CHUNK + i
    inside, has_n = t < length, n < states
    has_previous, has_next = inside & (i > 0), (i < CHUNK - 1) & (t + 1 < length)
    token = batch * length + t
    matrix_place = (token * groups + group)[:, None] * states + n[None, :]
    mask = inside[:, None] & has_n[None, :]
    b = tl.load(B + matrix_place, mask=mask, other=0.0)
    c = tl.load(C + matrix_place, mask=mask, other=0.0)
    previous_b = tl.load(B + matrix_place - groups * states, mask=has_previous[:, None] & has_n[None, :], other=0.0)
    db = tl.zeros([CHUNK, STATES], tl.float32)
    dc = tl.zeros([CHUNK, STATES], tl.float32)
    width = groups * channels
    for channel in range(channels):
        d = group * channels + channel
        place = token * width + d
        step = tl.load(delta + place, mask=inside, other=0.0)
        value = tl.load(u + place, mask=inside, other=0.0)
        gradient = tl.load(dy + place, mask=inside, other=0.0)
        previous_step = tl.load(delta + place - width, mask=has_previous, other=0.0)
        previous_value = tl.load(u + place - width, mask=has_previous, other=0.0)
        next_step = tl.load(delta + place + width, mask=has_next, other=0.0)
        a = tl.load(A + d * states + n, mask=has_n, other=0.0)
        row = ((batch * chunks + chunk) * width + d) * states + n
        has_start = n < tl.where(chunk > 0, states, 0)
        has_end = n < tl.where(chunk < chunks - 1, states, 0)
        start = tl.load(starts + row, mask=has_start, other=0.0)
        end = tl.load(ends + row, mask=has_end, other=0.0)

        # What is left of the state before each token: decay * h_{t-1}.
        decay = tl.exp2(step[:, None] * a[None, :] * _LOG2_E)
        before = (previous_step * previous_value)[:, None] * previous_b
        before = tl.where((i == 0)[:, None], start[None, :], before)
        _, left = tl.associative_scan((decay, decay * before), 0, _then)
        h = left + (step * value)[:, None] * b

        # The gradient of each token's state, from its own y and from the next token's state.
        next_decay = tl.exp2(next_step[:, None] * a[None, :] * _LOG2_E)
        own = gradient[:, None] * c + tl.where((i == CHUNK - 1)[:, None], end[None, :], 0.0)
        _, dh = tl.associative_scan((next_decay, own), 0, _then, reverse=True)

        db += dh * (step * value)[:, None]
        dc += gradient[:, None] * h
        dinput = tl.sum(dh * b, 1)
        dexponent = dh * left
        tl.store(du + place, dinput * step, mask=inside)
        dstep = tl.sum(dexponent * a[None, :], 1) + dinput * value
        tl.store(ddelta + place, dstep, mask=inside)
        tl.store(dA + row, tl.sum(dexponent * step[:, None], 0), mask=has_n)
    tl.store(dB + matrix_place, db, mask=mask)
    tl.store(dC + matrix_place, dc, mask=mask)
