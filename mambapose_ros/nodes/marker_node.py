"""Skeletons drawn for RViz; runs where RViz does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visualization_msgs.msg import MarkerArray

from mambapose_ros.markers import DEFAULT_LIFETIME_S, SkeletonMarkers
from mambapose_ros.msg import SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import stamp_to_ns
from mambapose_ros.nodes.managed_node import MANAGED_PARAMETERS
from mambapose_ros.nodes.message_types import MESSAGE_TYPES
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.relay_node import RelayNode
from mambapose_ros.nodes.spin import spin_node

PARAMETERS = (
    *MANAGED_PARAMETERS,
    ParameterSpec(
        "lifetime",
        DEFAULT_LIFETIME_S,
        "seconds that markers stay when nothing new comes",
        range=(0.05, 60.0),
        changeable=True,
    ),
)


class MarkerNode(RelayNode):
    """Subscribes ``skeletons``, whoever publishes them and with whatever joints; publishes ``markers``.

    What is shown ends with its lifetime.
    """

    expects = "skeletons"
    timeout_parameter = "lifetime"

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("marker_node", PARAMETERS, **node_arguments)
        self._output = self.create_output(MarkerArray, "markers", qos.RESULT_OUTPUT)
        self._markers = SkeletonMarkers(MESSAGE_TYPES)

    def load(self) -> None:
        """Forget who was shown before."""
        self._markers = SkeletonMarkers(MESSAGE_TYPES, self.parameters["lifetime"])

    def open_inputs(self) -> None:
        """Subscribe the people to show."""
        self.create_input(SkeletonArray, "skeletons", self._on_skeletons, qos.PEOPLE_INPUT)

    def prepare(self, values: dict[str, Any], parameters: dict[str, Any]) -> list[Callable[[], None]]:
        """Give markers another lifetime."""
        return [lambda: self._markers.live(parameters["lifetime"])]

    def _on_skeletons(self, message: SkeletonArray) -> None:
        self.statistics.record_received()
        try:
            self._output.publish(self._markers(message))
        except ValueError as error:
            self.fail("contradictory message", f"not shown: {error}")
        else:
            self.record_result(stamp_to_ns(message.header.stamp), {})


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(MarkerNode)
