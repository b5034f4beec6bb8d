"""The CUDA kernels of the mamba-ssm package, where it is installed."""

from importlib.util import find_spec

import torch
from torch import Tensor

DEVICE_TYPES = ("cuda",)
DTYPES = (torch.float32,)


def unavailable() -> str:
    if find_spec("mamba_ssm") is None:
        return "the package mamba-ssm is not installed"
    if not torch.cuda.is_available():
        return "mamba-ssm needs a CUDA device, and torch finds none"
    try:
        from mamba_ssm.ops import selective_scan_interface  # noqa: F401
    except Exception as error:  # its compiled part fails in many ways when built for another torch
        return f"mamba-ssm does not import: {error}"
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
    """`selective_scan` by mamba-ssm's `selective_scan_fn`."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(u, delta, A, B, C, D, delta_bias=delta_bias, delta_softplus=delta_softplus)
