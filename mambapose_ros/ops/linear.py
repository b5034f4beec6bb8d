"""A linear layer that is fast for thin matrices on every CPU."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# torch gives float32 products to MKL, which leaves half of an AMD processor idle; oneDNN, which
# torch also brings, does not. torch.compile calls it by this name.
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, by oneDNN for float32 on the CPU.

    Args:
        x: `[... x inputs]`.
        weight: `[outputs x inputs]`.
        bias: `[outputs]`.

    Returns:
        x weight^T + bias, `[... x outputs]`.
    """
    if not (_ONEDNN and _is_plain_cpu(x) and x.numel()):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return cast(Tensor, _OneDNNLinear.apply(x, weight, bias))
    return _onednn_linear(x, weight, bias)


def is_plain_cpu_inference(x: Tensor) -> bool:
    """Whether `x` is float32 on the CPU, outside of autograd and autocast."""
    return not torch.is_grad_enabled() and _is_plain_cpu(x)


def _is_plain_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn_linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_dx, needs_dweight, needs_dbias = ctx.needs_input_grad
        rows = dy.reshape(-1, dy.shape[-1])
        return (
            linear(dy.contiguous(), weight.t().contiguous()) if needs_dx else None,
            rows.t() @ x.reshape(-1, x.shape[-1]) if needs_dweight else None,
            rows.sum(0) if needs_dbias else None,
        )


class Linear(nn.Linear):
    """`torch.nn.Linear` that computes with `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
