"""What nodes do when a GPU fails, with a stage that fails as PyTorch does, for machines without one."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tiny_lifter import WINDOW, save_tiny_lifter

from mambapose_ros.nodes import depth_node, flow_node, keypoint_node
from mambapose_ros.nodes.conversions import keypoints_to_msg, ns_to_stamp, rgb_to_image
from mambapose_ros.nodes.lifter_inputs import JoinedMessages
from mambapose_ros.nodes.lifter_node import LifterNode
from mambapose_ros.nodes.pose_node import PoseNode
from mambapose_ros.perception import lifting_networks, pipeline
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import DepthMap, Frame, PersonKeypoints

TRUTH = SyntheticScene(motion="idle", people=1, seed=0, width=320, height=240, fps=30.0).render(0)
PERSON = TRUTH.image
FAILURES = {
    "out of memory": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more"),
    "lost": RuntimeError("CUDA error: unspecified launch failure\nand more"),
}


class Failing:
    """A stage on a GPU that fails from the fourth image on; until then it gives always the same."""

    def __init__(self, error: Exception, answer: Any = None) -> None:
        self._error, self._answer, self._images = error, answer, 0

    def __call__(self, image: Any) -> Any:
        self._images += 1
        if self._images >= 4:
            raise self._error
        return self._answer

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class Steady(Failing):
    """A stage that does not fail."""

    def __call__(self, image: Any) -> Any:
        return self._answer


@pytest.fixture
def gpu(monkeypatch):
    """Returns a function that has PyTorch see a GPU, on which flow fails."""
    make_flow = pipeline.make_flow

    def appear(error: Exception, while_loading: bool) -> None:
        def make(name: str, device: str, *more):
            if device == "cpu":
                return make_flow(name, device, *more)
            if while_loading:
                raise error
            return Failing(error)

        monkeypatch.setattr(pipeline, "make_flow", make)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    return appear


class Setting:
    """A node in this process that works on images, and a camera."""

    def __init__(self, listener, node, result_type: type, topic: str) -> None:
        self.node, self.listener = node, listener
        self.results = listener.hear(result_type, topic)
        self._statuses = listener.hear(DiagnosticArray, "/diagnostics")
        self._images = listener.node.create_publisher(Image, "/image", 1)
        self._stamp_ns = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.close()
        self.node.destroy_node()

    def send_until(self, condition, what: str):
        def send_and_check():
            self._stamp_ns += 1_000_000
            header = Header(stamp=ns_to_stamp(self._stamp_ns), frame_id="optical")
            self._images.publish(rgb_to_image(PERSON, header))
            return condition()

        return self.listener.spin_until(send_and_check, what)

    def status(self) -> DiagnosticStatus:
        name = self.node.get_fully_qualified_name()
        mine = [s for m in self._statuses for s in m.status if s.name.startswith(name)]
        return mine[-1] if mine else DiagnosticStatus()

    def value(self, key: str) -> str | None:
        return next((value.value for value in self.status().values if value.key == key), None)


@pytest.fixture
def settings():
    """Those of a test, which end with it."""
    made: list[Setting] = []
    yield made
    for one in made:
        one.close()


def overrides(**values: Any) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


@pytest.fixture
def setting(listener, settings):
    """Makes a pose_node."""

    def make(device: str) -> Setting:
        given = overrides(device=device, weights="", timeout=0.5, max_age=3600.0)
        settings.append(Setting(listener, PoseNode(parameter_overrides=given), PersonKeypointsArray, "/keypoints"))
        return settings[-1]

    return make


@pytest.mark.parametrize("failure", FAILURES)
def test_the_cpu_takes_over_while_working_and_ids_go_on(setting, gpu, capfd, failure):
    gpu(FAILURES[failure], while_loading=False)
    robot = setting("auto")
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    reason = f"on the CPU, since the GPU failed: {str(FAILURES[failure]).splitlines()[0]}"
    robot.send_until(lambda: reason in robot.status().message, "the failure in the diagnostics")
    assert robot.status().level == DiagnosticStatus.WARN
    assert robot.value("running_on") == "cpu"
    assert robot.node.statistics.failing() is None
    robot.send_until(lambda: len(robot.results) >= 8, "results on the CPU")
    ids = [person.id for result in robot.results for person in result.people]
    assert set(ids) == {"p1", "p2"}  # a new id once, none again
    assert ids == sorted(ids)
    assert capfd.readouterr().err.count("the GPU failed, and the CPU takes over") == 1
    # What is changed afterwards is made for the CPU, too.
    assert robot.node.set_parameters([Parameter("flow", value="off"), Parameter("flow", value="dis")])[1].successful
    robot.results.clear()
    robot.send_until(lambda: len(robot.results) > 8, "results with the new stage")
    assert robot.node.statistics.failing() is None


def test_the_cpu_takes_over_while_loading(setting, gpu, capfd):
    gpu(FAILURES["out of memory"], while_loading=True)
    robot = setting("auto")
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert "the GPU failed, and the CPU takes over" in capfd.readouterr().err
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.send_until(lambda: robot.results and robot.value("running_on") == "cpu", "results on the CPU")


def test_a_gpu_that_was_asked_for_fails_to_configure(setting, gpu, capfd):
    gpu(FAILURES["out of memory"], while_loading=True)
    robot = setting("cuda")
    assert robot.node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "cannot configure: CUDA out of memory" in capfd.readouterr().err


def test_a_gpu_that_was_asked_for_and_fails_while_working_is_an_error_and_no_crash(setting, gpu):
    gpu(FAILURES["out of memory"], while_loading=False)
    robot = setting("cuda")
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.send_until(lambda: robot.status().level == DiagnosticStatus.ERROR, "ERROR in the diagnostics")
    assert "OutOfMemoryError while processing" in robot.status().message
    assert robot.value("running_on") == "cuda"
    failed = robot.node.statistics.dropped()["OutOfMemoryError while processing"]
    robot.send_until(
        lambda: robot.node.statistics.dropped()["OutOfMemoryError while processing"] > failed, "the next image is tried"
    )


# module, what makes its stage, values that ask for a network, what that answers, and what is published
STAGES = {
    "keypoint_node": (keypoint_node, "make_detector", {"detector": "vitpose"}, (), PersonKeypointsArray, "/keypoints"),
    "flow_node": (flow_node, "make_flow", {"flow": "raft_small"}, None, Image, "/flow"),
    "depth_node": (
        depth_node,
        "make_depth",
        {"depth": "depth_anything_v2_small"},
        DepthMap(np.ones((240, 320), np.float32), False, "depth_anything_v2_small"),
        Image,
        "/inverse_depth",
    ),
}


@pytest.fixture(params=STAGES)
def stage(request, listener, settings, monkeypatch):
    """Makes one of the graph's nodes, whose stage fails on the GPU."""
    module, maker, values, answer, result_type, topic = STAGES[request.param]
    (kind,) = (
        value
        for name, value in vars(module).items()
        if name.endswith("Node") and getattr(value, "__module__", "") == module.__name__
    )

    def make(device: str, error: Exception, while_loading: bool) -> Setting:
        def make_stage(name: str, *more: Any, **named: Any):
            if "cpu" in (named.get("device"), *more[:1]):
                return Steady(error, answer)
            if while_loading:
                raise error
            return Failing(error, answer)

        monkeypatch.setattr(module, maker, make_stage)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        given = overrides(device=device, timeout=0.5, max_age=3600.0, **values)
        settings.append(Setting(listener, kind(parameter_overrides=given), result_type, topic))
        return settings[-1]

    return make


@pytest.mark.parametrize("while_loading", [False, True], ids=["working", "loading"])
def test_the_cpu_takes_over_a_stage_of_the_graph(stage, capfd, while_loading):
    robot = stage("auto", FAILURES["lost"], while_loading)
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    reason = "on the CPU, since the GPU failed: CUDA error: unspecified launch failure"
    robot.send_until(lambda: reason in robot.status().message, "the failure in the diagnostics")
    assert robot.status().level == DiagnosticStatus.WARN
    assert robot.value("running_on") == "cpu"
    robot.send_until(lambda: len(robot.results) >= 8, "results on the CPU")
    assert not robot.node.statistics.dropped().keys() - {"newer image came first", "nobody listens"}
    assert capfd.readouterr().err.count("the GPU failed, and the CPU takes over") == 1
    # Configured again, it tries the GPU again.
    assert robot.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert capfd.readouterr().err.count("the GPU failed") == while_loading


def test_a_stage_of_the_graph_whose_gpu_was_asked_for_is_an_error(stage):
    robot = stage("cuda", FAILURES["lost"], False)
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.send_until(lambda: robot.status().level == DiagnosticStatus.ERROR, "ERROR in the diagnostics")
    assert "RuntimeError while processing" in robot.status().message
    assert robot.value("running_on") == "cuda"


class FailingNetwork:
    """A lifting network on a GPU that fails from the fourth call on."""

    def __init__(self, network: Any, error: Exception) -> None:
        self._network, self._error, self._calls = network, error, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, *arguments: Any) -> Any:
        self._calls += 1
        if self._calls >= 4:
            raise self._error
        return self._network(*arguments)


@pytest.fixture
def lifters(ros, tmp_path, monkeypatch):
    """Makes a configured lifter_node, whose network fails on the GPU."""
    load = lifting_networks.load_lifting_network
    tiny = str(save_tiny_lifter(tmp_path / "tiny.safetensors"))
    made: list[LifterNode] = []

    def load_failing(path, flip_average, device: str):
        network = load(path, flip_average, "cpu")
        return network if device == "cpu" else FailingNetwork(network, FAILURES["lost"])

    def make(device: str, weights: str = tiny) -> LifterNode:
        values = overrides(cameras=["left", "right"], weights=weights, window=WINDOW, flow=False, device=device)
        made.append(LifterNode(namespace=f"/{device}", parameter_overrides=values))
        assert made[-1].trigger_configure() == TransitionCallbackReturn.SUCCESS
        return made[-1]

    monkeypatch.setattr(lifting_networks, "load_lifting_network", load_failing)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield make
    for node in made:
        node.close()
        node.destroy_node()


def joined(camera: int, index: int) -> JoinedMessages:
    """Somebody who walks to the right through the images of a camera."""
    frame = Frame((index + 1) * 33_333_333, f"optical{camera}", PERSON, TRUTH.camera)
    people = [PersonKeypoints(TRUTH.keypoints[0] + (3.0 * index, 0.0), np.full(17, 0.9))]
    return JoinedMessages(camera, keypoints_to_msg(frame, people), (), None)


def test_the_lifter_goes_on_on_the_cpu_as_if_nothing_had_happened(listener, lifters, capfd):
    heard = {}
    for device in ("cpu", "auto"):
        node = lifters(device)
        heard[device] = [listener.hear(SkeletonArray, f"/{device}/{name}/skeletons", 100) for name in ("left", "right")]
        for camera in node._cameras:
            output = camera.output._skeletons_output
            listener.spin_until(output.get_subscription_count, "the node knows who listens")
        for index in range(8):
            node.process((joined(0, index), joined(1, index)))
        listener.spin_until(lambda device=device: min(map(len, heard[device])) >= 8, "skeletons of every frame")
    assert repr(heard["auto"]) == repr(heard["cpu"])  # NaN, as of velocities at first, is not equal to itself
    assert heard["auto"][0][-1].skeletons[0].id == "left_p1"
    assert capfd.readouterr().err.count("the GPU failed, and the CPU takes over") == 1
    assert "on the CPU, since the GPU failed: CUDA error: unspecified launch failure" in node.problems()
    assert node.figures()["running_on"] == "cpu"


def test_on_the_cpu_the_lifter_goes_on_with_the_network_for_it(listener, lifters):
    node = lifters("auto", weights="auto")
    listener.hear(SkeletonArray, "/auto/left/skeletons")
    listener.spin_until(node._cameras[0].output._skeletons_output.get_subscription_count, "the node knows who listens")
    lifter = node._cameras[0].lifter
    assert lifter.description.startswith("MambaPose width 64, depth 10")
    for index in range(8):
        node.process((joined(0, index), joined(1, index)))
    assert node.figures()["running_on"] == "cpu"
    assert lifter.description.startswith("MambaPose width 64, depth 4")
