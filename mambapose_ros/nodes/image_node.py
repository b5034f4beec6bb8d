"""What nodes have in common that take a camera's images in."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mambapose_ros.geometry import Camera
from mambapose_ros.messages import is_rectified
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import compressed_to_rgb, image_to_rgb, stamp_to_ns
from mambapose_ros.nodes.intrinsics import Intrinsics
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.processing_node import PROCESSING_PARAMETERS, ProcessingNode
from mambapose_ros.types import Frame

IMAGE_PARAMETERS = (
    *PROCESSING_PARAMETERS,
    ParameterSpec("image_transport", "raw", "subscribe image or image/compressed", choices=("raw", "compressed")),
    ParameterSpec(
        "max_rate",
        0.0,
        "images per second that are worked on, clearly fewer than come; 0 = all",
        range=(0.0, 240.0),
        changeable=True,
    ),
)


class ImageNode(ProcessingNode):
    """Subscribes ``image`` (or ``image/compressed``) and ``camera_info``; a subclass processes frames.

    Images of a topic whose name says so (``messages.is_rectified``) are taken as rectified.

    Args:
        name: of the node.
        specs: its parameters, ``IMAGE_PARAMETERS`` among them.
        node_arguments: as rclpy's Node takes them: namespace, parameter_overrides.
    """

    expects = "image"

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...], **node_arguments: Any) -> None:
        super().__init__(name, specs, **node_arguments)
        self._intrinsics = Intrinsics()
        self._newest_ns: int | None = None  # stamp of the newest image that was not above max_rate

    # --- for subclasses -------------------------------------------------------------------------------------------

    def process_frame(self, frame: Frame) -> None:
        """Work on the next frame, as ``process`` does."""
        raise NotImplementedError

    def depth_of(self, stamp_ns: int, camera: Camera) -> np.ndarray | None:
        """(H, W) float32 metres that a depth camera measured with the image of this stamp; None = nothing."""
        return None

    def put_image(self, message: Image | CompressedImage) -> None:
        """An image came; called in the executor's thread."""
        if not self.above_max_rate(stamp_to_ns(message.header.stamp)):
            self.submit(message)

    # --- to be called by subclasses -------------------------------------------------------------------------------

    def above_max_rate(self, stamp_ns: int) -> bool:
        """Whether an image of this stamp is more than was asked for; it is counted then."""
        if self._newest_ns is not None and in_same_period(self._newest_ns, stamp_ns, self.parameters["max_rate"]):
            self.statistics.record_received()
            self.statistics.record_dropped("above max_rate")
            return True
        self._newest_ns = stamp_ns
        return False

    # --- input ----------------------------------------------------------------------------------------------------

    def open_inputs(self) -> None:
        """Subscribe image and intrinsics."""
        self._intrinsics.rectified = is_rectified(self.open_images())
        self.create_input(CameraInfo, "camera_info", self._intrinsics.put, qos.CAMERA_INFO_INPUT)

    def open_images(self) -> str:
        """Subscribe the images alone; returns their topic's full name."""
        compressed = self.parameters["image_transport"] == "compressed"
        image_type, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        return self.create_input(image_type, topic, self.put_image, qos.IMAGE_INPUT).topic_name

    def process(self, items: tuple[Any, ...]) -> None:
        """Turn the newest image into a frame."""
        self.process_frame(self.frame_of(items[-1]))

    def frame_of(self, message: Image | CompressedImage) -> Frame:
        """The image, how it was taken, and its depth.

        Raises:
            ImageError: when the message is no image.
        """
        image = compressed_to_rgb(message) if isinstance(message, CompressedImage) else image_to_rgb(message)
        camera = self._camera_of(image.shape[1], image.shape[0])
        stamp_ns = stamp_to_ns(message.header.stamp)
        depth = self.depth_of(stamp_ns, camera)
        return Frame(stamp_ns, message.header.frame_id, image, camera, depth)

    def problems(self) -> list[str]:
        """That intrinsics are assumed."""
        return [f"intrinsics assumed: {self._intrinsics.problem}"] if self._intrinsics.problem else []

    def _camera_of(self, width: int, height: int) -> Camera:
        """The intrinsics that came, if they are for images of this size; else assumed ones."""
        camera = self._intrinsics.at(width, height)
        if self._intrinsics.problem:
            self.warn("camera_info", f"{self._intrinsics.problem}; assuming a field of view instead")
        return camera


def in_same_period(before_ns: int, stamp_ns: int, rate: float) -> bool:
    """Whether a stamp follows another within the same period of this rate; never when the rate is 0.

    Periods are those of the clock, not counted from the first image: so several nodes take the same images.
    """
    return rate > 0.0 and before_ns < stamp_ns and int(before_ns * 1e-9 * rate) == int(stamp_ns * 1e-9 * rate)
