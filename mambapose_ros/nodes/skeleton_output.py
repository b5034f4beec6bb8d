"""Where people in space go: messages and TF."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.qos import QoSProfile

from mambapose_ros.msg import SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import skeletons_to_msg
from mambapose_ros.nodes.humans import BODY_ID
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
        "id_prefix",
        "",
        "what people's ids begin with; in TF, robots and cameras want different ones",
        pattern=f"({BODY_ID}_?)?",
        form="letters, digits and single _, a letter first, for example front_",
    ),
    ParameterSpec(
        "publish_tf", True, "a frame body_<id> per person in TF; whoever listens to TF keeps the node at work"
    ),
    ParameterSpec("tf_joints", False, "in TF also a frame body_<id>_<joint> per joint"),
    ParameterSpec("target_frame", "", "frame of skeletons, by TF; empty = the camera's optical frame"),
    ParameterSpec(
        "transform_timeout", 0.1, "seconds that skeletons wait for the transform to target_frame", range=(0.0, 1.0)
    ),
)


def listen_to_transforms(node: ProcessingNode) -> TransformListener | None:
    """What listens to TF for all of a node's outputs, where ``target_frame`` asks for it.

    Raises:
        UserError: when tf2_ros is needed and not installed.
    """
    if node.parameters["publish_tf"] and tf_message_type() is None:
        node.get_logger().info("no TF: tf2_msgs is not installed (ros-$ROS_DISTRO-tf2-msgs)")
    return TransformListener(node) if node.parameters["target_frame"] else None


class SkeletonOutput:
    """Publishes ``skeletons`` and TF for a node whose parameters include ``SKELETON_PARAMETERS``.

    With a ``target_frame``, skeletons wait for their transform in a thread of their own, in order and each up to
    ``transform_timeout``: who gave them goes on meanwhile.

    Args:
        node: to publish with.
        prefix: of the topics, for a node that has several such outputs.
        published: takes each message that was published, in whichever thread.
    """

    def __init__(
        self,
        node: ProcessingNode,
        prefix: str = "",
        published: Callable[[SkeletonArray], None] = lambda message: None,
    ) -> None:
        self._problem = ""  # why the last skeletons were not published; empty when they were
        self._frame_known = True
        self._node, self._published = node, published
        self._listener: TransformListener | None = None
        self._waiting: ThreadPoolExecutor | None = None
        self._placed: dict[str, str] = {}
        self._skeletons_output = node.create_output(SkeletonArray, f"{prefix}skeletons", qos.RESULT_OUTPUT)
        # Without weights there is nobody in space, and whoever listens to TF does not keep the node at work.
        has_frames = node.parameters["publish_tf"] and node.parameters["weights"]
        self._tf_type = tf_message_type() if has_frames else None
        self._tf_output = node.create_output(self._tf_type, "/tf", QoSProfile(depth=100)) if self._tf_type else None

    def load(self, transforms: TransformListener | None) -> None:
        """Publish from now on by these transforms (``listen_to_transforms``)."""
        self._listener = transforms
        if transforms is not None:
            self._waiting = ThreadPoolExecutor(1, "transforms")
            self._node.heard_by_itself.add(self._tf_output)

    def unload(self) -> None:
        """What still waits for a transform is not published."""
        if self._waiting is not None:
            self._waiting.shutdown(cancel_futures=True)
            self._waiting = None
            self._node.heard_by_itself.discard(self._tf_output)
        self._listener = None

    @property
    def wanted(self) -> bool:
        """Whether somebody listens to skeletons or TF."""
        outputs = (self._skeletons_output, self._tf_output)
        return any(output is not None and self._node.is_heard(output) for output in outputs)

    def stamps_ran_backwards(self) -> None:
        """Those of images did: what TF said lies ahead, unless it was one camera's jitter."""
        if self._listener is not None:
            self._listener.stamps_ran_backwards()

    def publish(self, lifted: LiftedFrame | None) -> None:
        """Tell of the people of one image; None = they were not lifted."""
        if lifted is None:
            self._placed = {}
            return
        self._placed = {s.id: s.scale_source for s in lifted.skeletons if s.state != "lost"}
        for person, problem in lifted.unplaced.items():
            self._node.warn("no place", f"{person} has no skeleton: {problem}")
        self._frame_known = bool(lifted.frame_id)
        if self._tf_output is not None and self._frame_known:
            transforms = body_transforms(lifted, self._node.parameters["tf_joints"])
            self._tf_output.publish(self._tf_type(transforms=transforms))
        if self._waiting is None:
            self._publish_message(lifted)
        else:
            deadline_s = time.monotonic() + self._node.parameters["transform_timeout"]
            self._waiting.submit(self._publish_in_target_frame, lifted, deadline_s)

    def _publish_in_target_frame(self, lifted: LiftedFrame, deadline_s: float) -> None:
        target = self._node.parameters["target_frame"]
        try:
            left_s = max(0.0, deadline_s - time.monotonic())
            transform = self._listener.lookup(target, lifted.frame_id, lifted.stamp_ns, left_s)
            if self._node.active:
                self._publish_message(in_frame(lifted, target, transform))
            self._problem = ""
        except TransformError as error:
            self._problem = str(error)
            self._node.warn("no transform", f"skeletons not published: {error}")
        except Exception as error:  # nobody looks at what this thread raises
            if self._node.context.ok():
                self._node.warn("publishing", f"skeletons not published: {error!r}")

    def _publish_message(self, lifted: LiftedFrame) -> None:
        message = skeletons_to_msg(lifted, lifted.skeletons, lifted.keypoints)
        self._skeletons_output.publish(message)
        self._published(message)

    def problems(self) -> list[str]:
        """What keeps skeletons from being published, or from being used."""
        problems = [f"skeletons not published: {self._problem}"] if self._problem else []
        if not self._frame_known:
            problems.append(
                "images have no frame_id, so nobody knows where skeletons are: set it in the camera's driver"
            )
        return problems

    def figures(self) -> dict[str, Any]:
        """People in space, and where their metres come from."""
        return {"skeletons": len(self._placed), "scale_source": ", ".join(sorted(set(self._placed.values())))}
