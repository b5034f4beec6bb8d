"""Quality of service of this package's topics (REP-2003), and who it keeps apart."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from mambapose_ros.errors import UserError

IMAGE_INPUT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Matches every camera driver, reliable or not; one deep, because only the newest image is of use."""

CAMERA_INFO_INPUT = qos_profile_sensor_data

PEOPLE_INPUT = qos_profile_sensor_data
"""Small messages of whatever node: every publisher matches, and the newest is worth more than all."""

IMAGE_OUTPUT = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
"""Reliable, so that RViz and image_view, which ask for it, connect."""

RESULT_OUTPUT = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)

_OVERRIDABLE = QoSOverridingOptions(  # rclpy's default ones and durability, for intrinsics that are published once
    (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
)

OVERRIDES = "qos_overrides."
"""What names of parameters begin with that change profiles."""

OVERRIDE_FORM = (
    f"{OVERRIDES}<full topic>.<publisher or subscription>.<history, depth, reliability or durability>, for example "
    f"{OVERRIDES}/camera/image_raw.subscription.reliability"
)
_OVERRIDE = re.compile(r"qos_overrides\./[^.]+\.(publisher|subscription)\.(history|depth|reliability|durability)")


def is_override(name: str) -> bool:
    """Whether a parameter of this name may change the profile of a topic (``OVERRIDE_FORM``)."""
    return _OVERRIDE.fullmatch(name) is not None


def create_subscription(
    node: Node,
    message_type: type,
    topic: str,
    callback: Callable[[Any], Any],
    profile: QoSProfile,
    callback_group: CallbackGroup,
) -> Subscription:
    """A subscription whose profile the node's parameters ``qos_overrides.<topic>.subscription.*`` change.

    Raises:
        UserError: when they have values that are not allowed.
    """
    with _explained(topic):
        return node.create_subscription(
            message_type,
            topic,
            callback,
            _copied(profile),
            callback_group=callback_group,
            qos_overriding_options=_OVERRIDABLE,
        )


def create_publisher(node: Node, message_type: type, topic: str, profile: QoSProfile) -> Publisher:
    """A publisher whose profile the node's parameters ``qos_overrides.<topic>.publisher.*`` change.

    Raises:
        UserError: when they have values that are not allowed.
    """
    with _explained(topic):
        return node.create_publisher(message_type, topic, _copied(profile), qos_overriding_options=_OVERRIDABLE)


@contextmanager
def _explained(topic: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # rclpy raises several unrelated types here
        raise UserError(f"qos_overrides of {topic}: {error}; expected for example reliability: reliable") from error


def _copied(profile: QoSProfile) -> QoSProfile:
    return copy.copy(profile)  # rclpy writes overrides into the profile that it is given


def cut_off_publishers(node: Node, subscription: Subscription) -> list[str]:
    """Who publishes to a subscription's topic and is not heard, and why."""
    publishers, subscribers = _endpoints(node, subscription.topic_name)
    return [
        f"{subscription.topic_name}: {_full_name(other)} publishes it and is not heard: {reason}"
        for ours in _of(node, subscribers)
        for other in publishers
        if (reason := _mismatch(other, ours, other=other, ours=ours))
    ]


def cut_off_subscribers(node: Node, publisher: Publisher) -> list[str]:
    """Who subscribes to a publisher's topic and hears nothing, and why."""
    publishers, subscribers = _endpoints(node, publisher.topic_name)
    return [
        f"{publisher.topic_name}: {_full_name(other)} subscribes to it and hears nothing: {reason}"
        for ours in _of(node, publishers)
        for other in subscribers
        if (reason := _mismatch(ours, other, other=other, ours=ours))
    ]


def _endpoints(node: Node, topic: str) -> tuple[list, list]:
    return node.get_publishers_info_by_topic(topic), node.get_subscriptions_info_by_topic(topic)


def _of(node: Node, infos: list) -> list:
    """The endpoint of a node itself: as the graph knows it, with what its profile leaves to the middleware."""
    return [info for info in infos if _full_name(info) == node.get_fully_qualified_name()][:1]


def _mismatch(publisher: Any, subscription: Any, *, other: Any, ours: Any) -> str:
    """Why an endpoint of the same topic does not connect to ours; empty when it does."""
    if other.topic_type != ours.topic_type:
        return f"its type is {other.topic_type}, expected {ours.topic_type}"
    compatibility, reason = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
    return reason.strip("; ") if compatibility == QoSCompatibility.ERROR else ""


def _full_name(info: Any) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
