"""The compiled CPU kernels: every instruction set of this processor, threads, and loading."""

import os
import subprocess
import sys

import pytest
import torch

from mambapose_ros.models import PoseMamba, PoseMambaConfig
from mambapose_ros.ops import native_library, scan_backends, selective_scan

NATIVE = {backend.name: backend for backend in scan_backends()}["native"]
needs_native = pytest.mark.skipif(not NATIVE.available, reason=NATIVE.reason)


@pytest.fixture(params=["avx512", "avx2", "generic"])
def instruction_set(request: pytest.FixtureRequest):
    library = native_library.load()
    best = library.mambapose_instruction_set()
    if not library.mambapose_choose_instruction_set(request.param.encode()):
        pytest.skip(f"this processor lacks {request.param}")
    yield request.param
    library.mambapose_choose_instruction_set(best)


@needs_native
def test_the_exponential_is_exact_to_single_precision(instruction_set: str) -> None:
    """h = exp(delta A) for the second token alone, when only the first brings input."""
    exponents = torch.linspace(-80, 0, 4001, dtype=torch.float64).float()
    u = torch.zeros(1, 4001, 2)
    u[:, :, 0] = 1
    delta = torch.stack([torch.ones(4001), -exponents], dim=1)[None]
    ones = torch.ones(1, 1, 1, 2)
    y = selective_scan(u, delta, -torch.ones(4001, 1), ones, ones, backend="native")[0, :, 1]
    exact = torch.exp(exponents.double())
    # The argument's own rounding, half a unit of 80 in float32, is the larger part.
    bound = 1.2e-7 + 1.2e-7 * exponents.abs().double()
    assert (((y - exact) / exact).abs() <= bound).all()
    assert y[-1] == 1


@needs_native
def test_values_and_gradients_agree_with_the_reference(instruction_set: str) -> None:
    torch.manual_seed(0)
    batch, groups, channels, states, length = 2, 2, 40, 20, 150
    shapes = {
        "u": (batch, groups * channels, length),
        "delta": (batch, groups * channels, length),
        "A": (groups * channels, states),
        "B": (batch, groups, states, length),
        "C": (batch, groups, states, length),
        "D": (groups * channels,),
    }
    values = {name: torch.randn(shape) for name, shape in shapes.items()}
    values["A"] = -values["A"].exp()
    gradients = {}
    for backend in ("reference", "native"):
        inputs = {name: value.clone().requires_grad_() for name, value in values.items()}
        y = selective_scan(**inputs, delta_softplus=True, backend=backend)
        (y * torch.cos(torch.arange(y.numel())).view_as(y)).sum().backward()
        gradients[backend] = {"y": y.detach()} | {n: t.grad for n, t in inputs.items()}
    for name, expected in gradients["reference"].items():
        error = (gradients["native"][name] - expected).abs().max() / expected.abs().max()
        assert error < 1e-5, name


@needs_native
def test_fused_kernels_agree_with_the_plain_path(instruction_set: str) -> None:
    torch.manual_seed(0)
    model = PoseMamba(PoseMambaConfig(window=70, width=32, depth=1, scan_backend="native"))
    keypoints = torch.randn(2, 70, 17, 2)
    expected = model.eval()(keypoints).detach()  # with gradients enabled, nothing is fused
    with torch.inference_mode():
        torch.testing.assert_close(model(keypoints), expected, rtol=0, atol=5e-6)


@needs_native
def test_threads_change_nothing() -> None:
    torch.manual_seed(0)
    u, delta = torch.randn(2, 3, 32, 90).unbind()
    A, B, C = -torch.rand(32, 16), *torch.randn(2, 3, 2, 16, 90).unbind()
    threads, outputs = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            outputs.append(selective_scan(u, delta.exp(), A, B, C, backend="native"))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_a_missing_library_is_named_with_the_remedy() -> None:
    program = """
from mambapose_ros.ops import scan_backends
print({backend.name: backend for backend in scan_backends()}["native"].reason)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"MAMBAPOSE_SCAN_LIBRARY": "/nowhere/library.so"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert "does not load: /nowhere/library.so" in done.stdout


@needs_native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")
def test_the_library_shares_the_threads_of_torch() -> None:
    # In a process of its own, since other packages bring runtimes of theirs; with the library that is loaded here,
    # since from the top of the source tree that process would import a package without one.
    program = """
from mambapose_ros.ops import native_library
native_library.load()
print({line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps") if "gomp" in line})
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"MAMBAPOSE_SCAN_LIBRARY": str(native_library.find_library())},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.count("gomp") <= 1, done.stdout
