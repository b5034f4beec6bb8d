"""Messages to this package's types and back."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mambapose_ros import messages
from mambapose_ros.geometry import DISTORTION_COEFFICIENTS, Camera
from mambapose_ros.image_encoding import ImageError, check_image, decode_compressed, decode_image
from mambapose_ros.messages import Seen
from mambapose_ros.messages import stamp_to_ns as stamp_to_ns  # needs no class, and is the same here
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from mambapose_ros.nodes.message_types import MESSAGE_TYPES
from mambapose_ros.skeleton import COCO_NAMES, JOINT_NAMES, coco_to_h36m
from mambapose_ros.types import PersonKeypoints, Skeleton3D

DEPTH_ENCODINGS = {"16UC1": "u2", "32FC1": "f4"}
"""Encodings of depth images (REP-118): millimetres, 0 = not measured; and metres, NaN = not measured."""


def ns_to_stamp(ns: int) -> Time:
    """The message of these nanoseconds."""
    sec, nanosec = divmod(ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def frame_header(frame: Seen) -> Header:
    """The header of a result: its image's stamp and frame."""
    return messages.frame_header(MESSAGE_TYPES, frame)


def image_to_rgb(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB; by cv_bridge where it is installed and can, else by this package, with the same pixels.

    Raises:
        ImageError: when the message is no image.
    """
    # Before cv_bridge, which returns other images, or none, for messages that contradict themselves.
    layout = check_image(len(message.data), message.encoding, message.width, message.height, message.step)
    bridge = _cv_bridge()
    # cv_bridge has no colours for 8UC*, shears rows that are padded by part of a pixel, and takes no flag but 0 or 1.
    whole_pixels = message.step % layout.pixel_bytes == 0
    if bridge is None or message.encoding.startswith("8UC") or not whole_pixels or message.is_bigendian > 1:
        return _decode(message)
    try:
        return bridge.imgmsg_to_cv2(message, "rgb8")
    except Exception:  # an older cv_bridge does not know every encoding, and fails with what its C++ part throws
        return _decode(message)


def _decode(message: Image) -> np.ndarray:
    return decode_image(
        message.data,
        encoding=message.encoding,
        width=message.width,
        height=message.height,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


@functools.cache
def _cv_bridge() -> Any:
    """ROS's CvBridge, or None: not installed, built for another numpy, or the unrelated PyPI package of that name."""
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        probe = Image(height=1, width=1, encoding="bgr8", step=3, data=bytes((1, 2, 3)))
        if bridge.imgmsg_to_cv2(probe, "rgb8").tolist() == [[[3, 2, 1]]]:
            return bridge
    except Exception:  # a cv_bridge for another numpy fails with whatever its C++ part throws
        pass
    return None


def compressed_to_rgb(message: CompressedImage) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Raises:
        ImageError: when the message is no image.
    """
    return decode_compressed(message.data, message.format)


def depth_to_metres(message: Image) -> np.ndarray:
    """(H, W) float32 metres of a depth image (REP-118); NaN = not measured.

    Raises:
        ImageError: when the message is no depth image.
    """
    if message.encoding not in DEPTH_ENCODINGS:
        raise ImageError(
            "unknown encoding",
            f"expected a depth image as {' (mm) or '.join(DEPTH_ENCODINGS)} (m), got {message.encoding!r}",
        )
    dtype = np.dtype(DEPTH_ENCODINGS[message.encoding]).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    if not (height and width):
        raise ImageError("empty image", f"expected at least one pixel, got {width}x{height}")
    if step < width * dtype.itemsize:
        raise ImageError("wrong step", f"expected a step of {width * dtype.itemsize} bytes or more, got {step}")
    if len(message.data) < height * step:
        raise ImageError("truncated data", f"expected {height * step} bytes, got {len(message.data)}")
    rows = np.frombuffer(message.data, np.uint8, height * step).reshape(height, step)[:, : width * dtype.itemsize]
    values = np.ascontiguousarray(rows).view(dtype)
    metres = values.astype(np.float32) * np.float32(1e-3 if dtype.kind == "u" else 1.0)
    metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres


def rgb_to_image(image: np.ndarray, header: Header) -> Image:
    """Message of an image (H, W, 3) uint8 RGB."""
    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    # Through the array's own buffer: assigning bytes or lists checks every element.
    message.data.frombytes(np.ascontiguousarray(image).data)
    return message


def rgb_to_compressed(image: np.ndarray, header: Header, quality: int = 90) -> CompressedImage:
    """JPEG message of an image (H, W, 3) uint8 RGB."""
    import cv2

    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(encoded.tobytes())
    return message


def camera_to_info(camera: Camera, header: Header) -> CameraInfo:
    """The message of a camera that is not rectified and not stereo."""
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.K
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model,
        d=camera.D.tolist() or [0.0] * DISTORTION_COEFFICIENTS[camera.distortion_model][-1],
        k=camera.K.reshape(-1).tolist(),
        r=np.eye(3).reshape(-1).tolist(),
        p=projection.reshape(-1).tolist(),
    )


def keypoints_to_msg(frame: Seen, people: Sequence[PersonKeypoints]) -> PersonKeypointsArray:
    """The message of the people in an image; those who are lost are not in it."""
    return messages.keypoints_message(MESSAGE_TYPES, frame, people)


def keypoints_from_msg(message: PersonKeypointsArray) -> tuple[PersonKeypoints, ...]:
    """The people of a message, as Human3.6M-17 joints; a keypoint that is no number is missing.

    Raises:
        ValueError: when its joints are neither Human3.6M-17 nor COCO-17.
    """
    names = tuple(message.joint_names)
    if names not in (JOINT_NAMES, COCO_NAMES):
        raise ValueError(
            f"expected joint_names {list(JOINT_NAMES)}, or those of COCO, {list(COCO_NAMES)}, got {list(names)}"
        )
    people = []
    for person in message.people:
        values = np.array([(point.x, point.y, point.confidence) for point in person.keypoints])
        if values.shape != (len(names), 3):
            raise ValueError(f"expected {len(names)} keypoints of person {person.id!r}, got {len(values)}")
        there = np.isfinite(values).all(axis=1)
        xy = np.where(there[:, None], values[:, :2], np.nan)
        confidence = np.where(there, values[:, 2].clip(0.0, 1.0), 0.0)
        if names == COCO_NAMES:
            xy, confidence = coco_to_h36m(xy, confidence)
        people.append(PersonKeypoints(xy=xy, confidence=confidence, id=person.id))
    return tuple(people)


def skeletons_to_msg(
    frame: Seen, skeletons: Sequence[Skeleton3D], people: Sequence[PersonKeypoints] = ()
) -> SkeletonArray:
    """The message of the people in space; ``people`` gives their regions in the image."""
    return messages.skeletons_message(MESSAGE_TYPES, frame, skeletons, people)
