"""A linear layer that is fast for thin matrices on every CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# torch gives float32 products to MKL, which leaves half of an AMD processor idle; oneDNN, which
# torch also brings, does not. torch.compile calls it by this name.
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, by oneDNN for float32 inference on the CPU.

    Args:
        x: `[... x inputs]`.
        weight: `[outputs x inputs]`.
        bias: `[outputs]`.

    Returns:
        x weight^T + bias, `[... x outputs]`.
    """
    if _ONEDNN and is_plain_cpu_inference(x) and x.numel():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def is_plain_cpu_inference(x: Tensor) -> bool:
    """Whether `x` is float32 on the CPU, outside of autograd and autocast."""
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


class Linear(nn.Linear):
    """`torch.nn.Linear` that computes with `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
