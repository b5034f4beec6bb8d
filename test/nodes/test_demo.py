import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import psutil
import pytest
import rclpy
from mambapose_ros.msg import SkeletonArray

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import skeletons_to_msg
from mambapose_ros.nodes.demo import NAMESPACE, Monitor, describe_errors, error_of, match
from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.types import Frame, Skeleton3D

DEMO = [sys.executable, "-c", "import sys; from mambapose_ros.cli.main import main; sys.exit(main())", "demo"]


def test_the_demo_runs_both_nodes_and_leaves_its_files(tmp_path):
    command = [*DEMO, "--seconds", "3", "--output", str(tmp_path)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "latency p50" in finished.stdout
    assert "status running" in finished.stdout  # a plain line, since this is no terminal
    assert re.search(r"^(no skeletons; lifter: |3D error against)", finished.stdout, re.MULTILINE)
    video = cv2.VideoCapture(str(tmp_path / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 30
    assert cv2.imread(str(tmp_path / "overview.png")).shape[1] == 1920


def test_a_lifter_that_is_not_there_is_told_of_at_once(tmp_path):
    command = [*DEMO, "--weights", str(tmp_path / "none.bin"), "--output", str(tmp_path)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert finished.returncode == 1
    assert "pose_node could not be configured" in finished.stderr
    assert "none.bin" in finished.stderr


def skeleton(root, name="", offset=0.0) -> Skeleton3D:
    """A pelvis, and all other joints a metre above it and ``offset`` metres aside."""
    joints = np.tile(np.array(root, float), (NUM_JOINTS, 1))
    joints[1:] += (offset, -1.0, 0.0)
    return Skeleton3D(name, joints, np.ones(NUM_JOINTS), "none")


def test_errors_are_of_joints_from_the_pelvis_and_of_the_pelvis():
    error = error_of(skeleton((0.0, 0.0, 4.3), offset=0.034), skeleton((0.0, 0.0, 4.0)))
    assert error.root_aligned_mm == pytest.approx(34.0 * 16 / 17)
    assert error.root_cm == pytest.approx(30.0)
    assert describe_errors([error]) == "MPJPE 32 mm, root 30 cm"


def test_missing_joints_do_not_count():
    person = skeleton((0.0, 0.0, 4.0), offset=0.034)
    person.joints[3:] = np.nan
    assert error_of(person, skeleton((0.0, 0.0, 4.0))).root_aligned_mm == pytest.approx(34.0 * 2 / 3)


def test_people_are_compared_with_the_nearest_truth():
    truth = [skeleton((-1.0, 0.0, 4.0), "left"), skeleton((1.0, 0.0, 4.0), "right")]
    people = [skeleton((0.8, 0.0, 4.5), "r"), skeleton((np.nan,) * 3, "nowhere"), skeleton((-0.7, 0.0, 3.0), "l")]
    assert {(person.id, true.id) for person, true in match(people, truth)} == {("r", "right"), ("l", "left")}
    assert match(people, []) == []
    assert match([], truth) == []


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


@pytest.mark.parametrize("truth_comes_last", [False, True])
def test_skeletons_are_compared_with_the_truth_of_their_own_stamp(listener, tmp_path, truth_comes_last):
    monitor = Monitor(tmp_path)
    found, truth = (
        listener.node.create_publisher(SkeletonArray, f"{NAMESPACE}/{topic}", 10)
        for topic in ("skeletons", "ground_truth/skeletons")
    )
    frames = [Frame(stamp, "optical", np.zeros((4, 4, 3), np.uint8), Camera.from_fov(4, 4)) for stamp in (10, 20)]
    lost = replace(skeleton((9.0, 9.0, 9.0), "p2"), state="lost")
    messages = [
        (found, skeletons_to_msg(frames[0], [skeleton((0.0, 0.0, 4.3), "p1", offset=0.034), lost])),
        (truth, skeletons_to_msg(frames[0], [skeleton((0.0, 0.0, 4.0), "person0")])),
        (truth, skeletons_to_msg(frames[1], [skeleton((5.0, 0.0, 4.0), "person0")])),  # nothing was found in this one
    ]

    def heard(condition):
        rclpy.spin_once(monitor, timeout_sec=0.01)
        return condition()

    try:
        listener.spin_until(
            lambda: found.get_subscription_count() and truth.get_subscription_count(), "the demo listens"
        )
        for publisher, message in messages if truth_comes_last else reversed(messages):
            before = len(monitor.skeletons) + len(monitor.truth)
            publisher.publish(message)
            listener.spin_until(
                lambda before=before: heard(lambda: len(monitor.skeletons) + len(monitor.truth) > before), "it is heard"
            )
        (error,) = monitor.errors
    finally:
        monitor.close()
        monitor.destroy_node()
    assert error.root_aligned_mm == pytest.approx(34.0 * 16 / 17, abs=0.1)
    assert error.root_cm == pytest.approx(30.0, abs=0.01)
