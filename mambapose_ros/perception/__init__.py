"""From images to people: 2D keypoints, optical flow, ids, and the pipeline that joins them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambapose_ros.perception.lifter import Lifter
    from mambapose_ros.perception.pipeline import Pipeline, PipelineOptions

__all__ = ["Lifter", "Pipeline", "PipelineOptions"]

_MODULES = {"Lifter": "lifter", "Pipeline": "pipeline", "PipelineOptions": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
