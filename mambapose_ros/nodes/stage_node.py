"""What the nodes have in common that run one stage of the pipeline on a camera's images."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, Protocol

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.image_node import IMAGE_PARAMETERS, ImageNode
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.pipeline import PipelineOptions, discontinuity, prepare_torch
from mambapose_ros.types import Frame

STAGE_PARAMETERS = (
    *IMAGE_PARAMETERS,
    ParameterSpec("device", "auto", "where networks run; auto = a GPU when there is one", choices=DEVICES),
    ParameterSpec("threads", 1, "of networks on the CPU; more are faster on idle cores only", range=(1, 256)),
)


class Stage(Protocol):
    """A stage of the pipeline, which may remember earlier images."""

    def reset(self) -> None:
        """Forget them: what comes next does not follow them."""


class StageNode(ImageNode):
    """Runs one stage on images, by their pixels alone: intrinsics are the lifter's to know.

    An image that does not follow the last one (``pipeline.discontinuity``) starts anew.

    Args:
        name: of the node.
        specs: its parameters, ``STAGE_PARAMETERS`` among them.
        timed_as: name of the stage in diagnostics.

    Attributes:
        device: where networks run; known once the node is configured.
    """

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...], timed_as: str) -> None:
        super().__init__(name, specs)
        self.device = "cpu"
        self._timed_as = timed_as
        self._stage: Any = None
        self._last: Frame | None = None

    @property
    @abstractmethod
    def needs_torch(self) -> bool:
        """Whether the stage is a network of torch."""

    @abstractmethod
    def make_stage(self, parameters: dict[str, Any], device: str) -> Stage:
        """The stage with these parameters; networks run on the device."""

    @abstractmethod
    def run_stage(self, stage: Any, frame: Frame) -> None:
        """Run it on the next frame, and publish what comes of it."""

    def load(self) -> None:
        """Make the stage."""
        options = PipelineOptions(device=self.parameters["device"], threads=self.parameters["threads"])
        # torch takes seconds to import and a few hundred MB: not on a camera's small computer when nothing needs it.
        self.device = prepare_torch(options) if self.needs_torch else "cpu"
        self._stage = self.make_stage(self.parameters, self.device)
        self.get_logger().info(f"configured with {self.parameters}, on {self.device}")

    def unload(self) -> None:
        """Give back the stage."""
        self._stage = self._last = None

    def forget(self) -> None:
        """Start anew."""
        self._stage.reset()
        self._last = None

    def open_inputs(self) -> None:
        """Subscribe the images; intrinsics are of no use here."""
        self.open_images()

    def process_frame(self, frame: Frame) -> None:
        """Run the stage."""
        reason = discontinuity(self._last, frame)
        if reason:
            self.warn(reason, f"{reason}: starting anew")
            self.forget()
        self._last = frame
        start = time.perf_counter()
        self.run_stage(self._stage, frame)
        self.record_result(frame.stamp_ns, {self._timed_as: (time.perf_counter() - start) * 1e3})

    def problems(self) -> list[str]:
        """None of its own."""
        return []

    def _camera_of(self, width: int, height: int) -> Camera:
        return Camera.from_fov(width, height, assumed=True)
