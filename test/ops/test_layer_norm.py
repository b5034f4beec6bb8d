"""Layer norms: what Triton's kernels do, against torch's in float64."""

import pytest
import torch

from mambapose_ros.ops import scan_backends
from mambapose_ros.ops.backends import triton_chunked
from mambapose_ros.ops.layer_norm import LayerNorm

TRITON = next(backend for backend in scan_backends() if backend.name == "triton")


@pytest.mark.parametrize("shape", [(3, 5, 64), (7, 10), (1, 300), (2, 33, 128), (0, 4)])
def test_triton_agrees_with_torch(shape: tuple[int, ...]) -> None:
    if not TRITON.available:
        pytest.skip(TRITON.reason)
    torch.manual_seed(0)
    computed = LayerNorm(shape[-1], eps=1e-5)
    torch.nn.init.normal_(computed.weight)
    torch.nn.init.normal_(computed.bias)
    exact = torch.nn.LayerNorm(shape[-1], eps=1e-5).double()
    exact.load_state_dict(computed.state_dict())
    computed = computed.to(triton_chunked.DEVICE_TYPES[0])
    values, slope = 3.0 * torch.randn(shape) + 1.0, torch.randn(shape)
    results = []
    for norm in (computed, exact):
        x = values.to(norm.weight, copy=True).requires_grad_()
        y = norm(x)
        (y * slope.to(y)).sum().backward()
        results.append([y.detach(), x.grad, norm.weight.grad, norm.bias.grad])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got.double().cpu(), expected, rtol=0.0, atol=1e-5)


def test_other_dtypes_and_wrong_widths_are_torch_s() -> None:
    norm = LayerNorm(8, eps=1e-5).to(torch.float64)
    assert norm(torch.randn(2, 8, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(RuntimeError, match="normalized_shape"):
        norm(torch.randn(2, 7, dtype=torch.float64))


def test_without_gradients_it_is_torch_s() -> None:
    x = torch.randn(4, 8)
    norm = LayerNorm(8, eps=1e-5)
    with torch.no_grad():
        assert torch.equal(norm(x), torch.nn.functional.layer_norm(x, (8,), norm.weight, norm.bias))
