"""What all processing nodes do, on the smallest of them: it says "HELLO" for "hello"."""

import threading
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Int32, String
from std_srvs.srv import SetBool, Trigger

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.nodes import processing_node, qos
from mambapose_ros.nodes.conversions import ns_to_stamp
from mambapose_ros.nodes.parameters import ParameterError, ParameterSpec
from mambapose_ros.nodes.processing_node import PROCESSING_PARAMETERS, ProcessingNode

PARAMETERS = (
    *PROCESSING_PARAMETERS,
    ParameterSpec("ending", "", "what is said after it", changeable=True),
    ParameterSpec("loudness", 1, "how loud", range=(1, 3), changeable=True),
)
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Shouter(ProcessingNode):
    expects = "word"

    def __init__(self, **node_arguments):
        super().__init__("shouter", PARAMETERS, **node_arguments)
        self.load_error = self.open_error = None
        self.loaded = False
        self.forgot = 0
        self.ending = ""
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.working = threading.Event()
        self.may_prepare = threading.Event()
        self.may_prepare.set()
        self.preparing = threading.Event()
        self.given_back = ""
        self.output = self.create_output(String, "shout", qos.RESULT_OUTPUT)

    def load(self):
        self.loaded = True  # half-way, if it fails now
        if self.load_error:
            raise self.load_error

    def unload(self):
        self.loaded = False
        self.given_back = self.ending

    def open_inputs(self):
        self.create_input(String, "word", lambda message: self.submit(message, message.data[:1]), QoSProfile(depth=9))
        if self.open_error:
            raise self.open_error

    def process(self, items):
        self.working.set()
        assert self.may_go_on.wait(20.0)
        for message in items:
            if message.data == "bad":
                raise ImageError("bad word", "expected a good one")
            if message.data == "bug":
                raise RuntimeError("a bug")
            self.output.publish(String(data=message.data.upper() + self.ending))
            stamp_ns = self.get_clock().now().nanoseconds
            self.record_result(stamp_ns - (10**10 if message.data == "old" else 0), {"shouting": 1.0})

    def forget(self):
        self.forgot += 1

    def prepare(self, values, parameters):
        self.preparing.set()
        assert self.may_prepare.wait(20.0)
        if values.get("ending") == "?":
            raise ValueError("shouters do not ask")
        return [lambda: setattr(self, "ending", values["ending"])] if "ending" in values else []


class Setting:
    """A shouter, spun in a thread, and who talks to it."""

    def __init__(self, listener, namespace: str, **parameters):
        overrides = [Parameter(name, value=value) for name, value in {"timeout": 0.5, **parameters}.items()]
        self.node = Shouter(namespace=namespace, parameter_overrides=overrides)
        self.listener = listener
        self.words = listener.node.create_publisher(String, f"{namespace}/word", 10)
        self._namespace = namespace
        self.statuses = listener.hear(DiagnosticArray, "/diagnostics")
        self._executor = MultiThreadedExecutor(2)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.close()
        self.node.destroy_node()

    def listen(self) -> list:
        heard = self.listener.hear(String, f"{self._namespace}/shout")
        self.until(lambda: self.node.output.get_subscription_count() > 0, "a connection to the listener")
        return heard

    def start(self):
        assert self.node.trigger_configure() == SUCCESS
        assert self.node.trigger_activate() == SUCCESS
        self.until(lambda: self.words.get_subscription_count() > 0, "a connection from the speaker")

    def say(self, *words: str):
        for word in words:
            self.words.publish(String(data=word))

    def until(self, condition, what: str):
        return self.listener.spin_until(condition, what)

    def say_until(self, word: str, condition, what: str):
        def say_and_check():
            if time.monotonic() > self._due:
                self.say(word)
                self._due = time.monotonic() + 0.05
            return condition()

        self._due = 0.0
        return self.until(say_and_check, what)

    def status(self):
        mine = [s for m in self.statuses for s in m.status if s.name.startswith(f"{self._namespace}/shouter")]
        return mine[-1] if mine else DiagnosticStatus()

    def tells(self, level: bytes, part: str):
        return lambda: self.status().level == level and part in self.status().message

    def call(self, service_type, name: str, request):
        client = self.listener.node.create_client(service_type, f"{self._namespace}/shouter/{name}")
        self.until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.until(future.done, f"an answer of {name}")
        return future.result()

    def begin_to_set(self, name: str, value):
        """Set a parameter; returns the future of the answer once the node prepares it."""
        client = self.listener.node.create_client(
            SetParameters, f"{self.node.get_fully_qualified_name()}/set_parameters"
        )
        self.until(client.service_is_ready, "the service of parameters")
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        future = client.call_async(request)
        self.until(self.node.preparing.is_set, "the new value prepared")
        return future


@pytest.fixture
def setting(listener, request, closed_at_the_end):
    def make(**parameters) -> Setting:
        made = Setting(listener, f"/shouter_{abs(hash(request.node.name)) % 10**8}", **parameters)
        closed_at_the_end.append(made)
        return made

    return make


def data(messages: list) -> list[str]:
    return [message.data for message in messages]


def test_it_goes_through_its_states_and_back(setting):
    shouter = setting()
    heard = shouter.listen()
    for _ in range(3):
        heard.clear()
        shouter.start()
        shouter.say("hello")
        shouter.until(lambda: data(heard) == ["HELLO"], "a shout")
        assert shouter.node.trigger_deactivate() == SUCCESS
        shouter.until(lambda: shouter.words.get_subscription_count() == 0, "the subscription closed")
        assert shouter.node.trigger_cleanup() == SUCCESS
        assert not shouter.node.loaded


def test_what_cannot_load_fails_to_configure_with_the_reason_and_can_later(setting):
    shouter = setting()
    shouter.until(shouter.tells(DiagnosticStatus.WARN, "the node is unconfigured: configure and activate it"), "WARN")
    shouter.node.load_error = RuntimeError("no voice")
    assert shouter.node.trigger_configure() == FAILURE
    assert not shouter.node.loaded
    shouter.until(shouter.tells(DiagnosticStatus.ERROR, "unconfigured: cannot configure: no voice"), "ERROR")
    shouter.node.load_error = None
    assert shouter.node.trigger_configure() == SUCCESS
    shouter.until(shouter.tells(DiagnosticStatus.WARN, "the node is inactive: activate it"), "WARN")


def test_what_cannot_subscribe_fails_to_activate_and_leaves_nothing_open(setting):
    shouter = setting()
    assert shouter.node.trigger_configure() == SUCCESS
    shouter.node.open_error = RuntimeError("no ears")
    assert shouter.node.trigger_activate() == FAILURE
    shouter.until(shouter.tells(DiagnosticStatus.ERROR, "inactive: cannot activate: no ears"), "ERROR")
    assert shouter.words.get_subscription_count() == 0
    shouter.node.open_error = None
    assert shouter.node.trigger_activate() == SUCCESS


def test_what_failed_before_a_cleanup_or_shutdown_is_told_no_longer(setting):
    shouter = setting()
    shouter.node.open_error = RuntimeError("no ears")
    for _ in range(2):
        assert shouter.node.trigger_configure() == SUCCESS
        assert shouter.node.trigger_activate() == FAILURE
        shouter.until(shouter.tells(DiagnosticStatus.ERROR, "cannot activate: no ears"), "ERROR")
        assert shouter.node.trigger_cleanup() == SUCCESS
        shouter.until(shouter.tells(DiagnosticStatus.WARN, "the node is unconfigured: configure and"), "WARN")
    assert shouter.node.trigger_configure() == SUCCESS
    assert shouter.node.trigger_activate() == FAILURE
    assert shouter.node.trigger_shutdown() == SUCCESS
    shouter.until(shouter.tells(DiagnosticStatus.WARN, "the node is finalized: start it anew"), "WARN")


def test_only_the_newest_of_each_sender_waits(setting):
    shouter = setting()
    heard = shouter.listen()
    shouter.start()
    shouter.say_until("is it on?", lambda: heard, "a shout")  # said until both sides are connected
    shouter.node.may_go_on.clear()
    shouter.node.working.clear()
    shouter.say("first")
    shouter.until(lambda: shouter.node.working.is_set(), "work on the first")
    before = shouter.node.statistics.dropped().get("newer word came first", 0)
    shouter.say("a1", "b1", "a2", "b2", "a3")
    shouter.until(lambda: shouter.node.statistics.dropped().get("newer word came first", 0) == before + 3, "3 dropped")
    shouter.node.may_go_on.set()
    shouter.until(lambda: "A3" in data(heard), "the last shout")
    assert [word for word in data(heard) if word != "IS IT ON?"] == ["FIRST", "B2", "A3"]


def test_nothing_is_done_while_nobody_listens(setting):
    shouter = setting()
    shouter.start()
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.OK, "resting: nobody listens"), "resting")
    assert shouter.node.statistics.summary()["rate_out_hz"] == 0.0
    assert shouter.node.statistics.dropped()["nobody listens"] > 0
    heard = shouter.listen()
    shouter.say_until("hello", lambda: heard, "a shout")
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.OK, "running"), "running")


def test_it_can_be_disabled_and_enabled(setting):
    shouter = setting()
    heard = shouter.listen()
    shouter.start()
    answer = shouter.call(SetBool, "set_enabled", SetBool.Request(data=False))
    assert answer.success
    assert "disabled" in answer.message
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.OK, "resting: disabled"), "resting")
    assert not heard
    assert shouter.call(SetBool, "set_enabled", SetBool.Request(data=True)).success
    shouter.say_until("hello", lambda: heard, "a shout")


def test_reset_forgets_before_the_next_word(setting):
    shouter = setting()
    answer = shouter.call(Trigger, "reset", Trigger.Request())
    assert not answer.success
    assert "unconfigured" in answer.message
    heard = shouter.listen()
    shouter.start()
    assert shouter.call(Trigger, "reset", Trigger.Request()).success
    assert shouter.node.forgot == 0
    shouter.say_until("hello", lambda: heard, "a shout")
    assert shouter.node.forgot == 1


@pytest.mark.parametrize(("word", "cause"), [("bad", "bad word"), ("bug", "RuntimeError while processing")])
def test_one_bad_word_is_counted_and_nothing_else_is_an_error(setting, word, cause):
    shouter = setting()
    heard = shouter.listen()
    shouter.start()
    shouter.say_until(word, shouter.tells(DiagnosticStatus.ERROR, f"s: {cause}"), "ERROR")
    assert shouter.node.statistics.dropped()[cause] > 1
    shouter.say_until("hello", lambda: heard, "a shout")
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.OK, "running"), "OK again")


def test_silence_is_stale_and_old_results_are_warned_of(setting):
    shouter = setting()
    shouter.listen()
    shouter.start()
    shouter.until(shouter.tells(DiagnosticStatus.WARN, "no word came yet"), "no word yet")
    shouter.say_until("old", shouter.tells(DiagnosticStatus.WARN, "results are 10.0 s old, more than 1"), "old results")
    shouter.node.set_parameters([Parameter("max_age", value=60.0)])
    shouter.say_until("old", shouter.tells(DiagnosticStatus.OK, "running"), "OK with another threshold")
    shouter.until(shouter.tells(DiagnosticStatus.STALE, "no word for"), "STALE")


def test_parameters_change_between_two_words_or_are_refused_with_the_reason(setting):
    shouter = setting()
    heard = shouter.listen()
    shouter.start()

    def set_one(name, value):
        return shouter.node.set_parameters([Parameter(name, value=value)])[0]

    assert set_one("ending", "!").successful
    shouter.say("hello")
    shouter.until(lambda: data(heard) == ["HELLO!"], "a shout with the new ending")
    assert "shouters do not ask" in set_one("ending", "?").reason
    assert not set_one("loudness", 4).successful
    assert "loudness: got 'very'; expected a value of type integer from 1 to 3" in set_one("loudness", "very").reason
    assert not shouter.node.set_parameters([Parameter("loudness", Parameter.Type.NOT_SET)])[0].successful
    assert set_one("timeout", 1).successful
    assert "read-only" in set_one("autostart", False).reason
    assert shouter.node.parameters == {
        "autostart": True,
        "timeout": 1.0,
        "max_age": 1.0,
        "ending": "!",
        "loudness": 1,
    }


def test_words_and_diagnostics_go_on_while_a_parameter_changes(setting):
    shouter = setting()
    heard = shouter.listen()
    shouter.start()
    shouter.say_until("hello", lambda: heard, "a shout")
    shouter.node.may_prepare.clear()
    future = shouter.begin_to_set("ending", "!")
    heard.clear()
    shouter.statuses.clear()
    shouter.say_until("hello", lambda: len(heard) > 5 and len(shouter.statuses) > 2, "shouts and diagnostics meanwhile")
    assert not future.done()
    assert "HELLO!" not in data(heard)
    shouter.node.may_prepare.set()
    shouter.say_until("hello", lambda: "HELLO!" in data(heard), "a shout with the new ending")
    shouter.until(future.done, "an answer")
    assert future.result().results[0].successful


def test_simulated_time_goes_on_while_a_parameter_changes(setting):
    shouter = setting(use_sim_time=True)
    clock = shouter.listener.node.create_publisher(Clock, "/clock", 10)

    def runs_to(seconds: int):
        def publish_and_check():
            clock.publish(Clock(clock=ns_to_stamp(seconds * 10**9)))
            return shouter.node.get_clock().now().nanoseconds == seconds * 10**9

        return publish_and_check

    shouter.listen()
    shouter.start()
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.WARN, "no /clock came: does"), "no clock")
    shouter.until(runs_to(5), "simulated time")
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.OK, "running"), "OK with a clock")
    shouter.node.may_prepare.clear()
    future = shouter.begin_to_set("ending", "!")
    try:
        shouter.listener.spin_until(runs_to(6), "simulated time meanwhile", 10.0)
        assert not future.done()
    finally:
        shouter.node.may_prepare.set()
    shouter.until(future.done, "an answer")


def test_what_was_prepared_and_never_used_is_given_back_too(setting):
    shouter = setting()
    shouter.start()
    assert shouter.node.set_parameters([Parameter("ending", value="!")])[0].successful
    assert shouter.node.trigger_deactivate() == SUCCESS
    assert shouter.node.trigger_cleanup() == SUCCESS
    assert shouter.node.given_back == "!"


def test_misspelt_parameters_are_warned_of(capfd, setting):
    setting(loudnes=2)
    assert (
        "parameter loudnes is not one of this node's and has no effect; did you mean loudness?"
        in capfd.readouterr().err
    )


def test_wrong_parameters_are_refused_at_start():
    with pytest.raises(ParameterError, match="from 1 to 3, for example 1"):
        Shouter(namespace="/refused", parameter_overrides=[Parameter("loudness", value=7)])


def test_a_publisher_that_quality_of_service_cuts_off_is_named(setting):
    shouter = setting()
    other = rclpy.create_node("mumbler", namespace="/elsewhere")
    try:
        topic = shouter.words.topic_name
        other.create_publisher(String, topic, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
        shouter.start()
        shouter.until(
            shouter.tells(DiagnosticStatus.ERROR, "/elsewhere/mumbler publishes it and is not heard"), "named"
        )
        assert topic in shouter.status().message
        assert "reliable" in shouter.status().message.lower()
        shouter.listen()
        shouter.say_until("hello", shouter.tells(DiagnosticStatus.WARN, "mumbler"), "only a warning, with others heard")
    finally:
        other.destroy_node()
    shouter.say_until("hello", shouter.tells(DiagnosticStatus.OK, "running"), "OK when it has gone")


def test_a_subscriber_of_another_type_is_named(setting):
    shouter = setting()
    context = Context()  # Fast DDS knows one type per topic and context
    rclpy.init(context=context)
    other = rclpy.create_node("counter", context=context)
    try:
        other.create_subscription(Int32, shouter.node.output.topic_name, lambda _: None, 1)
        shouter.start()
        expected = "/counter subscribes to it and hears nothing: its type is std_msgs/msg/Int32"
        shouter.say_until("hello", lambda: expected in shouter.status().message, "named")
    finally:
        other.destroy_node()
        rclpy.shutdown(context=context)


def test_quality_of_service_is_overridden_by_parameters(setting, request):
    namespace = f"/shouter_{abs(hash(request.node.name)) % 10**8}"
    prefix = "qos_overrides." + namespace
    shouter = setting(
        **{
            f"{prefix}/word.subscription.reliability": "best_effort",
            f"{prefix}/shout.publisher.reliability": "best_effort",
            f"{prefix}/shout.publisher.depth": 2,
        }
    )
    assert shouter.node.output.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert shouter.node.output.qos_profile.depth == 2
    for _ in range(2):  # also when it is activated again
        shouter.start()
        assert shouter.node._inputs[0].qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        assert shouter.node.trigger_deactivate() == SUCCESS
        assert shouter.node.trigger_cleanup() == SUCCESS
    assert qos.RESULT_OUTPUT.reliability == ReliabilityPolicy.RELIABLE


def test_what_was_published_before_it_listens_is_heard_with_another_durability(setting, request):
    prefix = f"qos_overrides./shouter_{abs(hash(request.node.name)) % 10**8}/word.subscription"
    shouter = setting(**{f"{prefix}.durability": "transient_local", f"{prefix}.reliability": "reliable"})
    heard = shouter.listen()
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
    shouter.listener.node.create_publisher(String, shouter.words.topic_name, kept).publish(String(data="hello"))
    assert shouter.node.trigger_configure() == SUCCESS
    assert shouter.node.trigger_activate() == SUCCESS
    shouter.until(lambda: data(heard) == ["HELLO"], "a shout")


def test_quality_of_service_that_does_not_exist_is_a_failure_to_activate(setting, request):
    namespace = f"/shouter_{abs(hash(request.node.name)) % 10**8}"
    shouter = setting(**{f"qos_overrides.{namespace}/word.subscription.reliability": "perfect"})
    assert shouter.node.trigger_configure() == SUCCESS
    assert shouter.node.trigger_activate() == FAILURE
    shouter.until(shouter.tells(DiagnosticStatus.ERROR, "perfect"), "ERROR")


@pytest.fixture
def stuck(setting, monkeypatch):
    """A shouter that works on a word and does not end with it until ``let_go``; it is not waited for for long."""
    monkeypatch.setattr(processing_node, "PATIENCE_S", 0.2)
    shouter = setting()
    shouter.listen()
    shouter.start()
    shouter.node.may_go_on.clear()
    shouter.say_until("hello", shouter.node.working.is_set, "work on a word")
    return shouter


def let_go(stuck, monkeypatch) -> None:
    stuck.node.may_go_on.set()
    monkeypatch.setattr(processing_node, "PATIENCE_S", 20.0)


def test_a_worker_that_is_stuck_does_not_keep_the_node_from_answering(stuck, monkeypatch, capfd):
    assert stuck.node.trigger_deactivate() == FAILURE
    assert "cannot deactivate: still working on one word after 0 s; end the process" in capfd.readouterr().err
    assert stuck.node.loaded
    let_go(stuck, monkeypatch)
    # It is active and hears nothing any more, also once the word is done.
    stuck.until(stuck.tells(DiagnosticStatus.ERROR, "cannot deactivate: still working"), "the error")
    assert stuck.node.trigger_deactivate() == SUCCESS
    stuck.until(stuck.tells(DiagnosticStatus.WARN, "the node is inactive: activate it"), "no error any more")


def test_a_worker_that_is_stuck_is_told_of_at_a_shutdown(stuck, monkeypatch, capfd):
    assert stuck.node.trigger_shutdown() == SUCCESS
    assert "cannot end: still working on one word" in capfd.readouterr().err
    stuck.until(stuck.tells(DiagnosticStatus.ERROR, "the node is finalized: cannot end"), "the error")
    let_go(stuck, monkeypatch)
