"""What pose_node does when a GPU fails, with a stage that fails as PyTorch does, for machines without one."""

import threading

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mambapose_ros.msg import PersonKeypointsArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mambapose_ros.nodes.conversions import ns_to_stamp, rgb_to_image
from mambapose_ros.nodes.pose_node import PoseNode
from mambapose_ros.perception import pipeline
from mambapose_ros.synthetic import SyntheticScene

PERSON = SyntheticScene(motion="idle", people=1, seed=0, width=320, height=240, fps=30.0).render(0).image
FAILURES = {
    "out of memory": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more"),
    "lost": RuntimeError("CUDA error: unspecified launch failure\nand more"),
}


class FailingFlow:
    """Optical flow on a GPU that fails from the fourth image on."""

    def __init__(self, error: Exception) -> None:
        self._error, self._images = error, 0

    def __call__(self, image: np.ndarray) -> None:
        self._images += 1
        if self._images >= 4:
            raise self._error

    def reset(self) -> None:
        pass


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
            return FailingFlow(error)

        monkeypatch.setattr(pipeline, "make_flow", make)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    return appear


class Setting:
    """A pose_node in this process, and a camera."""

    def __init__(self, listener, device: str) -> None:
        given = {"device": device, "weights": "", "timeout": 0.5, "max_age": 3600.0}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        self.node = PoseNode(parameter_overrides=overrides)
        self.listener = listener
        self.results = listener.hear(PersonKeypointsArray, "/keypoints")
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
        mine = [s for m in self._statuses for s in m.status if s.name.startswith("/pose_node")]
        return mine[-1] if mine else DiagnosticStatus()

    def value(self, key: str) -> str | None:
        return next((value.value for value in self.status().values if value.key == key), None)


@pytest.fixture
def setting(listener):
    made = []

    def make(device: str) -> Setting:
        made.append(Setting(listener, device))
        return made[-1]

    yield make
    for one in made:
        one.close()


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
