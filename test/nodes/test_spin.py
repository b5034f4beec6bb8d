"""How node processes end; that they end at all is tested with each of them."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor

from mambapose_ros.nodes.spin import _Threads

PROGRAM = """
import sys

import rclpy
from rclpy.node import Node

from mambapose_ros.nodes.spin import spin_node


class Clumsy(Node):
    failed = False

    def __init__(self):
        super().__init__("clumsy")
        self.create_timer(0.01, self.fall)

    def fall(self):
        if {told_to_stop}:
            rclpy.shutdown()
        raise RuntimeError("dropped it")

    def close(self):
        print("closed")


sys.exit(spin_node(Clumsy))
"""


@pytest.mark.parametrize(("told_to_stop", "status"), [(True, 0), (False, 1)])
def test_what_fails_since_it_is_told_to_stop_is_no_failure(told_to_stop, status):
    run = [sys.executable, "-c", PROGRAM.format(told_to_stop=told_to_stop)]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert ended.returncode == status, ended.stderr
    assert ("dropped it" in ended.stderr) == (not told_to_stop)
    assert "closed" in ended.stdout


STUCK = """
import sys
import threading

from rclpy.node import Node

from mambapose_ros.nodes.spin import StuckError, spin_node


class Stuck(Node):
    failed = True  # ends at once

    def __init__(self):
        super().__init__("stuck")
        threading.Thread(target=threading.Event().wait).start()  # which Python would wait for

    def close(self):
        raise StuckError("still working on one image")


sys.exit(spin_node(Stuck))
"""


def test_what_is_stuck_does_not_keep_the_process():
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "Stuck: still working on one image: ended by force" in ended.stderr


@pytest.fixture
def executor():
    context = Context()
    context.init()
    made = _Threads(2, context=context)
    yield made
    made.shutdown()
    context.shutdown()


def test_a_subscription_that_another_thread_destroyed_is_skipped(monkeypatch, executor):
    def as_in_humble(self, subscription):
        raise InvalidHandle(subscription.name)

    monkeypatch.setattr(MultiThreadedExecutor, "_take_subscription", as_in_humble)
    assert executor._take_subscription(SimpleNamespace(name="image")) is None
