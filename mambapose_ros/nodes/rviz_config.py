"""RViz, set up for the topics of one camera or several."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mambapose_ros.errors import UserError


def rviz_arguments(template: Path, namespaces: Sequence[str], fixed_frame: str) -> list[str]:
    """What RViz is started with to show the topics in all of these namespaces.

    Args:
        template: an RViz file with displays of topics in the root namespace.
        namespaces: empty = the root.
        fixed_frame: of TF, to look from; empty = the template's.

    Raises:
        UserError: for several cameras without a frame that they have in common.
    """
    if len(namespaces) > 1 and not fixed_frame:
        raise UserError(
            "fixed_frame: expected a frame of TF that all cameras are connected with, for example base_link, since "
            "each has an optical frame of its own; got none"
        )
    with tempfile.NamedTemporaryFile(
        "w", prefix="mambapose_", suffix=".rviz", delete=False, encoding="utf-8"
    ) as file:  # RViz reads it later, and saves to it
        yaml.safe_dump(with_displays_for(yaml.safe_load(template.read_text()), namespaces), file, sort_keys=False)
    return ["-d", file.name, *(["-f", fixed_frame] if fixed_frame else [])]


def with_displays_for(config: Mapping[str, Any], namespaces: Sequence[str]) -> dict[str, Any]:
    """An RViz configuration in which each display of a topic is there once for each namespace."""
    manager = config["Visualization Manager"]
    displays = [shown for display in manager["Displays"] for shown in _for_each(display, namespaces)]
    return {**config, "Visualization Manager": {**manager, "Displays": displays}}


def _for_each(display: dict[str, Any], namespaces: Sequence[str]) -> Iterable[dict[str, Any]]:
    if "Topic" not in display:
        return [display]
    topic = display["Topic"]
    return [
        {
            **copy.deepcopy(display),
            "Name": f"{display['Name']} {namespace}".strip(),
            "Topic": {**topic, "Value": f"/{namespace}{topic['Value']}" if namespace else topic["Value"]},
        }
        for namespace in (name.strip("/") for name in namespaces)
    ]
