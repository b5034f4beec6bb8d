"""What nodes have in common that turn small messages into others at once: states, and nothing sent to nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from rclpy.subscription import Subscription

from mambapose_ros.errors import UserError
from mambapose_ros.nodes.parameters import ParameterSpec, declare_parameters
from mambapose_ros.nodes.spin import steady_timer
from mambapose_ros.nodes.throttle import ThrottledWarnings

RELAY_PARAMETERS = (ParameterSpec("autostart", True, "configure and activate by itself at start"),)

DEMAND_PERIOD_S = 0.25
"""How often to look whether somebody subscribes."""


class RelayNode(LifecycleNode):
    """A managed node without a worker, that subscribes only while somebody subscribes to what it publishes: over a
    network, what nobody looks at is not sent.

    Args:
        name: of the node.
        specs: its parameters, ``RELAY_PARAMETERS`` among them.

    Attributes:
        parameters: their values.
        warn: logs a warning, once in a while per cause.
        failed: whether it has given up (``spin.ClosableNode``).
    """

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...]) -> None:
        super().__init__(name)
        self.failed = False
        self.parameters = declare_parameters(self, specs)
        self.warn = ThrottledWarnings(self.get_logger())
        self._inputs: list[Subscription] = []
        self._demand_timer = None

    # --- for subclasses -------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Make what is needed; a UserError becomes a FAILURE to configure."""

    def unload(self) -> None:
        """Give back what ``load`` made, if it did."""

    def wanted(self) -> bool:
        """Whether somebody subscribes to an output; asked every ``DEMAND_PERIOD_S`` while active."""
        raise NotImplementedError

    def open_inputs(self) -> None:
        """Subscribe, by ``create_input``."""
        raise NotImplementedError

    def inputs_closed(self) -> None:
        """Nothing comes any more."""

    def create_input(self, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
        """Subscribe while somebody listens."""
        # Best effort: the newest is worth more than all, and every publisher matches.
        self._inputs.append(self.create_subscription(message_type, topic, callback, qos_profile_sensor_data))

    # --- states ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; FAILURE with the reason in the log when that is not possible."""
        try:
            self.load()
        except UserError as error:
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe as soon as somebody listens."""
        self._demand_timer = steady_timer(self, DEMAND_PERIOD_S, self._follow_demand)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the subscriptions."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what was loaded."""
        self.unload()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End in good order from any state."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop listening and give back what was loaded, in any state."""
        self._stop()
        self.unload()

    def _stop(self) -> None:
        if self._demand_timer is not None:
            self.destroy_timer(self._demand_timer)
            self._demand_timer = None
        self._unsubscribe()

    def _follow_demand(self) -> None:
        if not self.wanted():
            self._unsubscribe()
        elif not self._inputs:
            self.open_inputs()

    def _unsubscribe(self) -> None:
        if self._inputs:
            while self._inputs:
                self.destroy_subscription(self._inputs.pop())
            self.inputs_closed()
