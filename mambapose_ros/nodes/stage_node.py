"""What the nodes have in common that run one stage of the pipeline on a camera's images."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, Protocol

from mambapose_ros.geometry import Camera
from mambapose_ros.nodes.image_node import IMAGE_PARAMETERS, ImageNode
from mambapose_ros.nodes.network_device import NetworkDevice
from mambapose_ros.nodes.parameters import ParameterSpec
from mambapose_ros.perception.continuity import discontinuity
from mambapose_ros.perception.device import DEVICES
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

    An image that does not follow the last one (``continuity.discontinuity``) starts anew.

    Args:
        name: of the node.
        specs: its parameters, ``STAGE_PARAMETERS`` among them.
        timed_as: name of the stage in diagnostics.
        node_arguments: as rclpy's Node takes them: namespace, parameter_overrides.
    """

    def __init__(self, name: str, specs: tuple[ParameterSpec, ...], timed_as: str, **node_arguments: Any) -> None:
        super().__init__(name, specs, **node_arguments)
        self._device = NetworkDevice(self.get_logger())
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
        # torch takes seconds to import and a few hundred MB: not on a camera's small computer when nothing needs it.
        if self.needs_torch:
            self._device.choose(self.parameters)
        self._stage = self._device.run(self._make, self._make)
        self.get_logger().info(f"configured with {self.parameters}, on {self._device.name}")

    def _make(self) -> Stage:
        return self.make_stage(self.parameters, self._device.name)

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
        self._device.run(lambda: self.run_stage(self._stage, frame), lambda: self._run_again(frame))
        self.record_result(frame.stamp_ns, {self._timed_as: (time.perf_counter() - start) * 1e3})

    def _run_again(self, frame: Frame) -> None:
        """On the CPU, where the stage is made anew."""
        self.unload()
        self._stage, self._last = self._make(), frame
        self.run_stage(self._stage, frame)

    def problems(self) -> list[str]:
        """That a GPU has failed; intrinsics are of no use here."""
        return self._device.problems()

    def figures(self) -> dict[str, Any]:
        """Where networks run."""
        return {"running_on": self._device.name}

    def _camera_of(self, width: int, height: int) -> Camera:
        return Camera.from_fov(width, height, assumed=True)
