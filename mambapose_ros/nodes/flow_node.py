"""Optical flow, for a lifter in another process."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import Image, TimeReference

from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import frame_header, ns_to_stamp
from mambapose_ros.nodes.dense_maps import flow_to_image
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.spin import spin_node
from mambapose_ros.nodes.stage_node import STAGE_PARAMETERS, StageNode
from mambapose_ros.nodes.stage_parameters import FLOW_PARAMETERS
from mambapose_ros.perception.flow import FLOWS, FlowEstimator, make_flow, scaled_down
from mambapose_ros.types import Frame

PARAMETERS = (
    *STAGE_PARAMETERS,
    ParameterSpec("flow", "dis", "optical flow", choices=tuple(name for name in FLOWS if name != "off")),
    *FLOW_PARAMETERS,
    ParameterSpec(
        "width",
        640,
        "pixels that images are scaled down to, and flow is published at; 320 is a quarter of the bandwidth",
        range=(64, 4096),
    ),
)


class FlowNode(StageNode):
    """Subscribes ``image``; publishes ``flow`` and ``flow/since``.

    Both come for every image, with its stamp. ``flow`` (32FC2) is in pixels of its own grid, which may be smaller than
    the image, in the convention of ``perception.flow``; without pixels where there is no flow, as in the first image.
    ``flow/since`` tells the stamp of the image that the flow is counted from: whoever takes images at another rate can
    chain one flow to the next, and notices when one is missing.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("flow_node", PARAMETERS, "flow", **node_arguments)
        self._since_ns = 0
        self._output = self.create_output(Image, "flow", qos.RESULT_OUTPUT)
        self._since_output = self.create_output(TimeReference, "flow/since", qos.RESULT_OUTPUT)

    @property
    def needs_torch(self) -> bool:
        """As ``StageNode``."""
        return self.parameters["flow"] != "dis"

    def make_stage(self, parameters: dict[str, Any], device: str) -> FlowEstimator:
        """The estimator."""
        return make_flow(
            parameters["flow"],
            device,
            parameters["flow_weights"],
            parameters["flow_width"],
            parameters["flow_updates"],
        )

    def run_stage(self, stage: FlowEstimator, frame: Frame) -> None:
        """Publish the flow since the last image."""
        flow = stage(scaled_down(frame.image, self.parameters["width"]))
        since_ns = frame.stamp_ns if flow is None else self._since_ns
        self._since_ns = frame.stamp_ns
        header = frame_header(frame)
        self._since_output.publish(TimeReference(header=header, time_ref=ns_to_stamp(since_ns), source="flow_node"))
        self._output.publish(flow_to_image(flow, header))


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(FlowNode)
