"""The whole way from camera images to people in one process."""

from __future__ import annotations

import threading

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mambapose_ros.drawing import draw_keypoints
from mambapose_ros.geometry import Camera, CameraError
from mambapose_ros.image_encoding import ImageError
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import (
    camera_from_info,
    compressed_to_rgb,
    frame_header,
    image_to_rgb,
    keypoints_to_msg,
    rgb_to_compressed,
    rgb_to_image,
    skeletons_to_msg,
    stamp_to_ns,
)
from mambapose_ros.nodes.diagnostics import pose_status
from mambapose_ros.nodes.mailbox import Mailbox
from mambapose_ros.nodes.parameters import ParameterSpec, declare_parameters
from mambapose_ros.nodes.spin import spin_node, steady_timer
from mambapose_ros.nodes.statistics import StreamStatistics
from mambapose_ros.nodes.throttle import ThrottledWarnings
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import DETECTORS
from mambapose_ros.types import Frame, FrameResult

PARAMETERS = (
    ParameterSpec("autostart", True, "configure and activate by itself at start"),
    ParameterSpec("detector", "mediapipe", "2D front end", choices=tuple(DETECTORS)),
    ParameterSpec("flow", "dis", "optical flow", choices=tuple(FLOWS)),
    ParameterSpec("max_people", 4, "people to follow; the most confident ones when there are more", range=(1, 32)),
    ParameterSpec("weights", "", "name or file of a PoseMamba checkpoint to lift with; empty = no skeletons"),
    ParameterSpec("window", 27, "frames that the lifter sees", range=(1, 243)),
    ParameterSpec("lookahead", 0, "frames that skeletons lie back; more is more accurate, and later", range=(0, 121)),
    ParameterSpec("flip_average", False, "average 3D over the mirror image: somewhat more accurate, twice the cost"),
    ParameterSpec("device", "auto", "where networks run; auto = a GPU when there is one", choices=DEVICES),
    ParameterSpec("threads", 1, "of networks on the CPU; more are faster on idle cores only", range=(1, 256)),
    ParameterSpec("image_transport", "raw", "subscribe image or image/compressed", choices=("raw", "compressed")),
    ParameterSpec("timeout", 1.0, "seconds without an image until diagnostics warn", range=(0.1, 60.0)),
)


class PoseNode(LifecycleNode):
    """Subscribes ``image`` and ``camera_info``; publishes ``keypoints``, ``skeletons``, ``annotated``, /diagnostics.

    Images are taken by a worker thread through a one-deep mailbox: while one is processed, only the newest of those
    that come waits; the others are dropped and counted.
    """

    def __init__(self) -> None:
        super().__init__("pose_node")
        self.failed = False
        self.parameters = declare_parameters(self, PARAMETERS)
        self.statistics = StreamStatistics()
        self._pipeline: Pipeline | None = None
        self._camera: Camera | None = None
        self._camera_info_problem = ""
        self._camera_problem = ""
        self._state_name = "unconfigured"
        self._warn = ThrottledWarnings(self.get_logger())
        self._people = 0
        self._placed = 0
        self._image_subscriptions: list = []
        self._keypoints_publisher = self.create_publisher(PersonKeypointsArray, "keypoints", qos.RESULT_OUTPUT)
        self._skeletons_publisher = self.create_publisher(SkeletonArray, "skeletons", qos.RESULT_OUTPUT)
        self._annotated_publisher = self.create_publisher(Image, "annotated", qos.IMAGE_OUTPUT)
        self._annotated_compressed_publisher = self.create_publisher(
            CompressedImage, "annotated/compressed", qos.IMAGE_OUTPUT
        )
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady_timer(self, 1.0, self._publish_diagnostics)

    # --- lifecycle ----------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the models; FAILURE with the reason in the log when that is not possible."""
        options = PipelineOptions.pick(self.parameters)
        try:
            self._pipeline = Pipeline.create(options)
        except Exception as error:  # whatever a model library throws, the node says it and stays alive
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        self._state_name = "inactive"
        self.get_logger().info(f"configured with {options}; lifter: {self._pipeline.description['lifter']}")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the subscriptions and start the worker."""
        self._mailbox: Mailbox[Image | CompressedImage] = Mailbox()
        self._worker = threading.Thread(target=self._work, args=(self._mailbox,), name="pipeline", daemon=True)
        self._worker.start()
        compressed = self.parameters["image_transport"] == "compressed"
        image_type, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        self._image_subscriptions = [
            self.create_subscription(image_type, topic, self._on_image, qos.IMAGE_INPUT),
            self.create_subscription(CameraInfo, "camera_info", self._on_camera_info, qos.CAMERA_INFO_INPUT),
        ]
        self._state_name = "active"
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the subscriptions and stop the worker."""
        self._stop()
        self._state_name = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the models."""
        self._close_pipeline()
        self._state_name = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End in good order from any state."""
        self.close()
        self._state_name = "finalized"
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """End the worker and give back the models, in any state."""
        self._stop()
        self._close_pipeline()

    def _stop(self) -> None:
        for subscription in self._image_subscriptions:
            self.destroy_subscription(subscription)
        if self._image_subscriptions:
            self._image_subscriptions = []
            self._mailbox.close()
            self._worker.join()

    def _close_pipeline(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    # --- input --------------------------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.statistics.record_received()
        if self._mailbox.put(message):
            self.statistics.record_dropped("newer image came first")

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self._camera, self._camera_info_problem = camera_from_info(message), ""
        except CameraError as error:
            self._camera, self._camera_info_problem = None, str(error)

    def _camera_of(self, width: int, height: int) -> Camera:
        """The intrinsics that came, if they are for images of this size; else assumed ones."""
        camera = self._camera
        if camera is None:
            self._camera_problem = self._camera_info_problem or "no camera_info came yet"
        elif (camera.width, camera.height) != (width, height):
            self._camera_problem = (
                f"expected a camera_info for {width}x{height}, the image's size, got {camera.width}x{camera.height}"
            )
        else:
            self._camera_problem = ""
            return camera
        self._warn("camera_info", f"{self._camera_problem}; assuming a field of view instead")
        return Camera.from_fov(width, height, assumed=True)

    # --- work ---------------------------------------------------------------------------------------------------

    def _work(self, mailbox: Mailbox[Image | CompressedImage]) -> None:
        while (message := mailbox.take()) is not None:
            try:
                frame = self._to_frame(message)
                result = self._pipeline(frame)
                self._publish(result)
            except ImageError as error:
                self._drop(error.cause, str(error))
            except Exception as error:  # one bad frame must not end the node
                if not self.context.ok():
                    return  # the process is ending
                self._drop(f"{type(error).__name__} in the pipeline", repr(error))

    def _to_frame(self, message: Image | CompressedImage) -> Frame:
        image = compressed_to_rgb(message) if isinstance(message, CompressedImage) else image_to_rgb(message)
        camera = self._camera_of(image.shape[1], image.shape[0])
        return Frame(stamp_to_ns(message.header.stamp), message.header.frame_id, image, camera)

    def _publish(self, result: FrameResult) -> None:
        if result.reset_reason:
            self._warn(result.reset_reason, f"{result.reset_reason}: starting anew, people get new ids")
        self._people = len(result.keypoints)
        self._placed = len(result.lifted.skeletons) if result.lifted else 0
        self._keypoints_publisher.publish(keypoints_to_msg(result.frame, result.keypoints))
        age_ns = self.get_clock().now().nanoseconds - result.frame.stamp_ns
        self.statistics.record_result(age_ns * 1e-9, result.stage_ms)
        if result.lifted is not None:
            message = skeletons_to_msg(result.lifted, result.lifted.skeletons, result.lifted.keypoints)
            self._skeletons_publisher.publish(message)
        self._publish_annotated(result)

    def _publish_annotated(self, result: FrameResult) -> None:
        raw = self._annotated_publisher.get_subscription_count() > 0
        compressed = self._annotated_compressed_publisher.get_subscription_count() > 0
        if not (raw or compressed):
            return
        picture: np.ndarray = draw_keypoints(result.frame.image, result.keypoints)
        header = frame_header(result.frame)
        if raw:
            self._annotated_publisher.publish(rgb_to_image(picture, header))
        if compressed:
            self._annotated_compressed_publisher.publish(rgb_to_compressed(picture, header))

    # --- reports ------------------------------------------------------------------------------------------------

    def _drop(self, cause: str, message: str) -> None:
        count = self.statistics.record_dropped(cause)
        self._warn(cause, f"frame dropped ({count} so far): {message}")

    def _publish_diagnostics(self) -> None:
        status = pose_status(
            name=f"{self.get_fully_qualified_name()}: pipeline",
            state=self._state_name,
            statistics=self.statistics,
            camera_problem=self._camera_problem,
            timeout_s=self.parameters["timeout"],
            values={
                "people": self._people,
                "skeletons": self._placed,
                **self.parameters,
                **(self._pipeline.description if self._pipeline else {}),
            },
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(PoseNode)
