"""How node processes end; that they end at all is tested with each of them."""

import subprocess
import sys

import pytest

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
