"""Which processor the networks run on."""

from __future__ import annotations

import sys

from mambapose_ros.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


class DeviceError(UserError):
    """A processor that was asked for and is not there."""


def resolve_device(requested: str, cuda_available: bool) -> str:
    """``"cpu"`` or ``"cuda"``.

    Args:
        requested: one of ``DEVICES``; "auto" = a GPU when there is one.
        cuda_available: what ``torch.cuda.is_available()`` says.

    Raises:
        DeviceError: when a GPU was asked for by name and there is none.
        ValueError: for another name.
    """
    if requested not in DEVICES:
        raise ValueError(f"expected device to be one of {', '.join(DEVICES)}, got {requested!r}")
    if requested == "cuda" and not cuda_available:
        raise DeviceError(
            "device cuda was asked for, and PyTorch sees no GPU: check nvidia-smi and that torch is a CUDA build, "
            "or use device auto"
        )
    if requested == "auto":
        return "cuda" if cuda_available else "cpu"
    return requested


_GPU_FAILURES = (
    "CUDA error",
    "CUDA driver error",
    "CUDA unknown error",
    "Triton Error [CUDA]",
    "cuDNN error",
    "No CUDA GPUs",
    "unable to find an engine",
)
"""What messages of errors say that PyTorch and Triton raise when a GPU has failed."""


def is_gpu_failure(error: Exception) -> bool:
    """Whether PyTorch says with it that a GPU ran out of memory, or was lost."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(sign in str(error) for sign in _GPU_FAILURES)
