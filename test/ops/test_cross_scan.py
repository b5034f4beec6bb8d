"""Scans over tokens in several orders: what the compiled kernels do, against plain scans."""

import pytest
import torch

from mambapose_ros.ops import native_library, scan_backends
from mambapose_ros.ops.backends import triton_chunked
from mambapose_ros.ops.cross_scan import cross_scan

NATIVE, TRITON = (next(b for b in scan_backends() if b.name == name) for name in ("native", "triton"))
NAMES = ("u", "projected", "dt_weight", "dt_bias", "A", "D")


def random_inputs(channels: int, states: int, length: int, rank: int = 3, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    orders = torch.stack([torch.randperm(length, generator=generator, dtype=torch.int32) for _ in range(4)])
    return {
        "u": normal(2, batch, length, channels),
        "projected": normal(2, batch, length, 2 * (rank + 2 * states)),
        "orders": orders,
        "dt_weight": normal(4, channels, rank),
        "dt_bias": normal(4, channels) - 1.0,
        "A": -normal(4 * channels, states).exp(),
        "D": normal(4 * channels),
    }


def value_and_gradients(inputs: dict[str, torch.Tensor], backend: str) -> dict[str, torch.Tensor]:
    leaves = {name: inputs[name].clone().requires_grad_() for name in NAMES}
    y = cross_scan(**leaves, orders=inputs["orders"], backend=backend)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    (y * weight).sum().backward()
    return {"y": y.detach(), **{name: leaf.grad for name, leaf in leaves.items()}}


@pytest.fixture(params=["avx512", "avx2", "generic"])
def instruction_set(request: pytest.FixtureRequest):
    if not NATIVE.available:
        pytest.skip(NATIVE.reason)
    library = native_library.load()
    best = library.mambapose_instruction_set()
    if not library.mambapose_choose_instruction_set(request.param.encode()):
        pytest.skip(f"this processor lacks {request.param}")
    yield request.param
    library.mambapose_choose_instruction_set(best)


@pytest.mark.parametrize(("channels", "states", "length"), [(32, 16, 37), (16, 32, 8), (48, 16, 2)])
def test_kernels_agree_with_plain_scans(instruction_set: str, channels: int, states: int, length: int) -> None:
    inputs = random_inputs(channels, states, length)
    exact = value_and_gradients(
        {name: v.double() if v.is_floating_point() else v for name, v in inputs.items()}, "auto"
    )
    computed = value_and_gradients(inputs, "native")
    for name, value in exact.items():
        error = (computed[name] - value).abs().max() / value.abs().max()
        assert error < 3e-6, f"{name}: {error:.1e}"


@pytest.mark.parametrize(
    ("channels", "states", "length", "rank", "batch"),
    [(32, 16, 37, 4, 2), (10, 5, 20, 3, 1), (16, 16, 8, 1, 3), (48, 17, 1, 2, 2), (16, 16, 5, 2, 0)],
)
def test_triton_agrees_with_plain_scans(channels: int, states: int, length: int, rank: int, batch: int) -> None:
    if not TRITON.available:
        pytest.skip(TRITON.reason)
    inputs = random_inputs(channels, states, length, rank, batch)
    exact = value_and_gradients(
        {name: v.double() if v.is_floating_point() else v for name, v in inputs.items()}, "auto"
    )
    device = triton_chunked.DEVICE_TYPES[0]
    computed = value_and_gradients({name: value.to(device) for name, value in inputs.items()}, "triton")
    for name, value in exact.items():
        assert computed[name].shape == value.shape
        if value.numel() and value.abs().max() > 0:
            error = (computed[name].cpu() - value).abs().max() / value.abs().max()
            assert error < 1e-5, f"{name}: {error:.1e}"


def test_widths_that_the_kernels_do_not_take_are_scanned_all_the_same() -> None:
    inputs = random_inputs(channels=10, states=5, length=20)
    exact = value_and_gradients(inputs, "reference")
    for name, value in value_and_gradients(inputs, "auto").items():
        torch.testing.assert_close(value, exact[name], rtol=1e-4, atol=1e-4 * float(exact[name].abs().max()), msg=name)


def test_each_direction_goes_its_own_way() -> None:
    """With B = C = 1, N = 1, and no decay, y at a token sums what its direction has visited so far."""
    length = 5
    orders = torch.tensor([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]], dtype=torch.int32)
    u = torch.arange(1.0, length + 1).view(1, 1, length, 1)
    projected = torch.ones(1, 1, length, 2 * 3)
    projected[..., 0::3] = 0.0  # dt
    unit_step = torch.full((2, 1), 1.0).expm1().log()  # softplus of it is 1
    y = cross_scan(u, projected, orders, torch.zeros(2, 1, 1), unit_step, torch.zeros(2, 1), torch.zeros(2))
    forward = u.flatten().cumsum(0)
    backward = u.flatten().flip(0).cumsum(0).flip(0)
    torch.testing.assert_close(y.flatten(), forward + backward)
