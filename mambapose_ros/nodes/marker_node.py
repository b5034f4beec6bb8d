"""Skeletons drawn for RViz; runs where RViz does."""

from __future__ import annotations

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from visualization_msgs.msg import MarkerArray

from mambapose_ros.markers import DEFAULT_LIFETIME_S, SkeletonMarkers
from mambapose_ros.msg import SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.message_types import MESSAGE_TYPES
from mambapose_ros.nodes.parameters import ParameterSpec, declare_parameters
from mambapose_ros.nodes.spin import spin_node, steady_timer
from mambapose_ros.nodes.throttle import ThrottledWarnings

PARAMETERS = (
    ParameterSpec("autostart", True, "configure and activate by itself at start"),
    ParameterSpec(
        "lifetime", DEFAULT_LIFETIME_S, "seconds that markers stay when nothing new comes", range=(0.05, 60.0)
    ),
)

DEMAND_PERIOD_S = 0.25
"""How often to look whether somebody subscribes."""


class MarkerNode(LifecycleNode):
    """Subscribes ``skeletons``, whoever publishes them and with whatever joints; publishes ``markers``.

    It subscribes only while somebody subscribes to ``markers``: over a network, what nobody looks at is not sent.
    """

    def __init__(self) -> None:
        super().__init__("marker_node")
        self.failed = False
        self.parameters = declare_parameters(self, PARAMETERS)
        self._warn = ThrottledWarnings(self.get_logger())
        self._subscription = None
        self._demand_timer = None
        self._publisher = self.create_publisher(MarkerArray, "markers", qos.RESULT_OUTPUT)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Nothing to load."""
        self._markers = SkeletonMarkers(MESSAGE_TYPES, self.parameters["lifetime"])
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe as soon as somebody listens."""
        self._demand_timer = steady_timer(self, DEMAND_PERIOD_S, self._follow_demand)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the subscription; what is shown ends with its lifetime."""
        self.close()
        return super().on_deactivate(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End in good order from any state."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop listening, in any state."""
        if self._demand_timer is not None:
            self.destroy_timer(self._demand_timer)
            self._demand_timer = None
        self._unsubscribe()

    def _follow_demand(self) -> None:
        wanted = self._publisher.get_subscription_count() > 0
        if wanted and self._subscription is None:
            # Best effort: the newest skeletons are worth more than complete ones, and every publisher matches.
            self._subscription = self.create_subscription(
                SkeletonArray, "skeletons", self._on_skeletons, qos_profile_sensor_data
            )
        elif not wanted:
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None

    def _on_skeletons(self, message: SkeletonArray) -> None:
        try:
            self._publisher.publish(self._markers(message))
        except ValueError as error:
            self._warn("contradictory message", f"skeletons not shown: {error}")


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(MarkerNode)
