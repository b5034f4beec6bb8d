"""Where people in space go: messages and TF."""

from __future__ import annotations

from typing import Any

from rclpy.qos import QoSProfile

from mambapose_ros.msg import SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import skeletons_to_msg
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.processing_node import ProcessingNode
from mambapose_ros.nodes.transforms import (
    TransformError,
    TransformListener,
    body_transforms,
    in_frame,
    tf_message_type,
)
from mambapose_ros.types import LiftedFrame

SKELETON_PARAMETERS = (
    ParameterSpec(
        "publish_tf", True, "a frame body_<id> per person in TF; whoever listens to TF keeps the node at work"
    ),
    ParameterSpec("tf_joints", False, "in TF also a frame body_<id>_<joint> per joint"),
    ParameterSpec("target_frame", "", "frame of skeletons, by TF; empty = the camera's optical frame"),
    ParameterSpec(
        "transform_timeout", 0.1, "seconds that skeletons wait for the transform to target_frame", range=(0.0, 1.0)
    ),
)


class SkeletonOutput:
    """Publishes ``skeletons`` and TF for a node whose parameters include ``SKELETON_PARAMETERS``.

    Args:
        node: to publish with.
        prefix: of the topics, for a node that has several such outputs.

    Attributes:
        problem: why the last skeletons were not published; empty when they were.
    """

    def __init__(self, node: ProcessingNode, prefix: str = "") -> None:
        self.problem = ""
        self._node = node
        self._listener: TransformListener | None = None
        self._placed: dict[str, str] = {}
        self._skeletons_output = node.create_output(SkeletonArray, f"{prefix}skeletons", qos.RESULT_OUTPUT)
        self._tf_type = tf_message_type() if node.parameters["publish_tf"] else None
        self._tf_output = node.create_output(self._tf_type, "/tf", QoSProfile(depth=100)) if self._tf_type else None

    def load(self) -> None:
        """Listen to TF where that is needed.

        Raises:
            UserError: when tf2_ros is needed and not installed.
        """
        if self._node.parameters["publish_tf"] and self._tf_type is None:
            self._node.get_logger().info("no TF: tf2_msgs is not installed (ros-$ROS_DISTRO-tf2-msgs)")
        if self._node.parameters["target_frame"]:
            self._listener = TransformListener(self._node)

    def unload(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def forget_transforms(self) -> None:
        """Time ran backwards: what TF said lies ahead."""
        if self._listener is not None:
            self._listener.clear()

    def publish(self, lifted: LiftedFrame) -> SkeletonArray | None:
        """Tell of the people of one image; returns the message, None when there is none for want of a transform."""
        self._placed = {s.id: s.scale_source for s in lifted.skeletons if s.state != "lost"}
        if self._tf_output is not None:
            transforms = body_transforms(lifted, self._node.parameters["tf_joints"])
            self._tf_output.publish(self._tf_type(transforms=transforms))
        try:
            lifted, self.problem = self._in_target_frame(lifted), ""
        except TransformError as error:
            self.problem = str(error)
            self._node.warn("no transform", f"skeletons not published: {error}")
            return None
        message = skeletons_to_msg(lifted, lifted.skeletons, lifted.keypoints)
        self._skeletons_output.publish(message)
        return message

    def _in_target_frame(self, lifted: LiftedFrame) -> LiftedFrame:
        if self._listener is None:
            return lifted
        target, timeout_s = self._node.parameters["target_frame"], self._node.parameters["transform_timeout"]
        transform = self._listener.lookup(target, lifted.frame_id, lifted.stamp_ns, timeout_s)
        return in_frame(lifted, target, transform)

    def figures(self) -> dict[str, Any]:
        """People in space, and where their metres come from."""
        return {"skeletons": len(self._placed), "scale_source": ", ".join(sorted(set(self._placed.values())))}
