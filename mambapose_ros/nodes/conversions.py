"""Messages to this package's types and back."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from mambapose_ros.geometry import DISTORTION_COEFFICIENTS, Camera, CameraError
from mambapose_ros.image_encoding import ImageError, check_image, decode_compressed, decode_image
from mambapose_ros.msg import (
    Joint3D,
    Keypoint2D,
    PersonKeypointsArray,
    Skeleton,
    SkeletonArray,
)
from mambapose_ros.msg import (
    PersonKeypoints as PersonKeypointsMsg,
)
from mambapose_ros.skeleton import JOINT_NAMES, PARENTS
from mambapose_ros.types import PersonKeypoints, Skeleton3D

SCALE_SOURCES = {
    "none": Skeleton.SCALE_NONE,
    "bone_prior": Skeleton.SCALE_BONE_PRIOR,
    "learned": Skeleton.SCALE_LEARNED,
    "depth_sensor": Skeleton.SCALE_DEPTH_SENSOR,
    "ground_truth": Skeleton.SCALE_GROUND_TRUTH,
}

TRACKING_STATES = {
    "tentative": Skeleton.TRACKING_TENTATIVE,
    "tracked": Skeleton.TRACKING_TRACKED,
    "predicted": Skeleton.TRACKING_PREDICTED,
    "lost": Skeleton.TRACKING_LOST,
}

DEPTH_ENCODINGS = {"16UC1": "u2", "32FC1": "f4"}
"""Encodings of depth images (REP-118): millimetres, 0 = not measured; and metres, NaN = not measured."""


def stamp_to_ns(stamp: Time) -> int:
    """Nanoseconds since the clock's epoch."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def ns_to_stamp(ns: int) -> Time:
    """The message of these nanoseconds."""
    sec, nanosec = divmod(ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


class Seen(Protocol):
    """An image, or what is known of it."""

    stamp_ns: int
    frame_id: str
    camera: Camera


def frame_header(frame: Seen) -> Header:
    """The header of a result: its image's stamp and frame."""
    return Header(stamp=ns_to_stamp(frame.stamp_ns), frame_id=frame.frame_id)


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


def camera_from_info(message: CameraInfo) -> Camera:
    """Intrinsics.

    Raises:
        CameraError: when the message describes no camera (all-zero K, unknown distortion model, ...).
    """
    if not any(message.k):
        raise CameraError("expected calibrated intrinsics, got a CameraInfo whose K is all zero: calibrate the camera")
    return Camera(
        width=message.width,
        height=message.height,
        K=np.array(message.k),
        distortion_model=message.distortion_model or "plumb_bob",
        D=np.array(message.d),
    )


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
    camera = frame.camera
    return PersonKeypointsArray(
        header=frame_header(frame),
        image_width=camera.width,
        image_height=camera.height,
        joint_names=list(JOINT_NAMES),
        people=[
            PersonKeypointsMsg(
                id=person.id,
                confidence=float(person.confidence.mean()),
                roi=_roi(person, camera),
                keypoints=[
                    Keypoint2D(x=float(x), y=float(y), confidence=float(confidence))
                    for (x, y), confidence in zip(person.xy, person.confidence, strict=True)
                ],
            )
            for person in people
            if person.state != "lost"
        ],
    )


def keypoints_from_msg(message: PersonKeypointsArray) -> tuple[PersonKeypoints, ...]:
    """The people of a message.

    Raises:
        ValueError: when its joints are not Human3.6M-17.
    """
    if tuple(message.joint_names) != JOINT_NAMES:
        raise ValueError(f"expected joint_names {list(JOINT_NAMES)}, got {list(message.joint_names)}")
    people = []
    for person in message.people:
        values = np.array([(point.x, point.y, point.confidence) for point in person.keypoints])
        if values.shape != (len(JOINT_NAMES), 3):
            raise ValueError(f"expected {len(JOINT_NAMES)} keypoints of person {person.id!r}, got {len(values)}")
        people.append(PersonKeypoints(xy=values[:, :2], confidence=values[:, 2], id=person.id))
    return tuple(people)


def skeletons_to_msg(
    frame: Seen, skeletons: Sequence[Skeleton3D], people: Sequence[PersonKeypoints] = ()
) -> SkeletonArray:
    """The message of the people in space; ``people`` gives their regions in the image."""
    regions = {person.id: _roi(person, frame.camera) for person in people}
    return SkeletonArray(
        header=frame_header(frame),
        joint_names=list(JOINT_NAMES),
        parents=list(PARENTS),
        skeletons=[
            Skeleton(
                id=skeleton.id,
                tracking_state=TRACKING_STATES[skeleton.state],
                confidence=float(skeleton.confidence.mean()),
                scale_source=SCALE_SOURCES[skeleton.scale_source],
                intrinsics_assumed=frame.camera.assumed,
                roi=regions.get(skeleton.id, RegionOfInterest()),
                joints=[_joint(skeleton, index) for index in range(len(JOINT_NAMES))],
            )
            for skeleton in skeletons
        ],
    )


def _joint(skeleton: Skeleton3D, index: int) -> Joint3D:
    position, confidence = skeleton.joints[index], float(skeleton.confidence[index])
    velocity = np.full(3, np.nan) if skeleton.velocity is None else skeleton.velocity[index]
    joint = Joint3D(confidence=confidence)
    joint.position.x, joint.position.y, joint.position.z = (float(value) for value in position)
    joint.velocity.x, joint.velocity.y, joint.velocity.z = (float(value) for value in velocity)
    if skeleton.covariance is None or not np.isfinite(skeleton.covariance[index]).all():
        joint.covariance[0] = -1.0
    else:
        joint.covariance = skeleton.covariance[index].astype(np.float32).reshape(-1)
    if not np.isfinite(position).all():
        joint.state = Joint3D.STATE_MISSING
    else:
        joint.state = Joint3D.STATE_MEASURED if confidence > 0 else Joint3D.STATE_INFERRED
    return joint


def _roi(person: PersonKeypoints, camera: Camera) -> RegionOfInterest:
    """The person's box cut at the image's border; width 0 when nothing of it is inside."""
    x0, y0, x1, y1 = person.box
    if not math.isfinite(x0):
        return RegionOfInterest()
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    right, bottom = min(camera.width, math.ceil(x1) + 1), min(camera.height, math.ceil(y1) + 1)
    if right <= left or bottom <= top:
        return RegionOfInterest()
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)
