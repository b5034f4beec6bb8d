import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mambapose_ros.msg import SkeletonArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import NodeProcess
from visualization_msgs.msg import Marker, MarkerArray

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.conversions import skeletons_to_msg
from mambapose_ros.types import Frame, Skeleton3D

BODY = np.linspace((0.0, 0.9, 4.0), (0.2, -0.7, 4.2), 17)
FRAME = Frame(1_000_000_000, "optical", np.zeros((4, 4, 3), np.uint8), Camera.from_fov(4, 4))


def skeletons(*ids: str) -> SkeletonArray:
    return skeletons_to_msg(FRAME, [Skeleton3D(name, BODY, np.ones(17), "learned") for name in ids])


class Operator:
    """A publisher of skeletons, and what marker_node makes of them."""

    def __init__(self, listener, namespace: str, reliability=ReliabilityPolicy.RELIABLE) -> None:
        self.listener = listener
        profile = QoSProfile(depth=5, reliability=reliability)
        self.publisher = listener.node.create_publisher(SkeletonArray, f"{namespace}/skeletons", profile)
        self.topic = f"{namespace}/markers"
        self.shown: list[MarkerArray] = []

    def look(self) -> None:
        self.shown = self.listener.hear(MarkerArray, self.topic)

    def send_until(self, message: SkeletonArray, condition, what: str) -> None:
        def publish_and_check():
            self.publisher.publish(message)
            return condition()

        self.listener.spin_until(publish_and_check, what)


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_skeletons_become_markers_while_somebody_looks(listener, reliability):
    with NodeProcess("marker_node", "/markers_test", lifetime=2.5) as node:
        operator = Operator(listener, "/markers_test", reliability)
        listener.spin_until(lambda: listener.node.count_publishers(operator.topic), "marker_node is there")
        listener.spin_until(lambda: not operator.publisher.get_subscription_count(), "nothing is sent to nobody")
        operator.look()
        operator.send_until(skeletons("p1", "p2"), lambda: operator.shown, "markers")
        (latest,) = operator.shown[-1:]
        assert {marker.ns for marker in latest.markers} == {
            f"{name}/{kind}" for name in ("p1", "p2") for kind in ("joints", "bones", "name")
        }
        assert all(marker.header.frame_id == "optical" and marker.header.stamp.sec == 1 for marker in latest.markers)
        assert all(marker.lifetime.sec == 2 for marker in latest.markers)
        client = listener.node.create_client(SetParameters, "/markers_test/marker_node/set_parameters")
        listener.spin_until(client.service_is_ready, "the service of parameters")
        longer = Parameter("lifetime", value=7.0).to_parameter_msg()
        client.call_async(SetParameters.Request(parameters=[longer]))
        operator.send_until(
            skeletons("p1", "p2"), lambda: operator.shown[-1].markers[0].lifetime.sec == 7, "a longer lifetime"
        )
        operator.send_until(skeletons("p2"), lambda: deleted(operator.shown) == {"p1"}, "p1 is deleted, p2 is not")
        operator.publisher.publish(SkeletonArray(joint_names=["a"], parents=[]))
        listener.spin_until(lambda: "not shown: " in node.output(), "the complaint")
        for subscription in list(listener.node.subscriptions):
            if subscription.topic_name == operator.topic:
                listener.node.destroy_subscription(subscription)
        listener.spin_until(lambda: not operator.publisher.get_subscription_count(), "marker_node stops listening")
        assert node.stop() == 0


def deleted(arrays: list[MarkerArray]) -> set[str]:
    """Ids that were taken away."""
    return {m.ns.partition("/")[0] for array in arrays for m in array.markers if m.action == Marker.DELETE}


def test_it_waits_to_be_configured_and_can_be_stopped_and_started(listener):
    with NodeProcess("marker_node", "/markers_managed", autostart=False):
        operator = Operator(listener, "/markers_managed")
        operator.look()
        client = listener.node.create_client(ChangeState, "/markers_managed/marker_node/change_state")
        listener.spin_until(client.service_is_ready, "the lifecycle service")

        def change(transition: int) -> None:
            future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
            listener.spin_until(future.done, "the transition")
            assert future.result().success

        for _ in range(2):
            assert not operator.publisher.get_subscription_count()
            change(Transition.TRANSITION_CONFIGURE)
            change(Transition.TRANSITION_ACTIVATE)
            operator.shown.clear()
            operator.send_until(skeletons("p1"), lambda: operator.shown, "markers while active")
            change(Transition.TRANSITION_DEACTIVATE)
            change(Transition.TRANSITION_CLEANUP)
            listener.spin_until(lambda: not operator.publisher.get_subscription_count(), "the subscription is closed")
