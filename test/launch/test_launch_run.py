"""The launch files run, where launch_ros is installed (it has no wheels)."""

import os
import signal
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import psutil
import pytest
import rclpy
from ament_index_python.packages import get_package_share_directory
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import parameter_value_to_python

pytestmark = pytest.mark.skipif(
    util.find_spec("launch_ros") is None, reason="launch files: expected launch_ros, part of every ROS 2 installation"
)

SHARE = Path(get_package_share_directory("mambapose_ros"))
TIMEOUT_S = 60.0

# What `ros2 launch FILE name:=value ...` does.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *given = sys.argv[1:]
include = IncludeLaunchDescription(
    PythonLaunchDescriptionSource(file), launch_arguments=[argument.split(":=", 1) for argument in given]
)
service = LaunchService(argv=given)
service.include_launch_description(LaunchDescription([include]))
sys.exit(service.run())
"""


class Launch:
    """A launch file under way; used as a context manager, which ends it and all that it started."""

    def __init__(self, log: Path, file: str, *arguments: str) -> None:
        self._log = log
        with open(log, "w", encoding="utf-8") as output:
            self._process = psutil.Popen(
                [sys.executable, "-c", LAUNCH, str(SHARE / "launch" / file), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Launch":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def output(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self._process.wait(TIMEOUT_S)

    def stop(self) -> None:
        if not self._process.is_running():
            return
        nodes = self._process.children(recursive=True)
        self._process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs([self._process, *nodes], timeout=20)
        for process in alive:
            process.kill()
        assert not alive, f"did not end on SIGINT:\n{self.output()}"


class Observer:
    """A node of the test's own, in a context of its own."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("launch_observer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def spin_until(self, condition, launch: Launch, what: str):
        deadline = time.monotonic() + TIMEOUT_S
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {TIMEOUT_S:.0f} s: {what}\n{launch.output()}"
            self._executor.spin_once(timeout_sec=0.05)
        return value

    def parameters(self, node: str, names: list[str], launch: Launch) -> dict:
        client = self.node.create_client(GetParameters, f"{node}/get_parameters")
        self.spin_until(client.service_is_ready, launch, f"parameters of {node}")
        future = client.call_async(GetParameters.Request(names=names))
        self.spin_until(future.done, launch, f"parameters of {node}")
        return dict(zip(names, map(parameter_value_to_python, future.result().values), strict=True))


@pytest.fixture
def observer():
    made = Observer()
    yield made
    made.close()


@pytest.mark.parametrize("sections", [["/**"], ["/**/pose_node"], ["/**/pose_node", "/front/pose_node"]])
def test_the_demo_finds_the_synthetic_person_with_the_strongest_parameters(observer, tmp_path, sections):
    own = tmp_path / "own.yaml"
    given = "{max_people: 3, device: cuda, weights: '', use_sim_time: true}"
    own.write_text("".join(f"{section}:\n  ros__parameters: {given}\n" for section in sections))
    arguments = ("namespace:=front", "preset:=cpu", f"params_file:={own}", "device:=auto", "use_sim_time:=false")
    heard: list[PersonKeypointsArray] = []
    observer.node.create_subscription(PersonKeypointsArray, "/front/keypoints", heard.append, 5)
    with Launch(tmp_path / "log", "demo.launch.py", *arguments) as launch:
        given = observer.parameters("/front/pose_node", ["max_people", "device", "weights", "use_sim_time"], launch)
        assert given == {"max_people": 3, "device": "auto", "weights": "", "use_sim_time": False}
        observer.spin_until(lambda: any(message.people for message in heard), launch, "a person is found")
        topics = dict(observer.node.get_topic_names_and_types())
        assert {f"/front/{name}" for name in ("image", "camera_info", "keypoints", "skeletons", "annotated")} <= set(
            topics
        )
        assert heard[-1].header.frame_id == "camera_optical_frame"


@pytest.fixture
def rviz(tmp_path, monkeypatch):
    """A stand-in for RViz, which no wheel brings: it says how it was started, and shows its file."""
    prefix = tmp_path / "rviz2_prefix"
    (prefix / "share" / "ament_index" / "resource_index" / "packages").mkdir(parents=True)
    (prefix / "share" / "ament_index" / "resource_index" / "packages" / "rviz2").touch()
    (prefix / "lib" / "rviz2").mkdir(parents=True)
    executable = prefix / "lib" / "rviz2" / "rviz2"
    executable.write_text('#!/bin/sh\necho "rviz2 got $@"\ngrep /markers "$2"\n')
    executable.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.mark.usefixtures("rviz")
def test_presets_and_topics_reach_the_node_and_rviz_is_set_up(observer, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**:\n  pose_node:\n    ros__parameters: {weights: ''}\n")  # starts without the shipped file
    arguments = (
        f"params_file:={own}",
        "namespace:=back",
        "preset:=cpu",
        "image_topic:=/cam/rgb/image_raw",
        "rviz:=true",
        "fixed_frame:=map",
    )
    with Launch(tmp_path / "log", "mambapose.launch.py", *arguments) as launch:
        assert observer.parameters("/back/pose_node", ["device"], launch) == {"device": "cpu"}
        for topic in ("/cam/rgb/image_raw", "/cam/rgb/camera_info"):
            observer.spin_until(lambda topic=topic: observer.node.count_subscribers(topic), launch, f"it takes {topic}")
        observer.spin_until(lambda: "rviz2 got" in launch.output(), launch, "RViz starts")
        (started,) = [line for line in launch.output().splitlines() if "rviz2 got" in line]
        assert "-f map" in started
        observer.spin_until(lambda: "Value: /back/markers" in launch.output(), launch, "RViz shows the topics")


@pytest.mark.usefixtures("rviz")
def test_a_node_for_each_camera(observer, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**:\n  pose_node:\n    ros__parameters: {weights: '', depth: off}\n")
    arguments = (
        f"params_file:={own}",
        "namespace:=robot",
        "cameras:=front,rear",
        "image_topic:=/cam/{camera}/image_raw",
        "rviz:=true",
        "fixed_frame:=base_link",
    )
    with Launch(tmp_path / "log", "mambapose.launch.py", *arguments) as launch:
        for name in ("front", "rear"):
            given = observer.parameters(f"/robot/{name}/pose_node", ["id_prefix", "flow"], launch)
            assert given == {"id_prefix": f"robot_{name}_", "flow": "dis"}
            for topic in (f"/cam/{name}/image_raw", f"/cam/{name}/camera_info"):
                observer.spin_until(
                    lambda topic=topic: observer.node.count_subscribers(topic) == 1, launch, f"one takes {topic}"
                )
            shown = f"Value: /robot/{name}/markers"
            observer.spin_until(lambda shown=shown: shown in launch.output(), launch, "RViz shows the topics")


def test_the_graph_of_two_cameras_shares_a_lifter(observer, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(
        "/**:\n  lifter_node:\n    ros__parameters: {window: 9, device: cpu}\n"
        "  flow_node:\n    ros__parameters: {width: 320}\n"
    )
    arguments = (
        f"params_file:={own}",
        "namespace:=robot",
        "cameras:=front,rear",
        "image_topic:=/cam/{camera}/image_raw",
        "start:=flow,lifter,markers",
        "depth:=sensor",
        "depth_topic:=depth/image",
        "device:=auto",
    )
    with Launch(tmp_path / "log", "distributed.launch.py", *arguments) as launch:
        for name in ("front", "rear"):  # nobody is asked for anything before
            observer.node.create_subscription(SkeletonArray, f"/robot/{name}/skeletons", lambda message: None, 1)
        expected = {
            "id_prefix": "robot_",
            "cameras": ["front", "rear"],
            "window": 9,
            "device": "auto",
            "flow": True,
            "depth": "sensor",
        }
        assert observer.parameters("/robot/lifter_node", list(expected), launch) == expected
        for name in ("front", "rear"):
            assert observer.parameters(f"/robot/{name}/flow_node", ["width", "flow"], launch) == {
                "width": 320,
                "flow": "dis",
            }
            assert observer.parameters(f"/robot/{name}/marker_node", ["lifetime"], launch) == {"lifetime": 1.0}
            for topic in (
                f"/cam/{name}/image_raw",
                f"/cam/{name}/camera_info",
                f"/robot/{name}/keypoints",
                f"/robot/{name}/flow",
                f"/robot/{name}/depth/image",
            ):
                observer.spin_until(
                    lambda topic=topic: observer.node.count_subscribers(topic) == 1, launch, f"one takes {topic}"
                )
            # One draws, so that nothing is drawn twice.
            observer.spin_until(
                lambda topic=f"/robot/{name}/markers": observer.node.count_publishers(topic) == 1, launch, "markers"
            )
            assert not observer.node.count_publishers(f"/robot/{name}/keypoints")


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("cameras:=front,front", "cameras: expected different names"),
        ("image_topic:=/{camera}/image", "image_topic: {camera} stands for a name in cameras, and there is none"),
        ("preset:=tpu", "Valid options are: ['none', 'cpu', 'gpu', 'jetson', 'rgbd']"),
        ("detector:=magic", "Valid options are: ['', 'mediapipe'"),
        ("rviz:=maybe", "Valid options are: ['true', 'false']"),
        ("params_file:=/nowhere.yaml", "params_file: expected a YAML file"),
        ("namespace:=front door", "Invalid namespace"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, argument, complaint):
    with Launch(tmp_path / "log", "mambapose.launch.py", argument) as launch:
        assert launch.wait() == 1
        assert complaint in launch.output()


@pytest.mark.parametrize(
    ("file", "node", "more"),
    [("mambapose.launch.py", "/pose_node", []), ("distributed.launch.py", "/marker_node", ["start:=markers"])],
)
def test_a_misspelt_argument_is_doubted(observer, tmp_path, file, node, more):
    with Launch(tmp_path / "log", file, "imge_topic:=/camera/image", *more) as launch:
        observer.parameters(node, ["autostart"], launch)
        assert "argument imge_topic is none of this launch file; did you mean image_topic?" in launch.output()


def test_a_depth_topic_that_nobody_uses_is_doubted(observer, tmp_path):
    with Launch(tmp_path / "log", "mambapose.launch.py", "depth_topic:=/camera/depth") as launch:
        observer.parameters("/pose_node", ["autostart"], launch)
        assert "depth_topic /camera/depth needs a parameter depth: sensor" in launch.output()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["start:=keypoints,skeletons"], "start: expected some of keypoints,flow,depth,lifter,markers"),
        (["start:=,"], "start: expected some of"),
        (["flow:=horn"], "Valid options are: ['', "),
        (["start:=depth"], "start: nothing is left of depth"),
        (["depth_topic:=/camera/depth"], "depth_topic: /camera/depth is used with depth:=sensor alone, got off"),
        (["depth:=guess"], "Valid options are: ['off', "),
        (["params_file:=/nowhere.yaml"], "params_file: expected a YAML file"),
        (["cameras:=a,b", "image_topic:=/one"], "image_topic: expected a topic for each of the cameras"),
        (["cameras:=a,b", "start:=markers", "rviz:=true"], "fixed_frame: expected a frame of TF"),
    ],
)
def test_wrong_arguments_of_the_graph_are_refused(tmp_path, arguments, complaint):
    with Launch(tmp_path / "log", "distributed.launch.py", *arguments) as launch:
        assert launch.wait() == 1
        assert complaint in launch.output()
