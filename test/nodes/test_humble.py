"""What the nodes use of rclpy is in that of Humble, the oldest distribution that is supported.

These names were looked up in rclpy 3.3.15 (ros2/rclpy, branch humble), and how they are called was checked by mypy
against those sources: put them on MYPYPATH, with an empty rclpy/py.typed, and run
``mypy --config-file= --check-untyped-defs --ignore-missing-imports mambapose_ros/nodes``. Whoever uses a name that is
not here looks it up, too, and guards what is newer.
"""

import ast
from pathlib import Path

import rclpy
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.time import Time

import mambapose_ros

IMPORTED = {
    "rclpy.callback_groups": {"CallbackGroup", "MutuallyExclusiveCallbackGroup"},
    "rclpy.clock": {"Clock", "ClockType", "JumpThreshold"},
    "rclpy.duration": {"Duration"},
    "rclpy.exceptions": {"InvalidHandle"},
    "rclpy.executors": {"ExternalShutdownException", "MultiThreadedExecutor", "SingleThreadedExecutor"},
    "rclpy.lifecycle": {"LifecycleNode", "LifecycleState", "TransitionCallbackReturn"},
    "rclpy.node": {"Node"},
    "rclpy.parameter": {"Parameter"},
    "rclpy.publisher": {"Publisher"},
    "rclpy.qos": {
        *("DurabilityPolicy", "QoSCompatibility", "QoSPolicyKind", "QoSProfile", "ReliabilityPolicy"),
        *("qos_check_compatible", "qos_profile_sensor_data"),
    },
    "rclpy.qos_overriding_options": {"QoSOverridingOptions"},
    "rclpy.signals": {"SignalHandlerOptions"},
    "rclpy.subscription": {"Subscription"},
    "rclpy.time": {"Time"},
    "rclpy.timer": {"Timer"},
}
ATTRIBUTES = {
    *("Type", "context", "name", "nanoseconds", "node", "topic_name", "value"),
    *("add_node", "add_on_set_parameters_callback", "declare_parameter", "destroy_node", "has_parameter"),
    *("create_jump_callback", "create_publisher", "create_service", "create_subscription", "create_timer"),
    *("destroy_publisher", "destroy_subscription", "destroy_timer"),
    *("error", "info", "warn", "warning"),
    *("get_clock", "get_fully_qualified_name", "get_logger", "get_parameters_by_prefix", "get_subscription_count"),
    *("get_publishers_info_by_topic", "get_subscriptions_info_by_topic"),
    *("init", "now", "ok", "on_activate", "on_deactivate", "publish", "shutdown", "spin", "spin_once", "subscriptions"),
    *("to_msg", "trigger_activate", "trigger_configure", "try_shutdown"),
}
OWNERS = (rclpy, LifecycleNode, Publisher, Subscription, MultiThreadedExecutor, Clock, Context, Parameter, Time)
SYNTAX = [
    node
    for path in (Path(mambapose_ros.__file__).parent / "nodes").glob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
]


def test_every_import_from_rclpy_was_looked_up():
    froms = [node for node in SYNTAX if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rclpy")]
    assert froms
    for node in froms:
        assert {alias.name for alias in node.names} <= IMPORTED[node.module]


def test_every_attribute_that_rclpy_may_give_was_looked_up():
    given = {name for owner in (*OWNERS, RcutilsLogger) for name in dir(owner) if not name.startswith("_")}
    used = {node.attr for node in SYNTAX if isinstance(node, ast.Attribute)} & given
    assert used
    assert used <= ATTRIBUTES
