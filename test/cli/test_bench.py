import json
import os
import statistics
import subprocess
import sys

import pytest
import torch

from mambapose_ros.cli.main import main
from mambapose_ros.models.mambapose import load_mambapose
from mambapose_ros.weights import locate


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """What the quick version prints and writes on a machine with empty caches and without a network."""
    folder = tmp_path_factory.mktemp("bench")
    bare = {"HF_HOME": str(folder), "TORCH_HOME": str(folder), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "mambapose_ros.cli.main", "bench", "--quick", "--json", str(folder / "bench.json")]
    told = subprocess.run(command, cwd="/", env={**os.environ, **bare}, capture_output=True, text=True, timeout=1200)
    assert told.returncode == 0, told.stderr
    return told.stdout, json.loads((folder / "bench.json").read_text())


@pytest.fixture
def rows(answer):
    return answer[1]["rows"]


def test_every_stage_is_measured_against_the_baseline(answer, rows):
    printed, report = answer
    lifters = [(f"lifter, T = {window}", people) for window in (27, 81) for people in (1, 4)]
    stages = [("ViTPose-B", 1), ("pipeline", 1), ("detector", 1), ("flow", 1), ("tracker", 1), *lifters]
    assert [(row["name"], row["people"]) for row in rows] == stages
    assert report["baseline"] == "ViTPose-B"
    assert report["machine"]["threads"] == 1
    assert all(name in printed for name, _ in stages)


def test_figures_are_those_of_the_runs_and_ratios_those_of_the_medians(rows):
    base = rows[0]
    assert base["time_ratio"] == base["memory_ratio"] == 1.0
    for row in rows:
        assert len(row["runs_ms"]) == 3
        assert row["median_ms"] == pytest.approx(statistics.median(row["runs_ms"]))
        assert row["fastest_ms"] == min(row["runs_ms"]) > 0.0
        assert row["slowest_ms"] == max(row["runs_ms"])
        assert row["time_ratio"] == pytest.approx(row["median_ms"] / base["median_ms"])
        if row["memory_mb"] is not None:
            assert row["memory_ratio"] == pytest.approx(row["memory_mb"] / base["memory_mb"])
        assert row["gpu_mb"] is row["gpu_ratio"] is None


def test_parameters_are_those_of_the_networks(rows):
    shipped = sum(parameter.numel() for parameter in load_mambapose(locate("mambapose-xs")).parameters())
    parameters = {row["name"]: row["parameters"] for row in rows}
    assert parameters["ViTPose-B"] == pytest.approx(85.8e6, rel=0.01)  # as published
    assert parameters["lifter, T = 27"] == parameters["lifter, T = 81"] == shipped
    assert parameters["flow"] == parameters["tracker"] == 0
    assert parameters["detector"] is None


def test_memory_holds_the_weights_and_little_of_the_lifter(rows):
    if rows[0]["memory_mb"] is None:
        pytest.skip("resident memory: /proc/self/clear_refs, which this system has not")
    weights_mb = 4e-6 * rows[0]["parameters"]
    assert weights_mb < rows[0]["memory_mb"] < 2.0 * weights_mb
    assert all(0.0 <= row["memory_mb"] < 0.5 * weights_mb for row in rows if row["name"].startswith("lifter"))


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--json", str(tmp_path / "nowhere" / "bench.json")])
    assert ended.value.code == 2
    assert "expected a file in a folder that exists" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without a GPU")
def test_a_gpu_that_is_not_there_is_named(capsys):
    assert main(["bench", "--device", "cuda"]) == 1
    assert "PyTorch sees no GPU" in capsys.readouterr().err
