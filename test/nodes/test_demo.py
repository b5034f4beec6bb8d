import signal
import subprocess
import sys
import time

import cv2
import psutil
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


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_however_the_demo_is_ended_it_ends_its_nodes(tmp_path, ending):
    command = [*DEMO, "--seconds", "600", "--output", str(tmp_path)]
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        demo = psutil.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60.0
        while "results out" not in (tmp_path / "log").read_text():
            assert demo.poll() is None
            assert time.monotonic() < deadline, "the demo shows no figures"
            time.sleep(0.1)
        nodes = demo.children(recursive=True)
        assert len(nodes) == 2
        demo.send_signal(ending)
        assert demo.wait(60) == 0
    _, alive = psutil.wait_procs(nodes, timeout=10)
    assert not alive
    assert (tmp_path / "overview.png").is_file()
