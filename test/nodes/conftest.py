"""Node tests talk on this machine only, in a domain that no other test run uses."""

import os

import pytest

from mambapose_ros.nodes.localhost import stay_on_this_machine

# 0-101 are safe on every platform; 0 is everybody's.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
stay_on_this_machine(os.environ)

import rclpy  # noqa: E402  # reads the variables above
from ros_harness import Listener  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def ros():
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture
def closed_at_the_end():
    """A list; what is in it when the test has ended is closed."""
    made: list = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def nodes_of_the_test(ros):
    """A list of nodes in this process; they are closed and destroyed when the test has ended."""
    made: list = []
    yield made
    for node in made:
        node.close()
        node.destroy_node()


@pytest.fixture
def listener(request):
    made = Listener(f"test_{abs(hash(request.node.nodeid)) % 10**8}")
    yield made
    made.close()
