"""PoseMamba: shape, contract and symmetry; the published outputs are in test_checkpoints.py."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.models import (
    PRESETS,
    PoseMamba,
    PoseMambaConfig,
    flip_average,
    normalize_keypoints,
)
from mambapose_ros.ops import scan_backends
from mambapose_ros.skeleton import FLIP

SMALL = PoseMambaConfig(window=9, width=32, depth=2)
NATIVE = {backend.name: backend for backend in scan_backends()}["native"]
needs_native = pytest.mark.skipif(not NATIVE.available, reason=NATIVE.reason)


def small(**changes: object) -> PoseMamba:
    torch.manual_seed(0)
    return PoseMamba(dataclasses.replace(SMALL, **changes)).eval()


@pytest.mark.parametrize(("name", "parameters"), [("S", 1_470_211), ("B", 4_742_659), ("L", 9_450_499)])
def test_presets_have_the_published_sizes(name: str, parameters: int) -> None:
    model = PoseMamba(PRESETS[name])
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert PRESETS[name].window == 243


def test_the_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.width = 64


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 5, 16, 2), r"with the 17 Human3.6M joints, got \[1, 5, 16, 2\]"),
        ((5, 17, 2), r"must be \[batch x frames x 17 x 2\]"),
        ((1, 5, 17, 3), "must have 2 channels per joint, got 3; .*in_channels"),
        ((1, 10, 17, 2), "must have 1 to 9 frames, got 10; keep the newest 9"),
        ((1, 0, 17, 2), "must have 1 to 9 frames, got 0"),
    ],
)
def test_a_wrong_input_is_named_with_its_fix(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small()(torch.zeros(shape))


def test_other_channels_follow_the_config() -> None:
    model = small(in_channels=5, out_channels=4)
    assert model(torch.randn(2, 4, 17, 5)).shape == (2, 4, 17, 4)
    assert model.trunk(torch.randn(2, 4, 17, 5)).shape == (2, 4, 17, 32)


def test_an_empty_batch_gives_an_empty_answer() -> None:
    with torch.inference_mode():
        assert small()(torch.zeros(0, 5, 17, 2)).shape == (0, 5, 17, 3)


def test_people_do_not_mix() -> None:
    model, people = small(), torch.randn(3, 9, 17, 2)
    with torch.inference_mode():
        torch.testing.assert_close(model(people)[1:2], model(people[1:2]), rtol=0, atol=2e-6)


@needs_native
@settings(max_examples=20, deadline=None)
@given(
    people=st.integers(1, 3),
    frames=st.integers(1, 9),
    width=st.sampled_from([16, 24, 32, 48]),
    states=st.sampled_from([16, 32, 5]),
)
def test_fused_inference_agrees_with_the_plain_path(people: int, frames: int, width: int, states: int) -> None:
    model = small(width=width, state_size=states, scan_backend="native")
    keypoints = torch.randn(people, frames, 17, 2)
    expected = model(keypoints).detach()  # with gradients enabled, nothing is fused
    with torch.inference_mode():
        torch.testing.assert_close(model(keypoints), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_gradients_agree_with_the_reference(backend: str) -> None:
    if backend == "native" and not NATIVE.available:
        pytest.skip(NATIVE.reason)
    keypoints = torch.randn(2, 5, 17, 2)
    gradients = []
    for name in ("reference", backend):
        model = small(scan_backend=name)
        model(keypoints).square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        difference = (gradients[1][name] - expected).abs().max()
        assert difference <= 1e-4 * expected.abs().max() + 1e-9, name


def test_drop_path_drops_only_in_training() -> None:
    model, keypoints = small(drop_path=0.9), torch.randn(4, 5, 17, 2)
    assert torch.equal(model(keypoints), model(keypoints))
    model.train()
    assert not torch.equal(model(keypoints), model(keypoints))


def test_autocast_leaves_the_scan_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    from mambapose_ros.models import global_local_scan

    dtypes, scan = set(), global_local_scan.cross_scan

    def watched(*tensors: torch.Tensor, **options: object) -> torch.Tensor:
        dtypes.update(tensor.dtype for tensor in tensors if tensor.is_floating_point())
        return scan(*tensors, **options)

    monkeypatch.setattr(global_local_scan, "cross_scan", watched)
    model, keypoints = small(), torch.rand(2, 5, 17, 2)
    expected = model(keypoints)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(keypoints)
    assert dtypes == {torch.float32}
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.1)


def test_keypoints_are_normalised_by_the_width() -> None:
    corners = torch.tensor([[0.0, 0.0], [640.0, 480.0], [320.0, 240.0]])
    expected = torch.tensor([[-1.0, -0.75], [1.0, 0.75], [0.0, 0.0]])
    torch.testing.assert_close(normalize_keypoints(corners, 640, 480), expected)


def test_flip_averaging_is_symmetric() -> None:
    model, keypoints = small(), torch.randn(2, 5, 17, 2)
    mirrored = keypoints[:, :, FLIP] * torch.tensor([-1.0, 1.0])
    with torch.inference_mode():
        plain, answer = flip_average(model, keypoints), flip_average(model, mirrored)
    expected = plain[:, :, FLIP] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(answer, expected, rtol=0, atol=2e-6)


@needs_native
def test_inference_memory_is_bounded() -> None:
    """A window of 243 frames takes less than 150 MB beyond the weights."""
    import subprocess
    import sys

    # The peak that the kernel keeps is set back first: a child starts with its parent's.
    program = """
import re, torch
from mambapose_ros.models import PRESETS, PoseMamba
def kilobytes(field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
model, window = PoseMamba(PRESETS["S"]).eval(), torch.randn(1, 243, 17, 2)
with torch.inference_mode():
    model(window[:, :1])
    open("/proc/self/clear_refs", "w").write("5")
    before = kilobytes("VmRSS")
    model(window)
print(kilobytes("VmHWM") - before)
"""
    # From elsewhere, since Python would find the checkout's package first.
    done = subprocess.run([sys.executable, "-c", program], cwd="/", capture_output=True, check=True)
    assert 1e6 < int(done.stdout) * 1024 < 150e6
