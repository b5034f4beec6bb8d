import argparse
import errno
import os
import re
import subprocess
import sys

import pytest
import torch

from mambapose_ros.cli.main import COMMANDS, main
from mambapose_ros.version import version


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == version()


def test_help_says_what_every_command_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for command, summary in COMMANDS.items():
        assert re.search(rf"^ +{command} +{re.escape(summary)}$", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "run",
            ["usage: mambapose run [-h] --source SOURCE", "Process a video file, a webcam", "--detector", "--seed"],
        ),
        ("download", ["usage: mambapose download [-h]", "Nothing else ever downloads", "--offline"]),
        ("doctor", ["usage: mambapose doctor [-h]", "Say what works on this machine"]),
    ],
)
def test_help_of_a_command_is_its_own(command, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(text in said for text in expected)


def test_an_option_that_a_command_does_not_have_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--source", "0"])
    assert ended.value.code == 2
    assert "mambapose doctor: error: unrecognized arguments: --source 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--version"], 0, version()),
        (["--help"], 0, COMMANDS["doctor"]),
        (["doctor", "--help"], 0, "usage: mambapose doctor"),
        (["run", "--help"], 1, "mambapose run: a Python package is missing or cannot be used: libopenblas.so.0"),
        (["run", "--source", "synthetic"], 1, "mambapose run: a Python package is missing or cannot be used"),
    ],
)
def test_a_library_that_is_broken_stops_only_who_needs_it(arguments, status, expected, tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('libopenblas.so.0: cannot open shared object file')")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "mambapose_ros.cli.main", *arguments],
        cwd="/",
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == status
    assert expected in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


def fail_with(monkeypatch, error: Exception) -> int:
    """What the command ends with when its work raises this."""

    def run(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("mambapose_ros.cli.doctor.run", run)
    return main(["doctor"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/data/walk.npz"), "/data/walk.npz: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device"),
        (OSError("libcudart.so.12: cannot open\nmore"), "libcudart.so.12: cannot open"),
        (OSError(), "OSError"),
    ],
)
def test_what_the_system_refuses_is_told_in_a_line(error, expected, monkeypatch, capsys):
    assert fail_with(monkeypatch, error) == 1
    assert capsys.readouterr().err == f"mambapose doctor: {expected}\n"


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more"),
        RuntimeError("CUDA error: unspecified launch failure\nand more"),
    ],
)
def test_a_gpu_that_fails_is_told_with_what_to_do(error, monkeypatch, capsys):
    assert fail_with(monkeypatch, error) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"mambapose doctor: the GPU failed: {str(error).splitlines()[0]}")
    assert "--device cpu" in said
    assert "and more" not in said


def test_a_fault_of_our_own_is_shown_as_one(monkeypatch):
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fail_with(monkeypatch, RuntimeError("shapes do not fit"))


def test_doctor_reports_what_is_here(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert version() in said
    assert "mediapipe" in said
    assert "scan backend reference" in said


def test_a_missing_package_is_told_in_a_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "mambapose_ros.perception.lifter", raising=False)
    assert main(["run", "--source", "synthetic", "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "mambapose run: a Python package is missing or cannot be used: import of torch halted" in said
    assert "pip" in said
    assert "Traceback" not in said


def test_a_module_of_our_own_that_is_missing_is_a_bug_and_shown_as_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "mambapose_ros.perception.pipeline", None)
    with pytest.raises(ImportError, match=r"mambapose_ros\.perception\.pipeline"):
        main(["run", "--source", "synthetic"])
