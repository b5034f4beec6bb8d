"""A camera made of a video file, a webcam, a folder of pictures or a synthetic person."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mambapose_ros.errors import UserError
from mambapose_ros.geometry import load_camera
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import (
    camera_to_info,
    frame_header,
    keypoints_to_msg,
    rgb_to_compressed,
    rgb_to_image,
    skeletons_to_msg,
)
from mambapose_ros.nodes.parameters import ParameterError, ParameterSpec, declare_parameters
from mambapose_ros.nodes.spin import spin_node
from mambapose_ros.sources import SourceError, SourceFrame, SourceOptions, open_source
from mambapose_ros.types import Frame, PersonKeypoints, Skeleton3D

PARAMETERS = (
    ParameterSpec("source", "synthetic:walk", "video file, picture folder, webcam index, or synthetic[:MOTION]"),
    ParameterSpec(
        "rate",
        0.0,
        "images per second, 0 = the source's own; changed while it runs, the source plays faster or slower",
        range=(0.0, 240.0),
        changeable=True,
    ),
    ParameterSpec("loop", True, "start again at the end of a file or folder"),
    ParameterSpec("frame_id", "camera_optical_frame", "optical frame that images are stamped with"),
    ParameterSpec("camera_info_file", "", "YAML that camera_calibration wrote; empty = a field of view is assumed"),
    ParameterSpec("width", 0, "pixels, of a synthetic image or asked from a webcam; 0 = its own", range=(0, 8192)),
    ParameterSpec("height", 0, "pixels, likewise", range=(0, 8192)),
    ParameterSpec("people", 1, "synthetic people", range=(1, 4)),
    ParameterSpec("seed", 0, "of their appearance, background and light", range=(0, 2**31 - 1)),
    ParameterSpec("moving_camera", False, "whether the synthetic camera moves"),
)

_RATE = next(spec for spec in PARAMETERS if spec.name == "rate")


class SourceNode(Node):
    """Publishes ``image``, ``image/compressed`` and ``camera_info``, and for synthetic people the truth.

    Images are stamped with the moment they are due, and published then: the time between two stamps is exactly the
    source's, or in proportion to it where ``rate`` is another than the source's. ``ground_truth/skeletons`` and
    ``ground_truth/keypoints`` carry the same stamps.

    Raises:
        SourceError: when the source cannot be opened.
    """

    def __init__(self) -> None:
        super().__init__("source_node")
        self.failed = False
        self._parameters_given = declare_parameters(self, PARAMETERS)
        self._source = self._open()
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._image_publisher, self._compressed_publisher, self._camera_publisher = (
            qos.create_publisher(self, message_type, topic, qos.IMAGE_OUTPUT)
            for message_type, topic in (
                (Image, "image"),
                (CompressedImage, "image/compressed"),
                (CameraInfo, "camera_info"),
            )
        )
        self._skeletons_publisher, self._keypoints_publisher = (
            qos.create_publisher(self, message_type, f"ground_truth/{topic}", qos.RESULT_OUTPUT)
            for message_type, topic in ((SkeletonArray, "skeletons"), (PersonKeypointsArray, "keypoints"))
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="source", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stopping.set()
        self._thread.join()
        self._source.close()

    def _open(self):
        given = self._parameters_given
        camera_file = given["camera_info_file"]
        options = SourceOptions(
            camera=load_camera(camera_file) if camera_file else None,
            **{
                name: given[name] for name in ("frame_id", "rate", "width", "height", "people", "seed", "moving_camera")
            },
        )
        source = open_source(given["source"], options)
        self.get_logger().info(f"reading {given['source']} at {given['rate'] or source.rate:g} images/s")
        return source

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for parameter in parameters:
                if parameter.name == _RATE.name:
                    self._change_rate(_RATE.check(parameter.value))
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _change_rate(self, rate: float) -> None:
        """From the next image on.

        Raises:
            ParameterError: the source is a webcam.
        """
        if self._source.live:
            raise ParameterError("parameter rate: a webcam gives images at its own rate while it runs; start anew")
        self._parameters_given["rate"] = rate
        self.get_logger().info(f"from the next image on: {rate or self._source.rate:g} images/s")

    def _work(self) -> None:
        try:
            frames = self._frames()
            if self._source.live:
                self._publish_live(frames)
            else:
                self._publish_on_schedule(frames)
        except Exception as error:  # whatever reading throws, the node says it, and does not live on in silence
            if self.context.ok() and not self._stopping.is_set():
                self.get_logger().error(str(error))
                self.failed = True

    def _frames(self) -> Iterator[SourceFrame]:
        while True:
            given = False
            for source_frame in self._source:
                given = True
                yield source_frame
            if not given:
                raise SourceError(f"{self._parameters_given['source']} gives no images any more: was it moved?")
            if not self._parameters_given["loop"]:
                self.get_logger().info("the source has ended")
                return

    def _publish_live(self, frames: Iterator[SourceFrame]) -> None:
        for source_frame in frames:
            if self._stopping.is_set():
                return
            self._publish(source_frame, self.get_clock().now().nanoseconds)

    def _publish_on_schedule(self, frames: Iterator[SourceFrame]) -> None:
        due = time.monotonic()
        stamp_ns = self.get_clock().now().nanoseconds
        shown_ns: int | None = None
        for source_frame in frames:
            if shown_ns is not None:
                step_ns = playback_step(shown_ns, source_frame.frame.stamp_ns, self._source.rate, self._rate)
                due += 1e-9 * step_ns
                stamp_ns += step_ns
            # Made ahead of its time; where that takes longer than a period, the schedule moves instead of piling up.
            late = time.monotonic() - due
            if late > 1.0 / self._rate:
                due += late
                stamp_ns += round(late * 1e9)
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            self._publish(source_frame, stamp_ns)
            shown_ns = source_frame.frame.stamp_ns

    @property
    def _rate(self) -> float:
        """Images per second that are wanted now."""
        return self._parameters_given["rate"] or self._source.rate

    def _publish(self, source_frame: SourceFrame, stamp_ns: int) -> None:
        read = source_frame.frame
        frame = Frame(stamp_ns, read.frame_id, read.image, read.camera)
        header = frame_header(frame)
        self._camera_publisher.publish(self._camera_info(frame, header))
        if self._image_publisher.get_subscription_count():
            self._image_publisher.publish(rgb_to_image(frame.image, header))
        if self._compressed_publisher.get_subscription_count():
            self._compressed_publisher.publish(rgb_to_compressed(frame.image, header))
        if source_frame.truth is not None:
            people, skeletons = _truth(source_frame)
            self._skeletons_publisher.publish(skeletons_to_msg(frame, skeletons, people))
            self._keypoints_publisher.publish(keypoints_to_msg(frame, people))

    def _camera_info(self, frame: Frame, header) -> CameraInfo:
        if frame.camera.assumed:
            # An all-zero K is how a driver says that its camera is not calibrated.
            return CameraInfo(header=header, width=frame.camera.width, height=frame.camera.height)
        return camera_to_info(frame.camera, header)


def playback_step(before_ns: int, after_ns: int, source_rate: float, rate: float) -> int:
    """Nanoseconds from one image to the next.

    Args:
        before_ns, after_ns: their times in the source; going back means that it began again.
        source_rate: images per second that the source has by nature, on average.
        rate: images per second that are wanted: the source is played as much faster or slower.
    """
    natural = after_ns - before_ns if after_ns > before_ns else 1e9 / source_rate
    return round(natural * source_rate / rate)


def _truth(source_frame: SourceFrame) -> tuple[list[PersonKeypoints], list[Skeleton3D]]:
    truth = source_frame.truth
    visible = truth.visibility.astype(np.float64)
    ids = [f"person{i}" for i in range(len(truth.joints))]
    people = [
        PersonKeypoints(xy=xy, confidence=confidence, id=name)
        for xy, confidence, name in zip(truth.keypoints, visible, ids, strict=True)
    ]
    skeletons = [
        Skeleton3D(id=name, joints=joints, confidence=confidence, scale_source="ground_truth")
        for joints, confidence, name in zip(truth.joints, visible, ids, strict=True)
    ]
    return people, skeletons


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(SourceNode)
