"""What all relays do, on the smallest of them: it repeats what it hears."""

import threading

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from mambapose_ros.nodes import qos
from mambapose_ros.nodes.managed_node import MANAGED_PARAMETERS
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.relay_node import RelayNode

PARAMETERS = (*MANAGED_PARAMETERS, ParameterSpec("patience", 0.5, "seconds", range=(0.1, 9.0), changeable=True))
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Parrot(RelayNode):
    expects = "word"
    timeout_parameter = "patience"

    def __init__(self, **node_arguments):
        super().__init__("parrot", PARAMETERS, **node_arguments)
        self.load_error = None
        self.output = self.create_output(String, "repeated", qos.RESULT_OUTPUT)

    def load(self):
        if self.load_error:
            raise self.load_error

    def open_inputs(self):
        self.create_input(String, "word", self._on_word, qos.PEOPLE_INPUT)

    def _on_word(self, message):
        self.statistics.record_received()
        if message.data == "bad":
            self.fail("bad word", "expected a good one")
            return
        self.output.publish(message)
        self.record_result(self.get_clock().now().nanoseconds, {})


class Setting:
    """A parrot, spun in a thread, and who talks to it."""

    def __init__(self, listener, namespace: str, **parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = Parrot(namespace=namespace, parameter_overrides=overrides)
        self.listener, self.namespace = listener, namespace
        self.words = listener.node.create_publisher(String, f"{namespace}/word", 10)
        self._statuses = listener.hear(DiagnosticArray, "/diagnostics")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.close()
        self.node.destroy_node()

    def listen(self, profile: QoSProfile | int = 10) -> list:
        return self.listener.hear(String, f"{self.namespace}/repeated", profile)

    def start(self):
        assert self.node.trigger_configure() == SUCCESS
        assert self.node.trigger_activate() == SUCCESS

    def until(self, condition, what: str, word: str = ""):
        def say_and_check():
            if word:
                self.words.publish(String(data=word))
            return condition()

        self.listener.spin_until(say_and_check, what)

    def tells(self, level: bytes, part: str):
        def check() -> bool:
            mine = [s for m in self._statuses for s in m.status if s.name.startswith(f"{self.namespace}/parrot")]
            return bool(mine) and mine[-1].level == level and part in mine[-1].message

        return check


@pytest.fixture
def setting(listener, request, closed_at_the_end):
    def make(**parameters) -> Setting:
        made = Setting(listener, f"/parrot_{abs(hash(request.node.name)) % 10**8}", **parameters)
        closed_at_the_end.append(made)
        return made

    return make


def test_diagnostics_tell_how_it_is_in_every_state(setting):
    parrot = setting()
    parrot.until(parrot.tells(DiagnosticStatus.WARN, "the node is unconfigured: configure and activate it"), "WARN")
    parrot.node.load_error = ImportError("no beak")
    assert parrot.node.trigger_configure() == FAILURE
    parrot.until(parrot.tells(DiagnosticStatus.ERROR, "unconfigured: cannot configure: no beak"), "ERROR")
    parrot.node.load_error = None
    assert parrot.node.trigger_configure() == SUCCESS
    parrot.until(parrot.tells(DiagnosticStatus.WARN, "the node is inactive: activate it"), "WARN")
    assert parrot.node.trigger_activate() == SUCCESS
    parrot.until(parrot.tells(DiagnosticStatus.OK, "resting: nobody listens"), "resting")
    assert not parrot.words.get_subscription_count()
    heard = parrot.listen()
    parrot.until(parrot.tells(DiagnosticStatus.WARN, "no word came yet"), "a warning that nothing comes")
    parrot.until(lambda: heard, "a word", "hello")
    parrot.until(parrot.tells(DiagnosticStatus.OK, "running"), "running", "hello")
    parrot.until(parrot.tells(DiagnosticStatus.ERROR, "bad word"), "ERROR", "bad")
    assert parrot.node.statistics.dropped()["bad word"] > 1
    parrot.until(parrot.tells(DiagnosticStatus.STALE, "no word for"), "STALE")
    assert parrot.node.trigger_deactivate() == SUCCESS
    parrot.until(parrot.tells(DiagnosticStatus.WARN, "the node is inactive"), "WARN")


def test_who_hears_nothing_for_the_quality_of_service_is_named(setting):
    parrot = setting()
    parrot.start()
    parrot.listen(QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    who = parrot.listener.node.get_fully_qualified_name()
    parrot.until(parrot.tells(DiagnosticStatus.ERROR, f"{who} subscribes to it and hears nothing"), "it is named")
    heard = parrot.listen()
    parrot.until(lambda: heard, "who can hear, does", "hello")
    parrot.until(parrot.tells(DiagnosticStatus.WARN, who), "only a warning, while others hear", "hello")


def test_quality_of_service_is_overridden_by_parameters(setting, request):
    prefix = f"qos_overrides./parrot_{abs(hash(request.node.name)) % 10**8}"
    parrot = setting(
        **{
            f"{prefix}/word.subscription.reliability": "reliable",
            f"{prefix}/repeated.publisher.reliability": "best_effort",
        }
    )
    parrot.start()
    assert parrot.node.output.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    parrot.listen(QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    parrot.until(lambda: parrot.words.get_subscription_count(), "it subscribes")
    assert parrot.node._inputs[0].qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_quality_of_service_that_does_not_exist_is_a_failure_to_activate(setting, request):
    namespace = f"/parrot_{abs(hash(request.node.name)) % 10**8}"
    parrot = setting(**{f"qos_overrides.{namespace}/word.subscription.reliability": "perfect"})
    assert parrot.node.trigger_configure() == SUCCESS
    assert parrot.node.trigger_activate() == FAILURE
    parrot.until(parrot.tells(DiagnosticStatus.ERROR, "qos_overrides of word: "), "ERROR")


def test_its_patience_changes_while_it_runs(setting):
    parrot = setting()
    heard = parrot.listen()
    parrot.start()
    parrot.until(lambda: heard, "a word", "hello")
    assert not parrot.node.set_parameters([Parameter("patience", value=99.0)])[0].successful
    assert parrot.node.set_parameters([Parameter("patience", value=9)])[0].successful
    assert parrot.node.parameters["patience"] == 9.0
