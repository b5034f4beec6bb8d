"""Skeletons drawn for RViz; runs where RViz does."""

from __future__ import annotations

from visualization_msgs.msg import MarkerArray

from mambapose_ros.markers import DEFAULT_LIFETIME_S, SkeletonMarkers
from mambapose_ros.msg import SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.message_types import MESSAGE_TYPES
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.relay_node import RELAY_PARAMETERS, RelayNode
from mambapose_ros.nodes.spin import spin_node

PARAMETERS = (
    *RELAY_PARAMETERS,
    ParameterSpec(
        "lifetime", DEFAULT_LIFETIME_S, "seconds that markers stay when nothing new comes", range=(0.05, 60.0)
    ),
)


class MarkerNode(RelayNode):
    """Subscribes ``skeletons``, whoever publishes them and with whatever joints; publishes ``markers``.

    What is shown ends with its lifetime.
    """

    def __init__(self) -> None:
        super().__init__("marker_node", PARAMETERS)
        self._publisher = self.create_publisher(MarkerArray, "markers", qos.RESULT_OUTPUT)

    def load(self) -> None:
        """Forget who was shown before."""
        self._markers = SkeletonMarkers(MESSAGE_TYPES, self.parameters["lifetime"])

    def wanted(self) -> bool:
        """Whether somebody looks."""
        return self._publisher.get_subscription_count() > 0

    def open_inputs(self) -> None:
        """Subscribe the people to show."""
        self.create_input(SkeletonArray, "skeletons", self._on_skeletons)

    def _on_skeletons(self, message: SkeletonArray) -> None:
        try:
            self._publisher.publish(self._markers(message))
        except ValueError as error:
            self.warn("contradictory message", f"skeletons not shown: {error}")


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(MarkerNode)
