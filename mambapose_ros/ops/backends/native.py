"""The selective scan in C++ for CPUs, vectorised over channels and threaded."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mambapose_ros.ops import native_library
from mambapose_ros.ops.backends.layout import channel_major, token_major
from mambapose_ros.ops.backends.reference import add_skip, step_size
from mambapose_ros.ops.native_library import BLOCK

DEVICE_TYPES = ("cpu",)
DTYPES = (torch.float32,)


def unavailable() -> str:
    try:
        native_library.load()
    except (OSError, AttributeError) as error:  # AttributeError: a library of another version
        return f"the compiled library does not load: {error}"
    return ""


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> Tensor:
    """`selective_scan` by the compiled kernels, forward and backward."""
    delta = step_size(delta, delta_bias, delta_softplus)
    groups = B.shape[1]
    channels, states = u.shape[1] // groups, A.shape[1]
    y = _Scan.apply(
        _pad(token_major(u, groups), 0, -channels % BLOCK),
        _pad(token_major(delta, groups), 0, -channels % BLOCK),
        _pad(A.unflatten(0, (groups, channels)), -channels % BLOCK, -states % BLOCK),
        _pad(B.permute(0, 3, 1, 2), 0, -states % BLOCK),
        _pad(C.permute(0, 3, 1, 2), 0, -states % BLOCK),
    )
    return add_skip(channel_major(y[..., :channels]), u, D)


def _pad(tensor: Tensor, rows: int, columns: int) -> Tensor:
    """`tensor`, contiguous, with zeros after its last two dimensions."""
    if rows or columns:
        tensor = F.pad(tensor, (0, columns, 0, rows))
    return tensor.contiguous()


class _Scan(torch.autograd.Function):
    """The recurrence alone, on the kernels' layout.

    u, delta and y are `[batch x length x groups x channels]`, A is `[groups x channels x N]`,
    B and C are `[batch x length x groups x N]`; channels and N are multiples of BLOCK.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        ctx.save_for_backward(u, delta, A, B, C)
        y = torch.empty_like(u)
        native_library.call("scan", u=u, delta=delta, A=A, B=B, C=C, y=y, **_sizes(u, B))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C = ctx.saved_tensors
        du, ddelta, dB, dC = (torch.empty_like(tensor) for tensor in (u, delta, B, C))
        dA = A.new_empty(u.shape[0], *A.shape)
        native_library.call(
            "scan_gradient",
            u=u,
            delta=delta,
            A=A,
            B=B,
            C=C,
            dy=dy.contiguous(),
            du=du,
            ddelta=ddelta,
            dA=dA,
            dB=dB,
            dC=dC,
            **_sizes(u, B),
        )
        return du, ddelta, dA.sum(0), dB, dC


def _sizes(u: Tensor, B: Tensor) -> dict[str, int]:
    batch, length, groups, channels = u.shape
    return {
        "batch": batch,
        "length": length,
        "groups": groups,
        "channels": channels,
        "states": B.shape[3],
    }
