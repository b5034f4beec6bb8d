"""The selective scan in plain torch, a block of tokens at a time: what runs where nothing compiled does.

All that does not depend on the state is computed for a whole block at once, in tensors that fit a
CPU's caches; what remains is one operation per token.
"""

import math

import torch
from torch import Tensor

from mambapose_ros.ops.backends.layout import channel_major, token_major
from mambapose_ros.ops.backends.reference import add_skip

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
DTYPES = (torch.float32, torch.float64)

_LOG2_E = math.log2(math.e)
_BLOCK = 64  # tokens


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
    """`selective_scan` block after block; autograd gives the gradients."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = _softplus(delta)
    groups = B.shape[1]
    # In units of log 2: torch computes exp2 several times as fast as exp on some CPUs.
    A = A.unflatten(0, (groups, -1)).mT.contiguous() * _LOG2_E
    # [batch x length x groups x 1 x channels], and x N x 1: their products are states.
    steps, inputs = (token_major(x, groups).unsqueeze(-2).contiguous() for x in (delta, delta * u))
    B, C = B.permute(0, 3, 1, 2).unsqueeze(-1).contiguous(), C.permute(0, 3, 1, 2).unsqueeze(-2).contiguous()
    h = (steps[:, 0] * A).zero_()
    outputs = []
    for block in zip(*(x.split(_BLOCK, dim=1) for x in (steps, inputs, B, C)), strict=True):
        step, value, matrix, readout = block
        states = _states(h, torch.exp2(step * A), value * matrix)
        h = states[:, -1]
        outputs.append(torch.matmul(readout, states).squeeze(-2))
    return add_skip(channel_major(torch.cat(outputs, dim=1)), u, D)


def _states(h: Tensor, decays: Tensor, values: Tensor) -> Tensor:
    """The state after each token, `[batch x tokens x ...]`, from the state before the first."""
    if torch.is_grad_enabled():
        states = []
        for decay, value in zip(decays.unbind(1), values.unbind(1), strict=True):
            h = torch.addcmul(value, decay, h)
            states.append(h)
        return torch.stack(states, dim=1)
    for decay, value in zip(decays.unbind(1), values.unbind(1), strict=True):
        h = value.addcmul_(decay, h)
    return values


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) as log(1 + e) = 2 atanh(e / (2 + e)).

    torch's softplus waits for log1p, which on some CPUs takes ten times as long as atanh.
    """
    magnitude = x.abs()
    e = torch.exp2(magnitude * -_LOG2_E)
    return (x + magnitude) / 2 + 2 * torch.atanh(e / (2 + e))
