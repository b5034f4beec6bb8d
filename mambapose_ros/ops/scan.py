"""The selective scan (S6) of Mamba, and the choice between its backends.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
arXiv 2312.00752, section 3 and Algorithm 2; grouped B and C as in VMamba, arXiv 2401.10166.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

# What a backend's module offers: `unavailable()`, the reason it cannot run here or "";
# `DEVICE_TYPES` it computes on, `DTYPES` it computes in, and `scan`, with the arguments
# of `selective_scan` already checked, on one device and in one of those dtypes.
_MODULES = {
    "reference": "mambapose_ros.ops.backends.reference",
    "native": "mambapose_ros.ops.backends.native",
    "torch": "mambapose_ros.ops.backends.torch_blocked",
    "triton": "mambapose_ros.ops.backends.triton_chunked",
    "mamba_ssm": "mambapose_ros.ops.backends.mamba",
}

_PREFERRED = {"cpu": ("native",), "cuda": ("triton", "mamba_ssm")}


@dataclass(frozen=True)
class ScanBackend:
    """A backend of `selective_scan`, and whether it can run on this machine.

    Attributes:
        name: what `selective_scan(..., backend=name)` takes.
        available: whether it can run here.
        reason: why it cannot run here, or what it runs on.
    """

    name: str
    available: bool
    reason: str


def scan_backends() -> list[ScanBackend]:
    """Every backend of `selective_scan`, with the reason it is or is not available here."""
    return [_describe(name) for name in _MODULES]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Runs a diagonal state-space model whose step, input and output depend on the token.

    For every channel d of group g, starting from h = 0, over the tokens t:

        delta_t = softplus(delta_t + delta_bias)                    (each part if asked for)
        h_t = exp(delta_t * A_d) * h_{t-1} + delta_t * B_{g,t} * u_t    (N states; Euler for B)
        y_t = <C_{g,t}, h_t> + D_d * u_t

    This is the convention of mamba-ssm's `selective_scan_fn`. Half-precision inputs are
    scanned in float32, also under autocast; float64 is for checking, and `auto` gives it
    to the reference.

    Args:
        u: input, `[batch x channels x length]`, any floating dtype.
        delta: step size before bias and softplus, shaped like `u`.
        A: state matrix (its diagonal), `[channels x N]`, usually negative.
        B: input matrix per token, `[batch x groups x N x length]`; `groups` divides
            `channels`, and neighbouring channels share a group.
        C: output matrix per token, shaped like `B`.
        D: skip connection, `[channels]`.
        delta_bias: added to `delta`, `[channels]`.
        delta_softplus: whether softplus is applied to the (biased) step.
        backend: a name that `scan_backends` lists, or `auto`: Triton or mamba_ssm on CUDA,
            native on CPU, and, with one warning, torch where those are missing.

    Returns:
        y, shaped and typed like `u`; differentiable in every tensor argument.

    Raises:
        ValueError: shapes or devices do not fit, or no backend has this name.
        TypeError: the named backend does not compute in this dtype.
        RuntimeError: the named backend cannot run here; the message says why and what can.
    """
    _check_shapes(u, delta, A, B, C, D, delta_bias)
    tensors = (u, delta, A, B, C, D, delta_bias)
    dtype = torch.promote_types(u.dtype, torch.float32)
    module = resolve_backend(backend, u.device, dtype)
    with torch.autocast(u.device.type, enabled=False):
        wide = (tensor if tensor is None else tensor.to(dtype) for tensor in tensors)
        return module.scan(*wide, delta_softplus).to(u.dtype)


def resolve_backend(backend: str, device: torch.device, dtype: torch.dtype) -> ModuleType:
    """The module of the backend that `selective_scan` uses for such tensors.

    Raises:
        ValueError, TypeError, RuntimeError: as `selective_scan` does.
    """
    return _module(backend_name(backend, device, dtype))


def backend_name(backend: str, device: torch.device, dtype: torch.dtype) -> str:
    """The backend that `selective_scan` uses for such tensors, as `scan_backends` calls it.

    Raises:
        ValueError, TypeError, RuntimeError: as `selective_scan` does.
    """
    if backend == "auto":
        return _automatic(device, dtype)
    if backend not in _MODULES:
        raise ValueError(f"unknown scan backend {backend!r}; expected auto or one of\n{_listing()}")
    if not _describe(backend).available:
        raise RuntimeError(f"scan backend {backend!r} cannot run here; backends:\n{_listing()}")
    module = _module(backend)
    if device.type not in module.DEVICE_TYPES:
        raise ValueError(
            f"scan backend {backend!r} computes on {' or '.join(module.DEVICE_TYPES)}, but the "
            f"tensors are on {device}; use backend='auto'"
        )
    if dtype not in module.DTYPES:
        raise TypeError(
            f"scan backend {backend!r} does not compute in {dtype}; "
            "use backend='auto' or 'reference', or cast to float32"
        )
    return backend


def _automatic(device: torch.device, dtype: torch.dtype) -> str:
    if dtype == torch.float64:
        return "reference"
    preferred = _PREFERRED.get(device.type, ())
    for name in preferred:
        if _describe(name).available and device.type in _module(name).DEVICE_TYPES:
            return name
    _warn_fallback(device.type, preferred)
    return "torch"


@cache
def _warn_fallback(device_type: str, preferred: tuple[str, ...]) -> None:
    reasons = "; ".join(f"{name}: {_describe(name).reason}" for name in preferred)
    warnings.warn(
        f"selective_scan falls back to the slower torch backend on {device_type} ({reasons})",
        RuntimeWarning,
        stacklevel=6,
    )


def _listing() -> str:
    return "\n".join(
        f"  {backend.name}: {'available' if backend.available else 'not available'}, {backend.reason}"
        for backend in scan_backends()
    )


@cache
def _describe(name: str) -> ScanBackend:
    module = _module(name)
    reason = module.unavailable()
    return ScanBackend(name, not reason, reason or f"runs on {' and '.join(module.DEVICE_TYPES)}")


def _module(name: str) -> ModuleType:
    return import_module(_MODULES[name])


def _check_shapes(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    if u.ndim != 3 or u.shape[2] < 1 or not u.is_floating_point():
        raise ValueError(
            "u must be a floating tensor [batch x channels x length] of length 1 or more, "
            f"got {u.dtype} {list(u.shape)}"
        )
    batch, channels, length = u.shape
    if A.ndim != 2 or B.ndim != 4:
        raise ValueError(
            f"A must be [channels x N] and B [batch x groups x N x length], got {list(A.shape)} and {list(B.shape)}"
        )
    states, groups = A.shape[1], B.shape[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"the {groups} groups of B must divide the {channels} channels of u")
    expected: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "delta": (delta, (batch, channels, length)),
        "A": (A, (channels, states)),
        "B": (B, (batch, groups, states, length)),
        "C": (C, (batch, groups, states, length)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise ValueError(f"{name} must be {list(shape)} to fit u {list(u.shape)}, got {list(tensor.shape)}")
        if tensor.device != u.device:
            raise ValueError(f"{name} is on {tensor.device}, but u is on {u.device}")
