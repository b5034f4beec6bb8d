"""Selective scans that visit the tokens of a window in different orders, summed.

Source: the cross-scan of VMamba, arXiv 2401.10166, section 4.2; its steps come from a projection of low rank, as in
Mamba, arXiv 2312.00752.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mambapose_ros.ops import native_library
from mambapose_ros.ops.backends import native, triton_chunked
from mambapose_ros.ops.native_library import BLOCK
from mambapose_ros.ops.scan import resolve_backend, selective_scan


def cross_scan(
    u: Tensor,
    projected: Tensor,
    orders: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    backend: str = "auto",
) -> Tensor:
    """The sum of selective scans, each over the tokens in an order of its own.

    Args:
        u: `[sources x batch x length x channels]`; direction k reads source k % sources.
        projected: dt, B and C of the directions that read a source, in their order,
            `[sources x batch x length x (directions / sources) * (rank + 2 N)]`.
        orders: the tokens as each direction visits them, `[directions x length]` int32.
        dt_weight: projects dt to steps, `[directions x channels x rank]`.
        dt_bias: added to the steps before softplus, `[directions x channels]`.
        A: state matrix, `[directions * channels x N]`.
        D: skip connection, `[directions * channels]`.
        backend: of `selective_scan`.

    Returns:
        `[batch x length x channels]`, in the order of the tokens; differentiable in every floating argument.
    """
    module = resolve_backend(backend, u.device, u.dtype)
    if module is native and u.shape[3] % BLOCK == 0 and A.shape[1] % BLOCK == 0:
        return _NativeCrossScan.apply(u, projected, orders, dt_weight, dt_bias, A, D)
    if module is triton_chunked and u.dtype in module.DTYPES and torch.is_grad_enabled():
        return _TritonCrossScan.apply(u, projected, orders, dt_weight, dt_bias, A, D)
    return _scan_in_order(u, projected, orders, dt_weight, dt_bias, A, D, backend)


def _scan_in_order(
    u: Tensor,
    projected: Tensor,
    orders: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    backend: str,
) -> Tensor:
    """`cross_scan` by reordered copies of the tokens, and one scan with a group per direction."""
    sources, channels, states = u.shape[0], u.shape[3], A.shape[1]
    directions, _, rank = dt_weight.shape
    # [sources x batch x length x directions / sources x features], then a list over directions.
    features = projected.unflatten(3, (directions // sources, -1))
    ordered = [u[k % sources][:, orders[k]] for k in range(directions)]
    visited = [features[k % sources, :, :, k // sources][:, orders[k]] for k in range(directions)]
    dt, B, C = torch.stack(visited, dim=1).split([rank, states, states], dim=-1)
    delta = torch.einsum("bklr,kdr->bkdl", dt, dt_weight)
    y = selective_scan(
        torch.stack(ordered, dim=1).mT.flatten(1, 2),
        delta.flatten(1, 2),
        A,
        B.mT,
        C.mT,
        D,
        delta_bias=dt_bias.flatten(),
        delta_softplus=True,
        backend=backend,
    )
    y = y.unflatten(1, (directions, channels)).mT
    places = orders.argsort(dim=1)
    return torch.stack([y[:, k, places[k]] for k in range(directions)]).sum(0)


class _NativeCrossScan(torch.autograd.Function):
    """`cross_scan` by the compiled kernels, without reordered copies."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, projected: Tensor, orders: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
    ) -> Tensor:
        inputs = tuple(tensor.contiguous() for tensor in (u, projected, orders, dt_weight, dt_bias, A, D))
        ctx.save_for_backward(*inputs)
        y = torch.empty_like(inputs[0][0])
        native_library.call("cross_scan", **dict(zip(_INPUTS, inputs, strict=True)), y=y, **_sizes(*inputs))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        u, projected, _, *parameters = inputs
        du, dprojected = torch.empty_like(u), torch.empty_like(projected)
        of_windows = [tensor.new_empty(u.shape[1], *tensor.shape) for tensor in parameters]
        native_library.call(
            "cross_scan_gradient",
            **dict(zip(_INPUTS, inputs, strict=True)),
            dy=dy.contiguous(),
            du=du,
            dprojected=dprojected,
            **dict(zip(("ddt_weight", "ddt_bias", "dA", "dD"), of_windows, strict=True)),
            **_sizes(*inputs),
        )
        return du, dprojected, None, *(tensor.sum(0) for tensor in of_windows)


class _TritonCrossScan(torch.autograd.Function):
    """`cross_scan` by Triton's kernels for training."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, projected: Tensor, orders: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
    ) -> Tensor:
        from mambapose_ros.ops.backends import triton_cross_scan  # needs triton to be installed

        inputs = tuple(tensor.contiguous() for tensor in (u, projected, orders, dt_weight, dt_bias, A, D))
        y, kept = triton_cross_scan.forward(*inputs)
        ctx.save_for_backward(*inputs, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        from mambapose_ros.ops.backends import triton_cross_scan

        du, dprojected, *parameters = triton_cross_scan.backward(dy.contiguous(), *ctx.saved_tensors)
        return du, dprojected, None, *parameters


_INPUTS = ("u", "projected", "orders", "dt_weight", "dt_bias", "A", "D")


def _sizes(
    u: Tensor, projected: Tensor, orders: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> dict[str, int]:
    sources, batch, length, channels = u.shape
    return {
        "batch": batch,
        "length": length,
        "channels": channels,
        "states": A.shape[1],
        "rank": dt_weight.shape[2],
        "directions": len(orders),
        "sources": sources,
    }
