"""Depth that a network guesses, for a lifter in another process."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import Image

from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import frame_header
from mambapose_ros.nodes.dense_maps import depth_to_image, depth_topic
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.spin import spin_node
from mambapose_ros.nodes.stage_node import STAGE_PARAMETERS, StageNode
from mambapose_ros.nodes.stage_parameters import DEPTH_PARAMETERS
from mambapose_ros.perception.depth import DEPTHS, DepthEstimator, make_depth
from mambapose_ros.perception.flow import scaled_down
from mambapose_ros.types import Frame

PARAMETERS = (
    *STAGE_PARAMETERS,
    ParameterSpec(
        "depth",
        "depth_anything_v2_small",
        "the network",
        choices=tuple(name for name in DEPTHS if name not in ("off", "sensor")),
    ),
    *DEPTH_PARAMETERS,
    ParameterSpec(
        "width",
        640,
        "pixels that images are scaled down to, and depth is published at; 320 is a quarter of the bandwidth",
        range=(64, 4096),
    ),
)


class DepthNode(StageNode):
    """Subscribes ``image``; publishes ``depth`` (32FC1, metres) or, of networks that give no metres,
    ``inverse_depth`` (32FC1, of unknown scale and shift, larger = nearer), with the image's stamp.

    The map may be smaller than the image; it shows all of it.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("depth_node", PARAMETERS, "depth", **node_arguments)
        self._output = self.create_output(Image, depth_topic(self.parameters["depth"]), qos.RESULT_OUTPUT)

    @property
    def needs_torch(self) -> bool:
        """As ``StageNode``."""
        return True

    def make_stage(self, parameters: dict[str, Any], device: str) -> DepthEstimator:
        """The network."""
        return make_depth(parameters["depth"], device, parameters["depth_weights"], parameters["depth_side"])

    def run_stage(self, stage: DepthEstimator, frame: Frame) -> None:
        """Publish the depth of the image."""
        image = scaled_down(frame.image, self.parameters["width"])
        camera = frame.camera.resized(image.shape[1], image.shape[0])
        depth = stage(Frame(frame.stamp_ns, frame.frame_id, image, camera))
        self._output.publish(depth_to_image(depth.values, frame_header(frame)))


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(DepthNode)
