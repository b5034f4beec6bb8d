"""`mambapose train`: what it writes and says; how well it trains is tested in test/training."""

import sys

import pytest
import torch

from mambapose_ros.cli.main import main
from mambapose_ros.training import calibration


@pytest.fixture
def run(monkeypatch, shared, tmp_path):
    """Makes a small run; returns its exit status."""
    monkeypatch.setattr(calibration, "_STRIDE", 20_000)
    monkeypatch.setattr(calibration, "_WINDOWS", (9,))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps this small are slower on two

    def run(*arguments: str) -> int:
        data, output = str(shared / "data" / "mocap"), str(tmp_path / "out")
        small = ["--batch-frames", "81", "--workers", "0", "--device", "cpu"]
        return main(["train", "--data", data, "--output", output, *small, *arguments])

    yield run
    torch.set_num_threads(threads)


def test_weights_and_curves_are_written_and_named(run, tmp_path, capsys):
    assert run("--steps", "2") == 0
    said = capsys.readouterr().out
    for name in ("mambapose.safetensors", "curves.png"):
        assert (tmp_path / "out" / name).is_file()
        assert name in said


def test_of_several_processes_the_first_one_speaks(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert run("--steps", "2") == 0
    assert capsys.readouterr().out.strip() == ""


def test_a_run_without_an_end_is_refused_in_a_line(run, capsys):
    assert run() == 1
    assert "expected a budget" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--workers", "-1", "expected 0 or more, got -1"), ("--batch-frames", "0", "expected 1 or more, got 0")],
)
def test_impossible_numbers_are_refused(run, option, value, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        run("--steps", "1", option, value)
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_torch_that_is_too_old_to_train_is_told(run, monkeypatch, capsys):
    monkeypatch.delattr(torch.optim, "Muon")
    assert run("--steps", "1") == 1
    assert (
        f"needs PyTorch 2.9 or newer, whose optimizer Muon it uses, got {torch.__version__}" in capsys.readouterr().err
    )


def test_that_curves_cannot_be_drawn_is_told_before_training(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("--steps", "1") == 1
    assert "pip install matplotlib" in capsys.readouterr().err
