"""Folders with a network as transformers saves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mambapose_ros.weights.sources import WeightsError


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a network that lies in the folder as a whole.

    Raises:
        WeightsError: when it cannot be read, or names a network that transformers would fetch while it loads this one,
            whether it may use the network or not.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: expected the settings of a network of transformers, got {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: expected the settings of a network of transformers, got {type(config).__name__}")
    if backbone := _named_backbone(config):
        raise WeightsError(
            f"{path}: expected a network that is all in this folder, but its backbone {backbone!r} is elsewhere; save "
            "it with a backbone_config instead"
        )
    return config


def _named_backbone(config: dict[str, Any]) -> str:
    """Of the network or of its parts; empty when none is."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    return next((str(part["backbone"]) for part in parts if part.get("backbone")), "")
