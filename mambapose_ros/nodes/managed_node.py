"""What all nodes have in common that turn messages into others: states, QoS, parameters and diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from mambapose_ros.memory import give_back
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.diagnostics import gpu_memory_mb, stream_status
from mambapose_ros.nodes.parameters import ParameterSpec, declare_parameters
from mambapose_ros.nodes.spin import StuckError, steady_timer
from mambapose_ros.nodes.statistics import StreamStatistics
from mambapose_ros.nodes.throttle import ThrottledWarnings

MANAGED_PARAMETERS = (ParameterSpec("autostart", True, "configure and activate by itself at start"),)

DEMAND_PERIOD_S = 0.25
"""How often to look whether somebody subscribes."""

_TICK_S, _TICKS_PER_REPORT = 0.2, 5


class ManagedNode(LifecycleNode):
    """A managed node whose models are held from configure to cleanup, and subscriptions at most from activate to
    deactivate; /diagnostics tells how it is in every state.

    Changes of parameters and states, which may take long, have one thread of the executor; what comes in and /clock
    have another, if there are two. A subclass overrides the methods of the section "for subclasses".

    Args:
        name: of the node.
        specs: its parameters, ``MANAGED_PARAMETERS`` among them.
        node_arguments: as rclpy's Node takes them: namespace, parameter_overrides.

    Attributes:
        parameters: their values; those that may change do.
        traffic: callback group of what comes in and is told about; not of states and parameters, which are rclpy's.
        statistics: of what it takes in and gives out.
        heard_by_itself: outputs whose topic it subscribes to, once.
        warn: logs a warning, once in a while per cause.
        failed: whether it has given up (``spin.ClosableNode``).

    Raises:
        ParameterError: when a value given at start is not allowed.
    """

    expects = "message"
    """What it takes in, for "no ... came yet"."""

    timeout_parameter = "timeout"
    """Parameter with the seconds that nothing may come until diagnostics warn."""

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...], **node_arguments: Any) -> None:
        super().__init__(name, **node_arguments)
        self.failed = False
        self.parameters = declare_parameters(self, specs)
        self.statistics = StreamStatistics()
        self.warn = ThrottledWarnings(self.get_logger())
        self.traffic = MutuallyExclusiveCallbackGroup()
        self._specs = {spec.name: spec for spec in specs if spec.changeable}
        self._state, self._error = "unconfigured", ""
        self._state_lock = threading.RLock()  # held while it changes, and while diagnostics look at it
        self._inputs: list[Subscription] = []
        self._opened_s = -math.inf  # steady seconds when the first of them was
        self._demand_timer: Any = None
        self._outputs: list[Publisher] = []
        self.heard_by_itself: set[Publisher] = set()
        self._cut_off: list[str] = []
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._ticks, self._reported_level = 0, b""
        steady_timer(self, _TICK_S, self._report, self.traffic)

    # --- for subclasses -------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Make what takes long or may fail: models. Whatever it raises becomes a FAILURE to configure."""

    def unload(self) -> None:
        """Give back what ``load`` made, also if it stopped half-way."""

    def open_inputs(self) -> None:
        """Subscribe, by ``create_input``."""

    def inputs_closed(self) -> None:
        """Nothing comes any more."""

    def start(self) -> None:
        """Begin to work. Whatever it raises becomes a FAILURE to activate."""
        raise NotImplementedError

    def stop(self) -> None:
        """Close the inputs and end the work, also if ``start`` stopped half-way, or was not called.

        Raises:
            StuckError: when the work does not end.
        """
        raise NotImplementedError

    def resting(self) -> str:
        """Why there is nothing to do; empty when there is."""
        return "" if any(map(self.is_heard, self._outputs)) else "nobody listens"

    def look_for_demand(self) -> None:
        """Subscribe or not, as somebody wants; called every ``DEMAND_PERIOD_S`` after ``follow_demand``."""
        if self.resting():
            self.close_inputs()
        elif not self._inputs:
            self.open_inputs()

    def prepare(self, values: dict[str, Any], parameters: dict[str, Any]) -> list[Callable[[], None]]:
        """Make ready for other values of parameters, while work goes on.

        Args:
            values: those that change.
            parameters: all, with the new values.

        Returns:
            What makes the changes, quickly; called ``between_items``.

        Raises:
            Exception: any; the values are refused with its text as the reason.
        """
        return []

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Parameters have other values now."""

    def between_items(self, change: Callable[[], None]) -> None:
        """Have something done before the next message is worked on."""
        change()

    def busy_s(self) -> float:
        """Seconds spent so far on the message that is worked on."""
        return 0.0

    def problems(self) -> list[str]:
        """What makes results worse than they could be, for diagnostics."""
        return []

    def figures(self) -> dict[str, Any]:
        """What else diagnostics should show."""
        return {}

    # --- to be called by subclasses -------------------------------------------------------------------------------

    def create_subscription(
        self, *arguments: Any, callback_group: CallbackGroup | None = None, **options: Any
    ) -> Subscription:
        """As rclpy's Node does, but without a callback group in one of its own.

        So rclpy subscribes /clock, while the node is made or use_sim_time changes. In the node's default group, where
        parameters are, simulated time would stand still while one of them loads a network.
        """
        group = callback_group or MutuallyExclusiveCallbackGroup()
        return super().create_subscription(*arguments, callback_group=group, **options)

    def create_input(
        self, message_type: type, topic: str, callback: Callable[[Any], Any], profile: QoSProfile
    ) -> Subscription:
        """Subscribe; ``qos_overrides.<topic>.subscription.*`` change the profile."""
        subscription = qos.create_subscription(self, message_type, topic, callback, profile, self.traffic)
        if not self._inputs:
            self._opened_s = time.monotonic()
        self._inputs.append(subscription)
        return subscription

    def destroy_input(self, subscription: Subscription) -> None:
        """Close a subscription."""
        self._inputs.remove(subscription)
        self.destroy_subscription(subscription)

    def close_inputs(self) -> None:
        """Close all subscriptions."""
        if self._inputs:
            while self._inputs:
                self.destroy_input(self._inputs[-1])
            self.inputs_closed()

    def follow_demand(self) -> None:
        """From now until ``ignore_demand``, subscribe only while there is something to do: what nobody looks at is not
        sent over a network, and whoever makes it rests too."""
        self.look_for_demand()
        self._demand_timer = steady_timer(self, DEMAND_PERIOD_S, self.look_for_demand, self.traffic)

    def ignore_demand(self) -> None:
        """Leave the subscriptions as they are."""
        if self._demand_timer is not None:
            self.destroy_timer(self._demand_timer)
            self._demand_timer = None

    def create_output(self, message_type: type, topic: str, profile: QoSProfile) -> Publisher:
        """Advertise a result; ``qos_overrides.<topic>.publisher.*`` change the profile.

        Raises:
            UserError: when they have values that are not allowed.
        """
        publisher = qos.create_publisher(self, message_type, topic, profile)
        self._outputs.append(publisher)
        return publisher

    def destroy_output(self, publisher: Publisher) -> None:
        """Advertise it no longer."""
        self._outputs.remove(publisher)
        self.destroy_publisher(publisher)

    def is_heard(self, publisher: Publisher) -> bool:
        """Whether somebody else subscribes to an output."""
        return publisher.get_subscription_count() > (publisher in self.heard_by_itself)

    @property
    def active(self) -> bool:
        """Whether it is in the state of that name."""
        return self._state == "active"

    def record_result(self, stamp_ns: int, stage_ms: dict[str, float]) -> None:
        """A result went out, made of what was taken at ``stamp_ns``."""
        age_ns = self.get_clock().now().nanoseconds - stamp_ns
        self.statistics.record_result(age_ns * 1e-9, stage_ms)

    def fail(self, cause: str, message: str) -> None:
        """Something gives no result because it is wrong; counted per cause, and logged once in a while."""
        count = self.statistics.record_failed(cause)
        self.warn(cause, f"{self.expects} dropped ({count} so far): {message}")

    # --- states ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; FAILURE with the reason in the log and the diagnostics when that is not possible."""
        with self._state_lock:
            code = self._enter("inactive", "configure", self.load, undo=self._unload)
            if code != TransitionCallbackReturn.SUCCESS:
                give_back()
        return code

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work."""
        with self._state_lock:
            code = self._enter("active", "activate", self.start, undo=self.stop)
        return super().on_activate(state) if code == TransitionCallbackReturn.SUCCESS else code

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the subscriptions and end the work."""
        with self._state_lock:
            try:
                self.stop()
            except StuckError as error:
                self._error = f"cannot deactivate: {error}"
                self.get_logger().error(self._error)
                return TransitionCallbackReturn.FAILURE
            self._state, self._error = "inactive", ""
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the models, and the GPU's memory."""
        with self._state_lock:
            self._unload()
            give_back()
            self._state, self._error = "unconfigured", ""
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End in good order from any state, unless what is worked on does not end."""
        with self._state_lock:
            self._close_or_log()
            self._state = "finalized"
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to the beginning, to be configured again; the end, where what is worked on does not end."""
        with self._state_lock:
            if not self._close_or_log():
                self._state = "finalized"
                return TransitionCallbackReturn.FAILURE
            give_back()
            self._state = "unconfigured"
            return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """End the work and give back the models, in any state.

        Raises:
            StuckError: when the work does not end.
        """
        with self._state_lock:
            self.stop()
            self._unload()

    def _close_or_log(self) -> bool:
        """Whether it could be closed; then nothing that failed before matters any more."""
        try:
            self.close()
        except StuckError as error:
            self._error = f"cannot end: {error}"
            self.get_logger().error(self._error)
            return False
        self._error = ""
        return True

    def _enter(self, state: str, verb: str, step: Callable[[], None], undo: Callable[[], None]) -> Any:
        try:
            step()
        except Exception as error:  # whatever a library throws, the node says it and stays alive
            undo()
            self._error = f"cannot {verb}: {error}"
            self.get_logger().error(self._error)
            return TransitionCallbackReturn.FAILURE
        self._state, self._error = state, ""
        return TransitionCallbackReturn.SUCCESS

    def _unload(self) -> None:
        self.unload()

    # --- parameters -----------------------------------------------------------------------------------------------

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Make ready what is to change, or refuse all of it with a reason."""
        given = {parameter.name: parameter.value for parameter in parameters if parameter.name in self._specs}
        try:
            values = {name: self._specs[name].check(value) for name, value in given.items()}
            loaded = self._state in ("inactive", "active")
            changes = self.prepare(values, {**self.parameters, **values}) if values and loaded else []
        except Exception as error:  # whatever a model library throws
            return SetParametersResult(successful=False, reason=str(error))
        for change in changes:
            self.between_items(change)
        if values:
            with self._state_lock:
                self.parameters.update(values)
                self.parameters_changed(values)
            self.get_logger().info(f"from the next {self.expects} on: {values}")
        return SetParametersResult(successful=True)

    # --- reports --------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Publish how it is once a second, and at once where the level changes."""
        due = self._ticks % _TICKS_PER_REPORT == 0
        self._ticks += 1
        with self._state_lock:
            if due:
                self._look_for_cut_off()
            status = self._status()
        if not due and status.level == self._reported_level:
            return
        self._reported_level = status.level
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _status(self) -> DiagnosticStatus:
        return stream_status(
            name=f"{self.get_fully_qualified_name()}: pipeline",
            expects=self.expects,
            state=self._state,
            error=self._error,
            statistics=self.statistics,
            listening=bool(self._inputs),
            opened_s=self._opened_s,
            resting=self.resting(),
            cut_off=self._cut_off,
            problems=self.problems(),
            busy_s=self.busy_s(),
            timeout_s=self.parameters[self.timeout_parameter],
            max_age_s=self.parameters.get("max_age", math.inf),
            clock_s=self.get_clock().now().nanoseconds * 1e-9,
            values={**self.parameters, **self.figures(), **gpu_memory_mb()},
        )

    def _look_for_cut_off(self) -> None:
        """Find nodes that the quality of service or the type keeps from being connected; log each once.

        Asked of the graph once a second rather than in QoS events: those do not tell who it is, and come before the
        other side's name is known.
        """
        cut_off = [text for subscription in self._inputs for text in qos.cut_off_publishers(self, subscription)]
        cut_off += [text for publisher in self._outputs for text in qos.cut_off_subscribers(self, publisher)]
        for text in cut_off:
            if text not in self._cut_off:
                self.get_logger().warning(text)
        self._cut_off = cut_off
