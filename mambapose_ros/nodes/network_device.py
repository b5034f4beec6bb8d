"""Where a node's networks run, and what takes over when a GPU fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mambapose_ros.memory import give_back
from mambapose_ros.perception.device import is_gpu_failure
from mambapose_ros.perception.pipeline import PipelineOptions, prepare_torch

T = TypeVar("T")


class NetworkDevice:
    """The processor of a node's networks: the one asked for or, with ``auto``, a GPU until it fails, then the CPU.

    Args:
        logger: of the node.

    Attributes:
        name: "cpu" or "cuda".
    """

    def __init__(self, logger: Any) -> None:
        self.name = "cpu"
        self._logger, self._asked_for, self._failure = logger, "cpu", ""

    def choose(self, parameters: dict[str, Any]) -> None:
        """Start with what the parameters ``device`` and ``threads`` ask for, whatever failed before.

        Raises:
            DeviceError: when that is a GPU and there is none.
        """
        self._asked_for, self._failure = parameters["device"], ""
        self.name = prepare_torch(PipelineOptions(device=self._asked_for, threads=parameters["threads"]))

    def run(self, work: Callable[[], T], again: Callable[[], T]) -> T:
        """What ``work`` gives or, when the GPU fails meanwhile and was not asked for by name, ``again`` on the CPU."""
        try:
            return work()
        except Exception as error:
            if self._asked_for != "auto" or not is_gpu_failure(error):
                raise
            self.name, self._failure = "cpu", str(error).partition("\n")[0]
        # Not in the handler: the error holds on to what lies in the GPU's memory.
        self._logger.error(f"the GPU failed, and the CPU takes over, slower: {self._failure}")
        result = again()
        give_back()
        return result

    def problems(self) -> list[str]:
        """That the GPU has failed, for diagnostics."""
        return [f"on the CPU, since the GPU failed: {self._failure}"] if self._failure else []
