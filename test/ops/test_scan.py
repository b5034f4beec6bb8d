"""The selective scan: every backend that runs here against the definition."""

import functools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambapose_ros.ops import scan as scan_module
from mambapose_ros.ops import scan_backends, selective_scan

BACKENDS = {backend.name: backend for backend in scan_backends()}
FAST = [name for name in BACKENDS if name != "reference"]

Problem = dict[str, Tensor]


def problem(
    batch: int = 2,
    groups: int = 2,
    channels: int = 6,
    states: int = 16,
    length: int = 70,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    steps: tuple[float, float] = (1e-3, 1.0),
    seed: int = 0,
) -> Problem:
    """Arguments of `selective_scan` with log-uniform steps; `channels` are per group."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    width = groups * channels
    low, high = math.log(steps[0]), math.log(steps[1])
    uniform = torch.rand(batch, width, length, generator=generator, dtype=torch.float64)
    tensors = {
        "u": normal(batch, width, length),
        "delta": torch.exp(low + (high - low) * uniform),
        "A": -torch.exp(normal(width, states)),
        "B": normal(batch, groups, states, length),
        "C": normal(batch, groups, states, length),
        "D": normal(width),
        "delta_bias": normal(width).abs(),  # a negative step would grow without bound
    }
    return {name: tensor.to(device, dtype) for name, tensor in tensors.items()}


def relative_error(value: Tensor, expected: Tensor) -> float:
    scale = expected.abs().max().clamp_min(1e-30) if expected.numel() else torch.tensor(1.0)
    return float((value - expected).abs().max() / scale) if expected.numel() else 0.0


@pytest.fixture
def device(backend: str) -> str:
    """Where `backend` is tested; skips the test if it cannot run here."""
    if not BACKENDS[backend].available:
        pytest.skip(BACKENDS[backend].reason)
    return scan_module._module(backend).DEVICE_TYPES[0]


def test_reference_follows_the_recurrence() -> None:
    p = problem(batch=1, groups=2, channels=1, states=3, length=5, dtype=torch.float64)
    y = selective_scan(**p, delta_softplus=True, backend="reference")
    for d in range(2):
        h = torch.zeros(3, dtype=torch.float64)
        for t in range(5):
            step = torch.log1p(torch.exp(p["delta"][0, d, t] + p["delta_bias"][d]))
            h = torch.exp(step * p["A"][d]) * h + step * p["B"][0, d, :, t] * p["u"][0, d, t]
            expected = h @ p["C"][0, d, :, t] + p["D"][d] * p["u"][0, d, t]
            assert abs(float(y[0, d, t] - expected)) < 1e-12


def test_reference_gradients_are_exact() -> None:
    p = problem(batch=2, groups=2, channels=2, states=3, length=6, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in p.values()]

    def function(*tensors: Tensor) -> Tensor:
        *positional, delta_bias = tensors
        return selective_scan(*positional, delta_bias=delta_bias, delta_softplus=True, backend="reference")

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("options", [(True, True, True), (False, False, False), (True, False, True)])
@pytest.mark.parametrize("sizes", [(1, 2, 3, 16, 40), (1, 1, 17, 5, 33), (3, 1, 5, 3, 1)])
def test_values_and_gradients_agree_with_the_reference(
    backend: str, device: str, options: tuple[bool, bool, bool], sizes: tuple[int, ...]
) -> None:
    p = problem(*sizes, device=device)
    skip, bias, softplus = options
    if not skip:
        del p["D"]
    if not bias:
        del p["delta_bias"]
    outputs, gradients = [], []
    for name in ("reference", backend):
        inputs = {key: tensor.detach().clone().requires_grad_() for key, tensor in p.items()}
        y = selective_scan(**inputs, delta_softplus=softplus, backend=name)
        weights = torch.cos(torch.arange(y.numel(), device=device)).view_as(y)
        (y * weights).sum().backward()
        outputs.append(y.detach())
        gradients.append({key: tensor.grad for key, tensor in inputs.items()})
    assert relative_error(outputs[1], outputs[0]) < 1e-5
    for key, expected in gradients[0].items():
        assert relative_error(gradients[1][key], expected) < 1e-4, key


@pytest.mark.parametrize("backend", FAST)
def test_values_agree_with_the_reference_for_any_shape(backend: str, device: str) -> None:
    @settings(max_examples=6 if backend == "triton" and device == "cpu" else 40, deadline=None)
    @given(
        batch=st.integers(0, 3),
        groups=st.integers(1, 3),
        channels=st.integers(1, 20),
        states=st.sampled_from([1, 2, 7, 16, 19, 32]),
        length=st.integers(1, 90),
        seed=st.integers(0, 9),
    )
    def check(**sizes: int) -> None:
        p = problem(**sizes, device=device)
        y = selective_scan(**p, backend=backend)
        assert relative_error(y, selective_scan(**p, backend="reference")) < 1e-5

    check()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_changes_nothing_before_it(backend: str, device: str) -> None:
    p = problem(batch=1, length=40, device=device)
    y = selective_scan(**p, backend=backend)
    for name in ("u", "delta", "B", "C"):
        p[name][..., 25] += 1.0
    changed = selective_scan(**p, backend=backend)
    torch.testing.assert_close(changed[..., :25], y[..., :25], rtol=0, atol=0)
    assert (changed[..., 25] != y[..., 25]).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("length", [1, 8192])
@pytest.mark.parametrize("step", [1e-6, 20.0])
def test_stays_finite(backend: str, device: str, length: int, step: float) -> None:
    if backend == "triton" and device == "cpu":
        length = min(length, 100)  # the interpreter takes a millisecond a token
    p = problem(1, 1, 2, 16, length, device=device, steps=(step, step))
    del p["delta_bias"]
    inputs = {name: tensor.requires_grad_() for name, tensor in p.items()}
    y = selective_scan(**inputs, backend=backend)
    y.square().mean().backward()
    assert y.isfinite().all()
    assert all(tensor.grad.isfinite().all() for tensor in inputs.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_batch_gives_an_empty_answer(backend: str, device: str) -> None:
    p = {name: tensor.requires_grad_() for name, tensor in problem(0, device=device).items()}
    y = selective_scan(**p, delta_softplus=True, backend=backend)
    assert y.shape == p["u"].shape
    y.sum().backward()
    assert p["A"].grad is not None
    assert not p["A"].grad.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_runs_in_inference_mode(backend: str, device: str) -> None:
    p = problem(device=device)
    with torch.inference_mode():
        y = selective_scan(**p, backend=backend)
    assert relative_error(y, selective_scan(**p, backend="reference")) < 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_leaves_the_scan_in_float32(backend: str, device: str) -> None:
    p = problem(length=30, device=device)
    expected = selective_scan(**p, backend=backend)
    with torch.autocast(device, dtype=torch.bfloat16):
        y = selective_scan(**p, backend=backend)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, expected, rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_rounded_once(backend: str, device: str) -> None:
    p = {name: tensor.bfloat16() for name, tensor in problem(length=30, device=device).items()}
    y = selective_scan(**p, backend=backend)
    exact = selective_scan(**{name: t.double() for name, t in p.items()}, backend="reference")
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), exact, rtol=2**-8, atol=1e-4)


def test_backends_say_what_they_run_on_or_lack() -> None:
    assert list(BACKENDS) == ["reference", "native", "torch", "triton", "mamba_ssm"]
    assert all(backend.reason for backend in BACKENDS.values())
    assert BACKENDS["reference"].available
    assert BACKENDS["torch"].available


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown scan backend 'cuda'(.|\n)*native: "):
        selective_scan(**problem(), backend="cuda")


def test_an_unavailable_backend_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_missing(monkeypatch, "native", "no compiled library")
    with pytest.raises(RuntimeError, match=r"'native' cannot run(.|\n)*no compiled library"):
        selective_scan(**problem(), backend="native")


def test_auto_falls_back_to_torch_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_missing(monkeypatch, "native", "no compiled library")
    p = problem()
    with pytest.warns(RuntimeWarning, match="slower torch backend on cpu .*no compiled library") as told:
        y = selective_scan(**p)
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(selective_scan(**p), y, rtol=0, atol=0)
    torch.testing.assert_close(y, selective_scan(**p, backend="torch"), rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_name_of_what_is_used_is_the_one_to_ask_for(backend: str, device: str) -> None:
    assert scan_module.backend_name(backend, torch.device(device), torch.float32) == backend


def test_the_name_of_what_auto_uses_is_one_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert scan_module.backend_name("auto", cpu, torch.float64) == "reference"
    _pretend_missing(monkeypatch, "native", "no compiled library")
    with pytest.warns(RuntimeWarning, match="slower torch backend"):
        assert scan_module.backend_name("auto", cpu, torch.float32) == "torch"


def test_auto_takes_the_reference_for_float64() -> None:
    p = problem(dtype=torch.float64)
    y = selective_scan(**p)
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, selective_scan(**p, backend="reference"), rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["native"])
def test_float64_is_refused_where_it_would_lose_precision(backend: str, device: str) -> None:
    with pytest.raises(TypeError, match=r"does not compute in torch.float64; use"):
        selective_scan(**problem(dtype=torch.float64, device=device), backend=backend)


@pytest.mark.parametrize("backend", ["native"])
def test_a_wrong_device_is_named(backend: str, device: str) -> None:
    p = {name: tensor.to("meta") for name, tensor in problem().items()}
    with pytest.raises(ValueError, match="computes on cpu, but the tensors are on meta"):
        selective_scan(**p, backend=backend)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("u", (2, 12), r"u must be .* got torch.float32 \[2, 12\]"),
        ("u", (2, 12, 0), "of length 1 or more"),
        ("delta", (2, 12, 7), r"delta must be \[2, 12, 70\] .* got \[2, 12, 7\]"),
        ("A", (12,), r"A must be \[channels x N\]"),
        ("A", (5, 16), r"A must be \[12, 16\] .* got \[5, 16\]"),
        ("B", (2, 5, 16, 70), "the 5 groups of B must divide the 12 channels"),
        ("C", (2, 2, 16, 9), r"C must be \[2, 2, 16, 70\]"),
        ("D", (3,), r"D must be \[12\] .* got \[3\]"),
        ("delta_bias", (3,), r"delta_bias must be \[12\]"),
    ],
)
def test_a_wrong_shape_is_named(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selective_scan(**problem() | {name: torch.zeros(shape)})


def _pretend_missing(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    module = scan_module._module(name)
    monkeypatch.setattr(module, "unavailable", lambda: reason)
    for cached in (scan_module._describe, scan_module._warn_fallback):
        fresh = functools.cache(cached.__wrapped__)
        monkeypatch.setattr(scan_module, cached.__name__, fresh)
