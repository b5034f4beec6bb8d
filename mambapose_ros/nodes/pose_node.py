"""The whole way from camera images to people in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from mambapose_ros.drawing import draw_keypoints
from mambapose_ros.geometry import Camera
from mambapose_ros.markers import SkeletonMarkers
from mambapose_ros.msg import PersonKeypointsArray, SkeletonArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.aligned_depth import AlignedDepth
from mambapose_ros.nodes.conversions import (
    frame_header,
    keypoints_to_msg,
    rgb_to_compressed,
    rgb_to_image,
    stamp_to_ns,
)
from mambapose_ros.nodes.depth_input import DepthInput
from mambapose_ros.nodes.external_keypoints import ExternalKeypointsInput, FoundKeypoints
from mambapose_ros.nodes.image_node import IMAGE_PARAMETERS, ImageNode
from mambapose_ros.nodes.message_types import MESSAGE_TYPES
from mambapose_ros.nodes.network_device import NetworkDevice
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.skeleton_output import SKELETON_PARAMETERS, SkeletonOutput, listen_to_transforms
from mambapose_ros.nodes.spin import spin_node
from mambapose_ros.nodes.stage_parameters import DEPTH_PARAMETERS, DETECTOR_PARAMETERS, FLOW_PARAMETERS
from mambapose_ros.nodes.transforms import TransformListener
from mambapose_ros.perception import Pipeline, PipelineOptions
from mambapose_ros.perception.continuity import starting_anew
from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS
from mambapose_ros.perception.pipeline import LIVE_OPTIONS
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.types import Frame, FrameResult
from mambapose_ros.weights.advice import advice

PARAMETERS = (
    *IMAGE_PARAMETERS,
    *SKELETON_PARAMETERS,
    ParameterSpec(
        "detector",
        "mediapipe",
        "2D front end; external = the topic external_keypoints",
        choices=(*IMAGE_DETECTORS, "external"),
    ),
    *DETECTOR_PARAMETERS,
    ParameterSpec("flow", "dis", "optical flow", choices=tuple(FLOWS), changeable=True),
    *FLOW_PARAMETERS,
    ParameterSpec("depth", "off", "a network, or sensor = the topic depth", choices=tuple(DEPTHS), changeable=True),
    *DEPTH_PARAMETERS,
    ParameterSpec("depth_timeout", 0.1, "seconds that an image waits for the depth sensor's", range=(0.0, 1.0)),
    ParameterSpec("max_people", 4, "people to follow; the most confident ones if more", range=(1, 32), changeable=True),
    ParameterSpec(
        "weights",
        "auto",
        "name or file of the lifter; auto = mambapose-s on a GPU, mambapose-xs on a CPU; empty = no skeletons",
    ),
    ParameterSpec("window", 27, "frames that the lifter sees", range=(1, 243)),
    ParameterSpec("lookahead", 0, "frames that skeletons lie back; more is more accurate, and later", range=(0, 121)),
    ParameterSpec("flip_average", False, "average 3D over the mirror image: somewhat more accurate, twice the cost"),
    ParameterSpec("device", "auto", "where networks run; auto = a GPU when there is one", choices=DEVICES),
    ParameterSpec("threads", 1, "of networks on the CPU; more are faster on idle cores only", range=(1, 256)),
)


class PoseNode(ImageNode):
    """Subscribes ``image``, ``camera_info`` and, with a depth sensor, ``depth``; publishes ``keypoints``,
    ``skeletons``, ``markers``, TF, ``annotated``, ``depth_aligned`` and /diagnostics.

    With the detector "external" it also subscribes ``external_keypoints``, and works on those images alone whose
    keypoints come.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("pose_node", PARAMETERS, **node_arguments)
        self._pipeline: Pipeline | None = None
        self._tracker: Tracker | None = None  # outlives pipelines: ids are not given again
        self._people = 0
        self._device = NetworkDevice(self.get_logger())
        self._advised = False
        self._external_input: ExternalKeypointsInput | None = None
        if self.parameters["detector"] == "external":
            self.expects = "external_keypoints"
        self._depth_subscription: Subscription | None = None
        self._depth_input = DepthInput(self.parameters["depth_timeout"])
        self._aligned_depth = AlignedDepth(self.parameters["lookahead"])
        self._keypoints_output = self.create_output(PersonKeypointsArray, "keypoints", qos.RESULT_OUTPUT)
        self._transforms: TransformListener | None = None
        self._skeletons = SkeletonOutput(self, published=self._publish_markers)
        self._markers = SkeletonMarkers(MESSAGE_TYPES)
        self._markers_output = self.create_output(MarkerArray, "markers", qos.RESULT_OUTPUT)
        self._annotated_output = self.create_output(Image, "annotated", qos.IMAGE_OUTPUT)
        self._annotated_compressed_output = self.create_output(
            CompressedImage, "annotated/compressed", qos.IMAGE_OUTPUT
        )
        self._depth_output = self.create_output(Image, "depth_aligned", qos.IMAGE_OUTPUT)

    # --- states ---------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Make the pipeline."""
        self._transforms = listen_to_transforms(self)
        self._skeletons.load(self._transforms)
        self._markers.live(marker_lifetime_s(self.parameters))
        self._device.choose(self.parameters)
        self._tracker = self._tracker or Tracker(id_prefix=self.parameters["id_prefix"])
        self._pipeline = self._device.run(self._make_pipeline, self._make_pipeline)
        self.get_logger().info(
            f"configured with {self._options(self.parameters)}; lifter: {self._pipeline.description['lifter']}"
        )
        if not self._advised:
            self._advise()

    def _advise(self) -> None:
        import torch

        if more := advice(torch.cuda.is_available()):
            self.get_logger().info(more)
        self._advised = True

    def _make_pipeline(self) -> Pipeline:
        return Pipeline.create(self._options(self.parameters), self._tracker)

    def _options(self, parameters: dict[str, Any]) -> PipelineOptions:
        """Of a pipeline with these parameters, on the device that networks run on."""
        return replace(PipelineOptions.pick(parameters), device=self._device.name)

    def unload(self) -> None:
        """Give back the pipeline."""
        self._skeletons.unload()
        if self._transforms is not None:
            self._transforms.close()
            self._transforms = None
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def forget(self) -> None:
        """Start anew: people get new ids."""
        self._pipeline.reset()
        self._aligned_depth.reset()

    def open_inputs(self) -> None:
        """Subscribe the camera and, when they are asked for, a depth sensor and somebody else's keypoints."""
        if self.parameters["detector"] == "external":
            self._external_input = ExternalKeypointsInput(self._put_external)
            put = self._external_input.put_keypoints
            self.create_input(PersonKeypointsArray, "external_keypoints", put, qos.PEOPLE_INPUT)
        self._listen_to_depth(self.parameters["depth"] == "sensor")
        super().open_inputs()

    def inputs_closed(self) -> None:
        """Also the depth sensor's; images that waited for something are not kept."""
        self._depth_subscription = None
        self._depth_input = DepthInput(self.parameters["depth_timeout"])
        if self._external_input is not None:
            self._external_input = ExternalKeypointsInput(self._put_external)

    def stop(self) -> None:
        """Also forget the depth that waits for skeletons, once nobody adds any."""
        super().stop()
        self._aligned_depth.reset()

    def put_image(self, message: Image | CompressedImage) -> None:
        """Work on the image, or keep it until its keypoints come."""
        if self._external_input is None:
            super().put_image(message)
        else:
            self._external_input.put_image(message)

    def _put_external(self, found: FoundKeypoints) -> None:
        if not self.above_max_rate(stamp_to_ns(found.message.header.stamp)):
            self.submit(found)

    def _listen_to_depth(self, listen: bool) -> None:
        if listen and self._depth_subscription is None:
            self._depth_input = DepthInput(self.parameters["depth_timeout"])
            self._depth_subscription = self.create_input(Image, "depth", self._depth_input.put, qos.IMAGE_INPUT)
        elif not listen and self._depth_subscription is not None:
            self.destroy_input(self._depth_subscription)
            self._depth_subscription = None

    # --- parameters -----------------------------------------------------------------------------------------------

    def prepare(self, values: dict[str, Any], parameters: dict[str, Any]) -> list[Callable[[], None]]:
        """Make the stages that change."""
        options = self._options(parameters)
        listened = self._depth_subscription is not None
        if values.get("depth") == "sensor" and self.active:
            self._listen_to_depth(True)  # now, since its quality of service may be refused
        try:
            # In this order, the detector last: nobody would close it if another stage could not be made.
            return [self._pipeline.prepare(name, values[name], options) for name in LIVE_OPTIONS if name in values]
        except Exception:
            self._listen_to_depth(listened)
            raise

    def parameters_changed(self, values: dict[str, Any]) -> None:
        """Listen to a depth sensor no longer; markers live longer or shorter."""
        self._markers.live(marker_lifetime_s(self.parameters))
        if values.get("depth", "sensor") != "sensor" and self.active:
            self._listen_to_depth(False)

    # --- work -----------------------------------------------------------------------------------------------------

    def depth_of(self, stamp_ns: int, camera: Camera) -> np.ndarray | None:
        """What the depth sensor measured with the image of this stamp, if somebody wants to know."""
        if self.parameters["depth"] != "sensor" or not self._lifting_is_wanted():
            return None
        depth = self._depth_input.take(stamp_ns, camera.width, camera.height)
        if depth is None:
            self.warn("depth", f"{self._depth_input.problem}; lifting without")
        return depth

    def process(self, items: tuple[Any, ...]) -> None:
        """Work on the newest image, and who somebody else found in it."""
        found = items[-1]
        if not isinstance(found, FoundKeypoints):
            super().process(items)
        elif found.image is None:
            self.fail("no image", found.problem)
        else:
            frame = self.frame_of(found.image)
            try:
                people = found.people(frame.camera)
            except ValueError as error:
                self.fail("bad keypoints", str(error))
                return
            self.process_frame(replace(frame, people=people))

    def process_frame(self, frame: Frame) -> None:
        """Publish who is in the image, and where."""
        result = self._find_people(frame)
        if result.reset_reason:
            self.warn(result.reset_reason, starting_anew(result.reset_reason))
        if result.reset_reason == "stamp ran backwards":
            self._skeletons.stamps_ran_backwards()
        self._people = sum(person.state != "lost" for person in result.keypoints)
        self._keypoints_output.publish(keypoints_to_msg(frame, result.keypoints))
        self.record_result((result.lifted or frame).stamp_ns, result.stage_ms)
        self._skeletons.publish(result.lifted)
        self._publish_annotated(result)
        self._publish_depth(result)

    def _find_people(self, frame: Frame) -> FrameResult:
        """What the pipeline finds, on the CPU if the GPU has failed."""

        def again() -> FrameResult:
            self._pipeline.remake(self._options(self.parameters))
            self._aligned_depth.reset()
            self.get_logger().warning("starting anew on the CPU, people get new ids")
            return self._pipeline(frame, lift)

        lift = self._lifting_is_wanted()
        return self._device.run(lambda: self._pipeline(frame, lift), again)

    def _lifting_is_wanted(self) -> bool:
        """Whether somebody listens to what depth, or people in space, are needed for: depth is aligned by skeletons."""
        by_skeletons = (self._markers_output, self._depth_output)
        return self._skeletons.wanted or any(output.get_subscription_count() for output in by_skeletons)

    def _publish_markers(self, message: SkeletonArray) -> None:
        if self._markers_output.get_subscription_count() > 0:
            self._markers_output.publish(self._markers(message))

    def _publish_annotated(self, result: FrameResult) -> None:
        raw = self._annotated_output.get_subscription_count() > 0
        compressed = self._annotated_compressed_output.get_subscription_count() > 0
        if not (raw or compressed):
            return
        picture: np.ndarray = draw_keypoints(result.frame.image, result.keypoints)
        header = frame_header(result.frame)
        if raw:
            self._annotated_output.publish(rgb_to_image(picture, header))
        if compressed:
            self._annotated_compressed_output.publish(rgb_to_compressed(picture, header))

    def _publish_depth(self, result: FrameResult) -> None:
        if self._depth_output.get_subscription_count() == 0:
            self._aligned_depth.reset()
            return
        aligned = self._aligned_depth(result)
        if aligned is not None:
            self._depth_output.publish(aligned)
        elif self.parameters["depth"] == "off":
            self.warn("depth_aligned", "no depth_aligned: there is no depth (parameter depth)")
        elif not self.parameters["weights"]:
            self.warn("depth_aligned", "no depth_aligned: this depth has no scale, and without skeletons none is known")

    # --- reports --------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Intrinsics, depth or transforms that are missing, or a GPU that has failed."""
        problems = [*super().problems(), *self._device.problems()]
        if self.parameters["depth"] == "sensor" and self._depth_input.problem and self._lifting_is_wanted():
            problems.append(f"no depth: {self._depth_input.problem}")
        return problems + self._skeletons.problems()

    def figures(self) -> dict[str, Any]:
        """People, where their metres come from, and what runs where."""
        return {
            "people": self._people,
            **self._skeletons.figures(),
            "running_on": self._device.name,
            **(self._pipeline.description if self._pipeline else {}),
        }


def marker_lifetime_s(parameters: dict[str, Any]) -> float:
    """Seconds that markers stay: as long as the camera may be silent, longer than ``max_rate`` keeps results apart."""
    rate = parameters["max_rate"]
    return max(parameters["timeout"], 2.0 / rate if rate > 0.0 else 0.0)


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(PoseNode, threads=2)
