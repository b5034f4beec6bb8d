"""2D keypoints of people, for a lifter in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mambapose_ros.msg import PersonKeypointsArray
from mambapose_ros.nodes import qos
from mambapose_ros.nodes.conversions import keypoints_to_msg
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.nodes.spin import spin_node
from mambapose_ros.nodes.stage_node import STAGE_PARAMETERS, StageNode
from mambapose_ros.nodes.stage_parameters import DETECTOR_PARAMETERS
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS, KeypointDetector, make_detector
from mambapose_ros.types import Frame

PARAMETERS = (
    *STAGE_PARAMETERS,
    ParameterSpec("detector", "mediapipe", "2D front end", choices=IMAGE_DETECTORS),
    *DETECTOR_PARAMETERS,
    ParameterSpec("max_people", 4, "people to look for; the surest if more", range=(1, 32), changeable=True),
)


class KeypointNode(StageNode):
    """Subscribes ``image``; publishes ``keypoints``.

    They have no ids yet: association is helped by flow, which comes from elsewhere, so the tracker is the lifter's.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("keypoint_node", PARAMETERS, "keypoints", **node_arguments)
        self._people = 0
        self._output = self.create_output(PersonKeypointsArray, "keypoints", qos.RESULT_OUTPUT)

    @property
    def needs_torch(self) -> bool:
        """As ``StageNode``."""
        return self.parameters["detector"] != "mediapipe"

    def make_stage(self, parameters: dict[str, Any], device: str) -> KeypointDetector:
        """The front end."""
        return make_detector(
            parameters["detector"],
            max_people=parameters["max_people"],
            device=device,
            weights=parameters["detector_weights"],
            finder_weights=parameters["finder_weights"],
        )

    def run_stage(self, stage: KeypointDetector, frame: Frame) -> None:
        """Publish who is in the image; also when nobody is."""
        people = stage(frame)
        self._people = len(people)
        self._output.publish(keypoints_to_msg(frame, people))

    def unload(self) -> None:
        """Give back the front end."""
        if self._stage is not None:
            self._stage.close()
        super().unload()

    def prepare(self, values: dict[str, Any], parameters: dict[str, Any]) -> list[Callable[[], None]]:
        """Make a front end that looks for more people, or fewer."""
        if "max_people" not in values:
            return []
        detector = self.make_stage(parameters, self._device.name)

        def change() -> None:
            self._stage.close()
            self._stage = detector

        return [change]

    def figures(self) -> dict[str, Any]:
        """People in the last image, and where networks run."""
        return {"people": self._people, **super().figures()}


def main() -> int:
    """Run the node until it is told to stop; returns the exit status."""
    return spin_node(KeypointNode, threads=2)
