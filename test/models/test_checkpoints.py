"""Released checkpoints: the published outputs are reproduced, and bad files are refused safely."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mambapose_ros.models import (
    CheckpointError,
    PoseMamba,
    PoseMambaConfig,
    flip_average,
    load_official_checkpoint,
)
from mambapose_ros.models.checkpoints import _published_name
from mambapose_ros.ops import scan_backends

TINY = "posemamba_tiny_d32_n2_T9"  # the published outputs hold to 2e-6
RELEASED = "posemamba_S_T243"  # to 1e-5
BACKENDS = {backend.name: backend for backend in scan_backends()}


class Golden:
    """A set of published weights, inputs and outputs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.checkpoint = folder / f"{name}_official_layout.bin"
        with np.load(folder / f"{name}.npz") as file:
            self.arrays = dict(file)
        self.input = torch.from_numpy(self.arrays["input"])

    def error(self, output: Tensor, name: str) -> float:
        expected = self.arrays[name][: len(output)]
        return float(np.abs(output.numpy(force=True) - expected).max())


@pytest.fixture(scope="module")
def golden(shared: Path) -> Callable[[str], Golden]:
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip(f"golden files: expected in {folder} (set MAMBAPOSE_SHARED)")
    return lambda name: Golden(folder, name)


@pytest.fixture
def device(backend: str) -> str:
    """Where `backend` is tested; skips the test if it cannot run here."""
    if not BACKENDS[backend].available:
        pytest.skip(f"scan backend {backend}: {BACKENDS[backend].reason}")
    return "cuda" if backend in ("triton", "mamba_ssm") and torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_tiny_network_agrees_with_the_published_one(golden, backend: str, device: str) -> None:
    tiny = golden(TINY)
    model = load_official_checkpoint(tiny.checkpoint, scan_backend=backend).to(device)
    assert not model.training
    with torch.inference_mode():
        output = model(tiny.input.to(device))
        averaged = flip_average(model, tiny.input.to(device))
    assert tiny.error(output, "output") < 2e-6
    assert tiny.error(averaged, "output_flip_tta") < 2e-6
    at_root = averaged * (torch.arange(17, device=device) > 0)[:, None]
    assert tiny.error(at_root, "output_flip_tta_root0") < 2e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_released_shape_agrees_with_the_published_one(golden, backend: str, device: str) -> None:
    if backend == "triton" and device == "cpu":
        pytest.skip("the Triton interpreter takes minutes for 243 frames")
    released = golden(RELEASED)
    model = load_official_checkpoint(released.checkpoint, scan_backend=backend).to(device)
    inputs = released.input[:1] if backend in ("reference", "torch") else released.input
    with torch.inference_mode():
        assert released.error(model(inputs.to(device)), "output") < 1e-5
        if backend in ("reference", "torch"):
            return  # four times as slow, and no other computation
        averaged = flip_average(model, inputs.to(device))
    assert released.error(averaged, "output_flip_tta") < 1e-5


def test_gradients_do_not_change_the_output(golden) -> None:
    tiny = golden(TINY)
    model = load_official_checkpoint(tiny.checkpoint)
    assert tiny.error(model(tiny.input), "output") < 2e-6


def test_float64_agrees_with_the_published_float64(golden) -> None:
    tiny = golden(TINY)
    model = load_official_checkpoint(tiny.checkpoint).double()
    with torch.inference_mode():
        assert tiny.error(model(tiny.input.double()), "output_fp64") < 1e-9


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "reference"])
def test_shorter_windows_agree_with_the_reference(golden, backend: str, device: str) -> None:
    released = golden(RELEASED)
    models = [
        load_official_checkpoint(released.checkpoint, scan_backend=name).to(device) for name in ("reference", backend)
    ]
    for frames in (1, 2, 9) if backend == "triton" and device == "cpu" else (1, 2, 27):
        with torch.inference_mode():
            expected, output = (model(released.input[:1, :frames].to(device)) for model in models)
        assert float((output - expected).abs().max()) < 5e-6


# --- files that are no such checkpoint, or a bad one ------------------------------------------------------------------


def published(changes: dict[str, Tensor | None] | None = None, prefix: str = "module.") -> dict:
    """A small checkpoint in the published layout; a change to None leaves a parameter out."""
    model = PoseMamba(PoseMambaConfig(window=5, width=16, depth=1))
    parameters = {_published_name(name): value for name, value in model.state_dict().items()}
    parameters |= changes or {}
    return {
        "epoch": 3,
        "lr": 1e-4,
        "optimizer": None,
        "model_pos": {prefix + k: value for k, value in parameters.items() if value is not None},
        "min_loss": np.float64(41.8),
    }


def save(checkpoint: object, path: Path) -> Path:
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_names_with_and_without_module_load(tmp_path: Path, prefix: str) -> None:
    model = load_official_checkpoint(save(published(prefix=prefix), tmp_path / "model.bin"))
    assert (model.config.window, model.config.width, model.config.depth) == (5, 16, 1)
    assert model(torch.zeros(2, 3, 17, 2)).shape == (2, 3, 17, 3)


def test_every_difference_is_listed(tmp_path: Path) -> None:
    changes = {
        "head.1.bias": None,
        "head.2.weight": torch.zeros(1),
        "STEblocks.0.op.A_logs": torch.zeros(128, 8),
    }
    path = save(published(changes), tmp_path / "model.bin")
    with pytest.raises(CheckpointError) as caught:
        load_official_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "width 16, depth 1 and window 5" in message
    assert "missing: head.1.bias" in message
    assert "unexpected: head.2.weight" in message
    assert "STEblocks.0.op.A_logs: expected [128, 16], found [128, 8]" in message


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = save({"model_pos": {"conv.weight": torch.zeros(3)}}, tmp_path / "model.bin")
    with pytest.raises(CheckpointError, match=r"expected PoseMamba's Temporal_pos_embed"):
        load_official_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"state_dict": {}}, r"a dict with the keys \['state_dict'\]"),
        ([1, 2], "a list"),
        ({"model_pos": {"weight": 3}}, r"a dict with the keys \['model_pos'\]"),
    ],
)
def test_another_layout_is_described(tmp_path: Path, content: object, found: str) -> None:
    with pytest.raises(CheckpointError, match=f"'model_pos' maps names to tensors, found {found}"):
        load_official_checkpoint(save(content, tmp_path / "model.bin"))


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.bin: .* there is no such file"):
        load_official_checkpoint(tmp_path / "nothing.bin")
    with pytest.raises(CheckpointError, match="it is a directory"):
        load_official_checkpoint(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, size: float) -> None:
    whole = save(published(), tmp_path / "model.bin").read_bytes()
    path = tmp_path / "part.bin"
    path.write_bytes(whole[: int(size if size >= 1 else size * len(whole))])
    with pytest.raises(CheckpointError, match=r"part\.bin: expected .* again"):
        load_official_checkpoint(path)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x80\x04garbage", b"\x80\x02.", bytes(300)])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"page\.bin: expected "):
        load_official_checkpoint(path)


class Malicious:
    """Creates a file when unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model.bin"
    torch.save(published() | {"min_loss": Malicious(victim)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"(?s)model\.bin.*nothing in it was run"):
        load_official_checkpoint(path)
    assert not victim.exists()
