"""People as frames of the TF tree, and their skeletons in frames other than the camera's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from mambapose_ros.body_frames import body_rotation, joint_rotations, quaternion, rotation_of
from mambapose_ros.errors import UserError
from mambapose_ros.nodes.conversions import frame_header, stamp_to_ns
from mambapose_ros.skeleton import JOINT_NAMES
from mambapose_ros.types import LiftedFrame, Skeleton3D

BODY_FRAME = "body_"
"""What the frame of somebody begins with (REP-155); the id follows."""

# Not whatever begins so: a robot may well have a body_link or a body_clamp1. Ids end as the tracker makes them.
_FRAME_OF_SOMEBODY = re.compile(rf"{BODY_FRAME}(\w+_)?p[0-9]+(_({'|'.join(JOINT_NAMES)}))?")

_JITTER_NS = 1_000_000_000  # stamps of one frame in TF that lie further back are of a time that was set back


class TransformError(Exception):
    """A transform that is not known, or not at that time; the message says why."""


def tf_message_type() -> type | None:
    """``tf2_msgs/TFMessage``, or None where that package is not installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    return TFMessage


def body_transforms(lifted: LiftedFrame, with_joints: bool) -> list[TransformStamped]:
    """Where people are and how they are turned, in the frame that they were seen in, at the time of that image.

    ``body_<id>`` lies between the hips, x out of the body and z toward the head (REP-155);
    ``body_<id>_<joint name>`` at each joint (``body_frames.joint_rotations``).

    Args:
        lifted: the people. Those who were lost, or have no metric scale, have no frame, nor does a joint whose place
            or turn is not known.
        with_joints: whether joints have frames too.
    """
    header = frame_header(lifted)
    return [
        TransformStamped(header=header, child_frame_id=name, transform=_to_transform(rotation, position))
        for person in lifted.skeletons
        if person.state != "lost" and person.scale_source != "none"
        for name, rotation, position in _frames(person, with_joints)
        if np.isfinite(rotation).all() and np.isfinite(position).all()
    ]


def _frames(person: Skeleton3D, with_joints: bool) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
    yield f"{BODY_FRAME}{person.id}", body_rotation(person.joints), person.joints[0]
    if with_joints:
        rotations = joint_rotations(person.joints)
        names = (f"{BODY_FRAME}{person.id}_{joint}" for joint in JOINT_NAMES)
        yield from zip(names, rotations, person.joints, strict=True)


def _to_transform(rotation: np.ndarray, position: np.ndarray) -> Transform:
    x, y, z = (float(v) for v in position)
    qx, qy, qz, qw = (float(v) for v in quaternion(rotation))
    return Transform(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def in_frame(lifted: LiftedFrame, frame_id: str, transform: Transform) -> LiftedFrame:
    """The same people in another frame.

    Args:
        lifted: in its camera's optical frame.
        frame_id: of the other frame.
        transform: of the camera's frame in the other one. Velocities are turned and stay relative to the camera.
    """
    q, t = transform.rotation, transform.translation
    R = rotation_of(np.array([q.x, q.y, q.z, q.w]))
    skeletons = tuple(_moved(person, R, np.array([t.x, t.y, t.z])) for person in lifted.skeletons)
    return replace(lifted, frame_id=frame_id, skeletons=skeletons)


def _moved(person: Skeleton3D, R: np.ndarray, t: np.ndarray) -> Skeleton3D:
    return replace(
        person,
        joints=person.joints @ R.T + t,
        velocity=None if person.velocity is None else person.velocity @ R.T,
        covariance=None if person.covariance is None else R @ person.covariance @ R.T,
    )


class TransformListener:
    """What the TF tree says, by tf2_ros; of people's frames it hears nothing.

    Args:
        node: to subscribe with; an executor has to spin it.

    Raises:
        UserError: when tf2_ros is not installed.
    """

    def __init__(self, node: Node) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise UserError(
                f"target_frame needs tf2_ros, and it does not load ({error}): install ros-$ROS_DISTRO-tf2-ros-py, or "
                "leave target_frame empty"
            ) from error
        self._buffer: Any = tf2_ros.Buffer()
        self._heard = _Heard(self._buffer)
        self._listener: Any = tf2_ros.TransformListener(self._heard, node)
        # Also while no image is worked on: what lies ahead would keep what comes out of the buffer.
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._jumps = node.get_clock().create_jump_callback(backwards, post_callback=lambda jump: self._heard.clear())

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Transform:
        """The transform of ``source`` in ``target`` at that time, waited for; not for the executor's thread.

        Raises:
            TransformError: when it does not come in time, or never will.
        """
        time, timeout = Time(nanoseconds=stamp_ns), Duration(seconds=timeout_s)
        try:
            return self._buffer.lookup_transform(target, source, time, timeout).transform
        except Exception as error:  # tf2's exceptions, whose base class moved between distributions
            raise TransformError(f"no transform from {source} to {target} at the image's stamp: {error}") from error

    def stamps_ran_backwards(self) -> None:
        """Those of images did: what was heard of frames that move is forgotten, as soon as TF runs backwards too."""
        self._heard.doubted = True

    def close(self) -> None:
        """Stop listening."""
        self._jumps.unregister()
        self._listener.unregister()


class _Heard:
    """The buffer, as tf2's listener sees it: all of its versions hand it each transform by these two methods.

    People's frames are kept out. tf2 never removes one, and who comes gets a new one: it would grow for ever.

    Attributes:
        doubted: whether time may have been set back. Then what is in the buffer lies ahead, and tf2 refuses what is
            ten seconds older. One camera's jitter is not enough, as other cameras' skeletons would miss their
            transforms: TF has to go back as well.
    """

    def __init__(self, buffer: Any) -> None:
        self.doubted = False
        self._buffer = buffer
        self._newest_ns: dict[str, int] = {}  # of each frame that moves

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """One of a frame that moves."""
        name, stamp_ns = transform.child_frame_id, stamp_to_ns(transform.header.stamp)
        if _FRAME_OF_SOMEBODY.fullmatch(name):
            return
        if self.doubted and self._newest_ns.get(name, stamp_ns) - stamp_ns > _JITTER_NS:
            self.clear()
        self._newest_ns[name] = max(stamp_ns, self._newest_ns.get(name, stamp_ns))
        self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """One of a frame that does not."""
        self._buffer.set_transform_static(transform, authority)

    def clear(self) -> None:
        """Forget what was heard of frames that move; what comes may be older."""
        self.doubted = False
        self._newest_ns.clear()
        self._buffer.clear()
