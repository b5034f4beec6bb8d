"""Networks. Importing this package does not load torch; its names load on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambapose_ros.models.checkpoints import CheckpointError, load_official_checkpoint
    from mambapose_ros.models.pose_mamba import (
        PRESETS,
        PoseMamba,
        PoseMambaConfig,
        flip_average,
        normalize_keypoints,
    )

__all__ = [
    "PRESETS",
    "CheckpointError",
    "PoseMamba",
    "PoseMambaConfig",
    "flip_average",
    "load_official_checkpoint",
    "normalize_keypoints",
]

_MODULES = dict.fromkeys(__all__, "mambapose_ros.models.pose_mamba") | dict.fromkeys(
    ["CheckpointError", "load_official_checkpoint"], "mambapose_ros.models.checkpoints"
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
