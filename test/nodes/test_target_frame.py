"""Skeletons by the real TF, where tf2_ros is installed; test_pose_node.py has a stand-in for it."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import NodeProcess
from std_msgs.msg import Header
from tiny_lifter import WINDOW, save_tiny_lifter

from mambapose_ros.nodes.conversions import keypoints_to_msg, ns_to_stamp, stamp_to_ns
from mambapose_ros.nodes.transforms import TransformError, TransformListener
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import Frame, PersonKeypoints

pytest.importorskip("tf2_ros", reason="transforms in earnest: expected tf2_ros, part of every ROS 2 installation")

from tf2_msgs.msg import TFMessage  # comes with tf2_ros

TRUTH = SyntheticScene(motion="idle", width=64, height=48).render(0)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LOOKING_AHEAD = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)
"""Of a camera's optical frame in a robot's: its z is the robot's x."""
NEVER = "arm"


class Robot:
    """A robot that drives 1 m/s ahead in the map, with cameras that look ahead, and TF that comes late."""

    def __init__(self, listener, cameras: list[str]) -> None:
        self.listener, node = listener, listener.node
        self.skeletons = {name: listener.hear(SkeletonArray, f"/late/{name}/skeletons", 100) for name in cameras}
        self._keypoints = {
            name: node.create_publisher(PersonKeypointsArray, f"/late/{name}/keypoints", 5) for name in cameras
        }
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        static = node.create_publisher(TFMessage, "/tf_static", LATCHED)
        transform = Transform(translation=Vector3(z=1.0), rotation=LOOKING_AHEAD)
        frames = [f"optical_{name}" for name in cameras if name != NEVER]
        static.publish(TFMessage(transforms=[transform_of("base_link", frame, 0, transform) for frame in frames]))
        self.stamp_ns = node.get_clock().now().nanoseconds
        self.start_ns = self.stamp_ns
        self._due_s = 0.0

    def drive_until(self, condition, what: str) -> None:
        def drive_and_check():
            if time.monotonic() >= self._due_s:
                self._due_s = time.monotonic() + 0.05
                self._tf.publish(TFMessage(transforms=[self._place()]))  # of the last image: 50 ms late
                self.stamp_ns += 50_000_000
                for name, publisher in self._keypoints.items():
                    publisher.publish(self._seen(name))
            return condition()

        self.listener.spin_until(drive_and_check, what)

    def driven_m(self, stamp_ns: int) -> float:
        return (stamp_ns - self.start_ns) * 1e-9

    def _place(self) -> TransformStamped:
        transform = Transform(translation=Vector3(x=self.driven_m(self.stamp_ns)), rotation=Quaternion(w=1.0))
        return transform_of("map", "base_link", self.stamp_ns, transform)

    def _seen(self, name: str) -> PersonKeypointsArray:
        frame = Frame(self.stamp_ns, f"optical_{name}", TRUTH.image, TRUTH.camera)
        return keypoints_to_msg(frame, [PersonKeypoints(TRUTH.keypoints[0], np.full(17, 0.9))])


class Tree:
    """TF that is told and heard by one node; ``base_link`` is under way, with a camera on it."""

    def __init__(self, listener) -> None:
        self.transforms, self._listener = TransformListener(listener.node), listener
        self._tf = listener.node.create_publisher(TFMessage, "/tf", 100)
        static = listener.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        static.publish(TFMessage(transforms=[self._still("base_link", "optical", 0.0)]))

    @staticmethod
    def _still(parent: str, child: str, seconds: float) -> TransformStamped:
        return transform_of(parent, child, round(seconds * 1e9), Transform(rotation=Quaternion(w=1.0)))

    def tell(self, seconds: float, *more: str) -> None:
        """Of these frames in the camera's, and then of ``base_link``."""
        frames = [self._still("optical", name, seconds) for name in more]
        self._tf.publish(TFMessage(transforms=[*frames, self._still("map", "base_link", seconds)]))

    def knows(self, seconds: float, frame: str = "optical") -> bool:
        """Whether a frame's place in the map is known at that time."""
        try:
            self.transforms.lookup("map", frame, round(seconds * 1e9), 0.0)
        except TransformError:
            return False
        return True

    def await_knowledge(self, seconds: float) -> None:
        self._listener.spin_until(lambda: self.knows(seconds), f"where the camera is at {seconds} s")


@pytest.fixture
def tree(listener, closed_at_the_end):
    made = Tree(listener)
    closed_at_the_end.append(made.transforms)
    listener.spin_until(lambda: made._tf.get_subscription_count(), "somebody hears TF")
    return made


def test_people_are_kept_out_of_the_buffer_which_would_never_be_rid_of_them(tree):
    tree.tell(100.0, "body_p1", "body_p1_left_knee", "body_front_p2", "body_link")
    tree.await_knowledge(100.0)
    known = [name for name in ("body_p1", "body_p1_left_knee", "body_front_p2") if tree.knows(100.0, name)]
    assert not known
    assert tree.knows(100.0, "body_link")


def test_what_was_heard_outlives_jitter_but_not_that_time_is_set_back(tree):
    tree.tell(100.0)
    tree.await_knowledge(100.0)
    tree.transforms.stamps_ran_backwards()  # a camera's, by a millisecond
    tree.tell(100.1)
    tree.await_knowledge(100.1)
    assert tree.knows(100.0)
    tree.tell(40.0)  # a recording that begins anew; tf2 would refuse it
    tree.await_knowledge(40.0)
    assert not tree.knows(100.0)


def transform_of(parent: str, child: str, stamp_ns: int, transform: Transform) -> TransformStamped:
    header = Header(stamp=ns_to_stamp(stamp_ns), frame_id=parent)
    return TransformStamped(header=header, child_frame_id=child, transform=transform)


def test_skeletons_wait_for_their_transform_each_camera_for_its_own(listener, tmp_path):
    given = {
        "weights": save_tiny_lifter(tmp_path / "tiny.safetensors"),
        "window": WINDOW,
        "flow": False,
        "cameras": ["front", NEVER],
        "target_frame": "map",
        "transform_timeout": 0.5,
        "max_age": 3600.0,
    }
    with NodeProcess("lifter_node", "/late", **given) as node:
        robot = Robot(listener, given["cameras"])
        robot.drive_until(lambda: len(robot.skeletons["front"]) >= 20, "skeletons in the map")
        assert not robot.skeletons[NEVER]
        robot.drive_until(lambda: f"no transform from optical_{NEVER} to map" in node.output(), "the complaint")
        hearers = listener.node.get_subscriptions_info_by_topic("/tf")
        assert [hearer.node_name for hearer in hearers].count("lifter_node") == 1  # for all cameras
    messages = robot.skeletons["front"]
    stamps = [stamp_to_ns(message.header.stamp) for message in messages]
    assert stamps == sorted(stamps)
    assert np.median(np.diff(stamps)) == 50_000_000  # of every image
    assert {message.header.frame_id for message in messages} == {"map"}
    # Somebody who keeps the distance to the robot goes with it, as far as it was at the stamp of the image.
    newest, before = (message.skeletons[0].joints[0].position for message in (messages[-1], messages[-2]))
    assert newest.x - before.x == pytest.approx((stamps[-1] - stamps[-2]) * 1e-9, abs=0.02)
    assert newest.x - robot.driven_m(stamps[-1]) > 1.0


def test_that_it_listens_to_tf_itself_does_not_keep_it_at_work(listener, tmp_path):
    weights = save_tiny_lifter(tmp_path / "tiny.safetensors")
    given = {"weights": weights, "window": WINDOW, "flow": False, "cameras": ["front"], "target_frame": "map"}
    with NodeProcess("lifter_node", "/late", **given):
        robot = Robot(listener, given["cameras"])
        for subscription in list(listener.node.subscriptions):
            if subscription.topic_name == "/late/front/skeletons":
                listener.node.destroy_subscription(subscription)
        heard = listener.hear(DiagnosticArray, "/diagnostics")
        robot.drive_until(
            lambda: any(status.message == "resting: nobody listens" for m in heard for status in m.status), "it rests"
        )
