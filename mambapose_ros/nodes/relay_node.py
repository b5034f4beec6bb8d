"""What nodes have in common that turn small messages into others at once: nothing is sent to nobody."""

from __future__ import annotations

from typing import Any

from mambapose_ros.nodes.managed_node import ManagedNode
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.spin import steady_timer

DEMAND_PERIOD_S = 0.25
"""How often to look whether somebody subscribes."""


class RelayNode(ManagedNode):
    """A managed node without a worker, that subscribes only while somebody subscribes to what it publishes: over a
    network, what nobody looks at is not sent.

    Args:
        name: of the node.
        specs: its parameters, ``MANAGED_PARAMETERS`` among them.
        node_arguments: as rclpy's Node takes them: namespace, parameter_overrides.
    """

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...], **node_arguments: Any) -> None:
        super().__init__(name, specs, **node_arguments)
        self._demand_timer: Any = None

    # --- for subclasses -------------------------------------------------------------------------------------------

    def inputs_closed(self) -> None:
        """Nothing comes any more."""

    # --- states ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Subscribe, as long as somebody listens."""
        self.open_inputs()
        self._follow_demand()
        self._demand_timer = steady_timer(self, DEMAND_PERIOD_S, self._follow_demand, self.traffic)

    def stop(self) -> None:
        """Close the subscriptions."""
        if self._demand_timer is not None:
            self.destroy_timer(self._demand_timer)
            self._demand_timer = None
        self._unsubscribe()

    def _follow_demand(self) -> None:
        if self.resting():
            self._unsubscribe()
        elif not self._inputs:
            self.open_inputs()

    def _unsubscribe(self) -> None:
        if self._inputs:
            self.close_inputs()
            self.inputs_closed()
