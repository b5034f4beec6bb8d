import subprocess
import sys

import cv2
import pytest

DEMO = [sys.executable, "-c", "import sys; from mambapose_ros.cli.main import main; sys.exit(main())", "demo"]


def test_the_demo_runs_both_nodes_and_leaves_its_files(tmp_path):
    command = [*DEMO, "--seconds", "3", "--output", str(tmp_path)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "latency p50" in finished.stdout
    assert "status running" in finished.stdout  # a plain line, since this is no terminal
    video = cv2.VideoCapture(str(tmp_path / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 30
    assert cv2.imread(str(tmp_path / "overview.png")).shape[1] == 1440


@pytest.mark.parametrize("source", ["nowhere.mp4", "synthetic:fly"])
def test_the_demo_says_what_is_wrong_with_its_source(tmp_path, source):
    command = [*DEMO, "--source", source, "--output", str(tmp_path)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 1
    assert "source_node ended with status 1" in finished.stderr
    assert "expected" in finished.stderr
    assert "Traceback" not in finished.stderr
