"""The selective scan in Triton, for GPUs: chunks of one sequence run side by side.

A single window has too few channels to fill a GPU if each is scanned from end to end. So the chunks
first run from a zero state; the states that they start from follow from how each ends and what it
decays; and the chunks run again from there. The gradient of the state obeys the same recurrence
backwards and is chunked the same way.

TRITON_INTERPRET=1 runs the kernels on the CPU, slowly, for tests.
"""

import os
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mambapose_ros.ops.backends.layout import channel_major, token_major
from mambapose_ros.ops.backends.reference import add_skip, step_size

_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

DEVICE_TYPES = ("cpu", "cuda") if _INTERPRETED else ("cuda",)
DTYPES = (torch.float32,)


@cache
def unavailable() -> str:
    if find_spec("triton") is None:
        return "the package triton is not installed"
    if not torch.cuda.is_available() and not _INTERPRETED:
        return "triton needs a GPU, and torch finds none"
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
    """`selective_scan` by Triton kernels, forward and backward."""
    from mambapose_ros.ops.backends import triton_kernels  # needs triton to be installed

    groups = B.shape[1]
    B, C = (matrix.permute(0, 3, 1, 2).contiguous() for matrix in (B, C))
    if torch.is_grad_enabled():
        step = step_size(delta, delta_bias, delta_softplus)
        y = _Scan.apply(_tokens(u, groups), _tokens(step, groups), A.contiguous(), B, C)
        return add_skip(channel_major(y), u, D)
    return channel_major(
        triton_kernels.forward(
            _tokens(u, groups),
            _tokens(delta, groups),
            A.contiguous(),
            B,
            C,
            D,
            delta_bias,
            delta_softplus,
        )
    )


def _tokens(tensor: Tensor, groups: int) -> Tensor:
    return token_major(tensor, groups).contiguous()


class _Scan(torch.autograd.Function):
    """The recurrence alone, on the kernels' layout."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        from mambapose_ros.ops.backends import triton_kernels

        ctx.save_for_backward(u, step, A, B, C)
        return triton_kernels.forward(u, step, A, B, C, None, None, False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        from mambapose_ros.ops.backends import triton_kernels

        u, step, A, B, C = ctx.saved_tensors
        return triton_kernels.backward(u, step, A, B, C, dy.contiguous())
