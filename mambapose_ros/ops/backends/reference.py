"""The definition of the selective scan in plain torch, token after token, in any dtype."""

import torch
import torch.nn.functional as F
from torch import Tensor

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
DTYPES = (torch.float32, torch.float64)


def unavailable() -> str:
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
    """`selective_scan` by its recurrence; autograd gives the gradients."""
    delta = step_size(delta, delta_bias, delta_softplus)
    grouped = (B.shape[1], -1)
    steps, inputs = delta.unflatten(1, grouped), u.unflatten(1, grouped)
    A = A.unflatten(0, grouped)
    h = torch.zeros_like(steps[..., :1] * A)
    outputs = []
    for t in range(u.shape[2]):
        step = steps[..., t, None]
        h = torch.exp(step * A) * h + step * inputs[..., t, None] * B[:, :, None, :, t]
        outputs.append((h * C[:, :, None, :, t]).sum(-1).flatten(1))
    return add_skip(torch.stack(outputs, dim=-1), u, D)


def step_size(delta: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """delta after the bias and the softplus, `[batch x channels x length]`."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    return F.softplus(delta) if delta_softplus else delta


def add_skip(y: Tensor, u: Tensor, D: Tensor | None) -> Tensor:
    """y + D u, `[batch x channels x length]`."""
    return y if D is None else y + D[:, None] * u
