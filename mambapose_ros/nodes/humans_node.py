"""People for robots that speak REP-155 (ROS4HRI), all of them from one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from mambapose_ros.msg import PersonKeypointsArray, Skeleton, SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import keypoints_from_msg, stamp_to_ns
from mambapose_ros.nodes.humans import hri_messages, is_body_id, normalized_region, openpose_points, skeleton2d
from mambapose_ros.nodes.managed_node import MANAGED_PARAMETERS
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.relay_node import RelayNode
from mambapose_ros.nodes.spin import spin_node, steady_timer

PARAMETERS = (
    *MANAGED_PARAMETERS,
    ParameterSpec(
        "timeout", 1.0, "seconds without skeletons until everybody has left", range=(0.1, 60.0), changeable=True
    ),
)

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Listeners subscribe to a body once they have read of it: what was said last is kept for them."""

SILENCE_PERIOD_S = 0.1
"""How often to look whether skeletons have stopped."""

PRESENT = (Skeleton.TRACKING_TRACKED, Skeleton.TRACKING_PREDICTED)


class HumansNode(RelayNode):
    """Subscribes ``skeletons``, who is there, and ``keypoints``, where in the image; publishes
    /humans/bodies/tracked and, for each body, /humans/bodies/<id>/roi and /humans/bodies/<id>/skeleton2d.

    The frame ``body_<id>`` that REP-155 asks for, with the same id, is in TF already: the nodes that lift publish it.
    """

    expects = "skeletons"

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("humans_node", PARAMETERS, **node_arguments)
        self._messages: Any = None
        self._tracked_output: Publisher | None = None
        self._bodies: dict[str, _Body] = {}
        self._silence_timer: Any = None
        self._last_heard = 0.0
        self._refused: list[str] = []

    def load(self) -> None:
        """Find hri_msgs."""
        self._messages = hri_messages()
        self._tracked_output = self.create_output(self._messages.IdsList, "/humans/bodies/tracked", NEWEST)

    def unload(self) -> None:
        """Take the list back."""
        if self._tracked_output is not None:
            self.destroy_output(self._tracked_output)
            self._tracked_output = None

    def resting(self) -> str:
        """Whether nobody listens to the list, nor to a body."""
        bodies = (output for body in self._bodies.values() for output in (body.roi, body.skeleton2d))
        return "" if any(output.get_subscription_count() for output in bodies) else super().resting()

    def open_inputs(self) -> None:
        """Subscribe people in space and in the image."""
        self.create_input(SkeletonArray, "skeletons", self._on_skeletons, qos.PEOPLE_INPUT)
        self.create_input(PersonKeypointsArray, "keypoints", self._on_keypoints, qos.PEOPLE_INPUT)
        self._silence_timer = steady_timer(self, SILENCE_PERIOD_S, self._look_for_silence, self.traffic)

    def inputs_closed(self) -> None:
        """Nobody is known to be there any more."""
        self.destroy_timer(self._silence_timer)
        if self.context.ok():
            self._follow([], self._header_of_now())

    def _look_for_silence(self) -> None:
        if self._bodies and time.monotonic() - self._last_heard > self.parameters["timeout"]:
            self._follow([], self._header_of_now())

    def _header_of_now(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg())

    def _on_skeletons(self, message: SkeletonArray) -> None:
        self._last_heard = time.monotonic()
        self.statistics.record_received()
        present = [person.id for person in message.skeletons if person.tracking_state in PRESENT]
        self._refused = [name for name in present if not is_body_id(name)]
        for problem in self.problems():
            self.warn("id", problem)
        self._follow([name for name in present if is_body_id(name)], message.header)
        self.record_result(stamp_to_ns(message.header.stamp), {})

    def problems(self) -> list[str]:
        """People whose ids cannot be part of topics."""
        if not self._refused:
            return []
        return [f"left out {self._refused}: expected letters, digits and single _, a letter first"]

    def _follow(self, ids: Sequence[str], header: Header) -> None:
        """Have topics for these people and no others, and say who they are."""
        for name in set(self._bodies) - set(ids):
            body = self._bodies.pop(name)
            self.destroy_publisher(body.roi)
            self.destroy_publisher(body.skeleton2d)
        for name in set(ids) - set(self._bodies):
            self._bodies[name] = self._make_body(name)
        self._tracked_output.publish(self._messages.IdsList(header=header, ids=list(ids)))

    def _make_body(self, name: str) -> _Body:
        topic, messages = f"/humans/bodies/{name}", self._messages
        return _Body(
            roi=self.create_publisher(messages.NormalizedRegionOfInterest2D, f"{topic}/roi", NEWEST),
            skeleton2d=self.create_publisher(messages.Skeleton2D, f"{topic}/skeleton2d", NEWEST),
        )

    def _on_keypoints(self, message: PersonKeypointsArray) -> None:
        width, height = message.image_width, message.image_height
        try:
            people = keypoints_from_msg(message)
            if not (width and height):
                raise ValueError("expected the image's size, got 0")
        except ValueError as error:
            self.statistics.record_dropped("contradictory keypoints")
            self.warn("contradictory message", f"keypoints not published: {error}")
            return
        for person, told in zip(people, message.people, strict=True):
            body = self._bodies.get(person.id)
            if body is None:
                continue
            points = openpose_points(person.xy, person.confidence, width, height)
            body.skeleton2d.publish(skeleton2d(self._messages, message.header, points))
            if told.roi.width:
                region = normalized_region(self._messages, message.header, told.roi, told.confidence, width, height)
                body.roi.publish(region)


@dataclass(frozen=True)
class _Body:
    """Where one body is published."""

    roi: Publisher
    skeleton2d: Publisher


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(HumansNode)
