import ctypes
import importlib.util
from pathlib import Path

import hri_interfaces
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import NodeProcess

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import keypoints_to_msg, skeletons_to_msg, stamp_to_ns
from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.types import Frame, PersonKeypoints, Skeleton3D

INSTALLED = importlib.util.find_spec("hri_msgs") is not None
FRAME = Frame(7_000_000_000, "optical", np.zeros((50, 100, 3), np.uint8), Camera.from_fov(100, 50))
BODY = np.linspace((0.0, 0.9, 4.0), (0.2, -0.7, 4.2), 17)
XY = np.linspace((9.5, 4.5), (41.5, 36.5), 17)  # 2 px from joint to joint
SHOULDER = JOINT_INDEX["right_shoulder"]


@pytest.mark.skipif(INSTALLED, reason="what humans_node does without hri_msgs: it is here")
def test_without_hri_msgs_it_does_not_configure_and_says_what_to_install(listener):
    with NodeProcess("humans_node", "/unheard") as node:
        diagnostics = listener.hear(DiagnosticArray, "/diagnostics")
        listener.spin_until(lambda: "cannot configure: hri_msgs 2 is needed" in node.output(), "the reason")
        assert "install ros-$ROS_DISTRO-hri-msgs" in node.output()
        answer = listener.ask(GetState, "/unheard/humans_node/get_state", GetState.Request())
        assert answer.current_state.label == "unconfigured"
        listener.spin_until(lambda: diagnostics, "diagnostics")
        (status,) = diagnostics[-1].status
        assert status.level == DiagnosticStatus.ERROR
        assert "the node is unconfigured: cannot configure: hri_msgs 2 is needed" in status.message
        assert node.stop() == 0, node.output()


@pytest.fixture(scope="module")
def hri_environment(tmp_path_factory) -> dict[str, str]:
    if INSTALLED:
        return {}
    try:
        return hri_interfaces.build(tmp_path_factory.mktemp("hri_msgs"))
    except hri_interfaces.BuildError as error:
        pytest.skip(f"humans_node with hri_msgs, which is neither installed nor can be built: {error}")


@pytest.fixture
def hri(hri_environment, monkeypatch):
    """The module hri_msgs.msg, for this process and those that it starts."""
    for variable, value in hri_environment.items():
        monkeypatch.setenv(variable, hri_interfaces.prepend(variable, value))
    if hri_environment:
        monkeypatch.syspath_prepend(hri_environment["PYTHONPATH"])
        # The loader of a process that has started looks nowhere new, but finds by name what is loaded.
        for library in Path(hri_environment["LD_LIBRARY_PATH"]).glob("*.so"):
            ctypes.CDLL(str(library))
    return importlib.import_module("hri_msgs.msg")


class Robot:
    """Publishes people as pose_node does, and hears of bodies as a REP-155 listener does."""

    def __init__(self, listener, hri, namespace: str) -> None:
        self.listener, self.hri = listener, hri
        self._skeletons = listener.node.create_publisher(SkeletonArray, f"{namespace}/skeletons", 5)
        self._keypoints = listener.node.create_publisher(PersonKeypointsArray, f"{namespace}/keypoints", 5)
        self.lists = listener.hear(hri.IdsList, "/humans/bodies/tracked")
        self._diagnostics = listener.hear(DiagnosticArray, "/diagnostics")

    @property
    def heard_by_node(self) -> bool:
        return self._skeletons.get_subscription_count() > 0 and self._keypoints.get_subscription_count() > 0

    def show(self, **states: str) -> None:
        """People of these ids, and tracking states."""
        ones = np.ones(17)
        people = [PersonKeypoints(xy=XY, confidence=0.5 * ones, id=name) for name in states]
        skeletons = [Skeleton3D(name, BODY, ones, "learned", state=state) for name, state in states.items()]
        self._skeletons.publish(skeletons_to_msg(FRAME, skeletons, people))
        self._keypoints.publish(keypoints_to_msg(FRAME, people))

    def show_until(self, condition, what: str, **states: str):
        def show_and_check():
            self.show(**states)
            return condition()

        return self.listener.spin_until(show_and_check, what)

    def tracked(self) -> set[str] | None:
        return set(self.lists[-1].ids) if self.lists else None

    def diagnoses(self) -> list[str]:
        return [status.message for message in self._diagnostics for status in message.status]

    def publishers_of(self, name: str) -> int:
        return sum(self.listener.node.count_publishers(f"/humans/bodies/{name}/{t}") for t in ("roi", "skeleton2d"))


def test_people_are_bodies_while_they_are_there(listener, hri):
    with NodeProcess("humans_node", "/bodies", timeout=30.0) as node:
        robot = Robot(listener, hri, "/bodies")
        newest = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        robot.show_until(
            lambda: robot.tracked() == {"p1", "c0p2"},
            "those who are tracked and predicted",
            p1="tracked",
            c0p2="predicted",
            p3="tentative",
            p4="lost",
            a__b="tracked",
        )
        assert "left out ['a__b']" in node.output()
        listener.spin_until(lambda: any("left out ['a__b']" in text for text in robot.diagnoses()), "the warning")
        assert stamp_to_ns(robot.lists[-1].header.stamp) == FRAME.stamp_ns
        assert robot.lists[-1].header.frame_id == "optical"
        assert robot.publishers_of("p3") == robot.publishers_of("p4") == 0

        # Whoever subscribes after reading the list hears what was said last, without another image.
        regions = listener.hear(hri.NormalizedRegionOfInterest2D, "/humans/bodies/p1/roi", newest)
        skeletons = listener.hear(hri.Skeleton2D, "/humans/bodies/p1/skeleton2d")
        listener.spin_until(lambda: regions, "the region")
        robot.show_until(lambda: skeletons, "the points", p1="tracked", c0p2="predicted")
        region, skeleton = regions[-1], skeletons[-1]
        # Pixels 9 to 43 and 4 to 38 of 100 x 50.
        expected = (0.09, 0.08, 0.43, 0.76, 0.5)
        assert (region.xmin, region.ymin, region.xmax, region.ymax, region.c) == pytest.approx(expected, abs=1e-6)
        for header in (region.header, skeleton.header):
            assert (stamp_to_ns(header.stamp), header.frame_id) == (FRAME.stamp_ns, "optical")
        assert len(skeleton.skeleton) == 18
        point = skeleton.skeleton[2]  # RIGHT_SHOULDER
        expected = ((10 + 2 * SHOULDER) / 100, (5 + 2 * SHOULDER) / 50, 0.5)
        assert (point.x, point.y, point.c) == pytest.approx(expected, abs=1e-6)
        assert skeleton.skeleton[0].c == 0.0  # the nose is none of our joints

        robot.show_until(lambda: robot.tracked() == {"c0p2"}, "p1 leaves", c0p2="tracked")
        robot.show_until(lambda: robot.publishers_of("p1") == 0, "the topics of p1 go", c0p2="tracked")
        assert robot.publishers_of("c0p2") == 2
        assert node.stop() == 0, node.output()


def test_when_skeletons_stop_everybody_has_left_and_without_listeners_nothing_is_subscribed(listener, hri):
    with NodeProcess("humans_node", "/stopping", timeout=0.5):
        robot = Robot(listener, hri, "/stopping")
        robot.show_until(lambda: robot.tracked() == {"p1"}, "p1", p1="tracked")
        listener.spin_until(lambda: robot.tracked() == set(), "nobody, once skeletons have stopped")
        listener.spin_until(lambda: robot.publishers_of("p1") == 0, "the topics of p1 go")
        for subscription in list(listener.node.subscriptions):
            if subscription.topic_name == "/humans/bodies/tracked":
                listener.node.destroy_subscription(subscription)
        listener.spin_until(lambda: not robot.heard_by_node, "humans_node stops listening")


def test_keypoints_of_other_joints_are_refused_with_the_reason(listener, hri):
    with NodeProcess("humans_node", "/other") as node:
        robot = Robot(listener, hri, "/other")
        robot.show_until(lambda: robot.tracked() == {"p1"}, "p1", p1="tracked")
        odd = PersonKeypointsArray(joint_names=["nose"], image_width=100, image_height=50)
        robot._keypoints.publish(odd)
        listener.spin_until(lambda: "keypoints not published: expected joint_names" in node.output(), "the complaint")
