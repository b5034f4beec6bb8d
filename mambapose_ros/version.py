"""The version, which package.xml states and nothing else."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree


def version() -> str:
    """Version of the installed package, e.g. ``"0.1.0"``; ``"unknown"`` when neither pip nor colcon installed it."""
    here = Path(__file__).resolve()
    # A checkout, or colcon's <prefix>/lib/pythonX.Y/site-packages/mambapose_ros beside <prefix>/share.
    for folder in (here.parents[1], *(parent / "share" / "mambapose_ros" for parent in here.parents)):
        manifest = folder / "package.xml"
        if manifest.is_file():
            return ElementTree.parse(manifest).findtext("version") or "unknown"
    try:
        return metadata.version("mambapose_ros")
    except metadata.PackageNotFoundError:
        return "unknown"
