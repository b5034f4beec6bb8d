"""Results as this package's messages, made of whatever library's classes: rclpy's, or those that bags are written with.

Arguments named ``types`` have the classes of messages as attributes (``types.Skeleton``). The classes take fields by
name and fill in the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mambapose_ros.geometry import Camera, CameraError
from mambapose_ros.skeleton import JOINT_NAMES, PARENTS
from mambapose_ros.types import PersonKeypoints, Skeleton3D


class Seen(Protocol):
    """An image, or what is known of it."""

    @property
    def stamp_ns(self) -> int: ...

    @property
    def frame_id(self) -> str: ...

    @property
    def camera(self) -> Camera: ...


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds since the clock's epoch of a builtin_interfaces/Time."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_header(types: Any, frame: Seen) -> Any:
    """The header of a result: its image's stamp and frame."""
    sec, nanosec = divmod(frame.stamp_ns, 1_000_000_000)
    return types.Header(stamp=types.Time(sec=sec, nanosec=nanosec), frame_id=frame.frame_id)


def is_rectified(image_topic: str) -> bool:
    """Whether a topic has rectified images, by the names that image_proc gives them: image_rect, image_rect_color."""
    return "rect" in image_topic.removesuffix("/compressed").rpartition("/")[2].split("_")


def camera_from_info(message: Any, rectified: bool = False) -> Camera:
    """Intrinsics of a sensor_msgs/CameraInfo.

    Args:
        message: as published beside a camera's raw and rectified images alike.
        rectified: of its rectified images, which P describes, instead of the raw ones, which K and D do.

    Raises:
        CameraError: when the message describes no camera (all-zero K, unknown distortion model, ...).
    """
    if rectified:
        P = np.array(message.p).reshape(3, 4)
        if not P.any():
            raise CameraError(
                "expected the P of rectified images, got a CameraInfo whose P is all zero: calibrate the camera, or "
                "use its raw images"
            )
        return Camera(width=message.width, height=message.height, K=P[:, :3])
    if not any(message.k):
        raise CameraError("expected calibrated intrinsics, got a CameraInfo whose K is all zero: calibrate the camera")
    return Camera(
        width=message.width,
        height=message.height,
        K=np.array(message.k),
        distortion_model=message.distortion_model or "plumb_bob",
        D=np.array(message.d),
    )


def keypoints_message(types: Any, frame: Seen, people: Sequence[PersonKeypoints]) -> Any:
    """PersonKeypointsArray of the people in an image; those who are lost are not in it."""
    camera = frame.camera
    return types.PersonKeypointsArray(
        header=frame_header(types, frame),
        image_width=camera.width,
        image_height=camera.height,
        joint_names=list(JOINT_NAMES),
        people=[
            types.PersonKeypoints(
                id=person.id,
                confidence=float(person.confidence.mean()),
                roi=_region(types, person, camera),
                keypoints=[
                    types.Keypoint2D(x=float(x), y=float(y), confidence=float(confidence))
                    for (x, y), confidence in zip(person.xy, person.confidence, strict=True)
                ],
            )
            for person in people
            if person.state != "lost"
        ],
    )


def skeletons_message(
    types: Any, frame: Seen, skeletons: Sequence[Skeleton3D], people: Sequence[PersonKeypoints] = ()
) -> Any:
    """SkeletonArray of the people in space; ``people`` gives their regions in the image."""
    regions = {person.id: _region(types, person, frame.camera) for person in people}
    return types.SkeletonArray(
        header=frame_header(types, frame),
        joint_names=list(JOINT_NAMES),
        parents=list(PARENTS),
        skeletons=[
            types.Skeleton(
                id=skeleton.id,
                tracking_state=getattr(types.Skeleton, f"TRACKING_{skeleton.state.upper()}"),
                confidence=float(skeleton.confidence.mean()),
                scale_source=getattr(types.Skeleton, f"SCALE_{skeleton.scale_source.upper()}"),
                intrinsics_assumed=frame.camera.assumed,
                roi=regions.get(skeleton.id, types.RegionOfInterest()),
                joints=[_joint(types, skeleton, index) for index in range(len(JOINT_NAMES))],
            )
            for skeleton in skeletons
        ],
    )


def _joint(types: Any, skeleton: Skeleton3D, index: int) -> Any:
    position, confidence = skeleton.joints[index], float(skeleton.confidence[index])
    velocity = np.full(3, np.nan) if skeleton.velocity is None else skeleton.velocity[index]
    joint = types.Joint3D(confidence=confidence)
    joint.position.x, joint.position.y, joint.position.z = (float(value) for value in position)
    joint.velocity.x, joint.velocity.y, joint.velocity.z = (float(value) for value in velocity)
    if skeleton.covariance is None or not np.isfinite(skeleton.covariance[index]).all():
        joint.covariance[0] = -1.0
    else:
        joint.covariance = skeleton.covariance[index].astype(np.float32).reshape(-1)
    if not np.isfinite(position).all():
        joint.state = types.Joint3D.STATE_MISSING
    else:
        joint.state = types.Joint3D.STATE_MEASURED if confidence > 0 else types.Joint3D.STATE_INFERRED
    return joint


def _region(types: Any, person: PersonKeypoints, camera: Camera) -> Any:
    """The person's box cut at the image's border; width 0 when nothing of it is inside."""
    x0, y0, x1, y1 = person.box
    if not math.isfinite(x0):
        return types.RegionOfInterest()
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    right, bottom = min(camera.width, math.ceil(x1) + 1), min(camera.height, math.ceil(y1) + 1)
    if right <= left or bottom <= top:
        return types.RegionOfInterest()
    return types.RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)
