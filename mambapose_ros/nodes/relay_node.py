"""What nodes have in common that turn small messages into others at once: nothing is sent to nobody."""

from __future__ import annotations

from mambapose_ros.nodes.managed_node import ManagedNode


class RelayNode(ManagedNode):
    """A managed node without a worker, that subscribes only while somebody subscribes to what it publishes.

    Args:
        name: of the node.
        specs: its parameters, ``MANAGED_PARAMETERS`` among them.
        node_arguments: as rclpy's Node takes them: namespace, parameter_overrides.
    """

    def start(self) -> None:
        """Subscribe, as long as somebody listens."""
        self.open_inputs()  # whoever listens or not, what is wrong with them is said now
        self.follow_demand()

    def stop(self) -> None:
        """Close the subscriptions."""
        self.ignore_demand()
        self.close_inputs()
