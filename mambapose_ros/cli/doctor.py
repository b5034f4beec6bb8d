"""Say what works on this machine and what is missing."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import import_module, metadata, util
from typing import TYPE_CHECKING

from mambapose_ros.errors import first_line
from mambapose_ros.version import version
from mambapose_ros.weights import MODELS, MissingError, WeightsError, locate
from mambapose_ros.weights.advice import advice

if TYPE_CHECKING:
    from mambapose_ros.ops import ScanBackend

# distribution -> (module, what is lost without it)
_PARTS = {
    "numpy": ("numpy", "everything"),
    "opencv-contrib-python-headless": ("cv2", "everything"),
    "torch": ("torch", "everything"),
    "torchvision": ("torchvision", "flow by RAFT, depth by Depth Anything, keypoint_rcnn"),
    "transformers": ("transformers", "depth by Depth Anything, vitpose"),
    "matplotlib": ("matplotlib", "`mambapose train`, pictures of `mambapose evaluate`"),
    "rosbags": ("rosbags", "`mambapose bag`"),
    "mediapipe": ("mediapipe", "the 2D front end that needs no download (builds exist for Python 3.10-3.12, x86-64)"),
    "ros-rclpy": ("rclpy", "the ROS nodes; `mambapose run` still works"),
    "cv-bridge": ("cv_bridge", "nothing: images are decoded by this package"),
}

_NEEDED = ("numpy", "cv2", "torch")
"""Modules that are imported to see whether they can be used: an installation that is there may be broken."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This command has no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the report; returns 1 when something that is needed is missing."""
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "state", "without it, or why")
    table.add_row("mambapose_ros", version(), "")
    table.add_row("Python", platform.python_version(), "")
    table.add_row("ROS 2", os.environ.get("ROS_DISTRO", "not sourced"), "")
    for distribution, (module, loss) in _PARTS.items():
        table.add_row(module, _state(distribution, module), loss)
    problems = {module: problem for module in _NEEDED if (problem := _problem(module))}
    for module, problem in problems.items():
        table.add_row(module, "cannot be used", problem)
    for backend in [] if "torch" in problems else _scan_backends():
        state = "available" if backend.available else "not available"
        table.add_row(f"scan backend {backend.name}", state, backend.reason)
    for name in MODELS:
        table.add_row(f"model {name}", *_model_state(name))
    Console().print(table)
    if line := advice("torch" not in problems and _gpu_is_there()):
        print(line)
    return 1 if problems else 0


def _problem(module: str) -> str:
    """Why it cannot be used, in a line; empty when it can."""
    try:
        import_module(module)
    except Exception as error:  # broken installations raise errors of many kinds
        return first_line(error)
    return ""


def _scan_backends() -> list[ScanBackend]:
    from mambapose_ros.ops import scan_backends

    return scan_backends()


def _model_state(name: str) -> tuple[str, str]:
    """Whether it is here; what it does, or what is wrong with it."""
    model = MODELS[name]
    try:
        locate(name)
    except MissingError:
        size = "" if model.megabytes is None else f", {model.megabytes:.0f} MB"
        return "not here" + size, model.purpose
    except WeightsError as error:
        return "unusable", str(error)
    return "shipped" if model.shipped else "here", model.purpose


def _gpu_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def _state(distribution: str, module: str) -> str:
    if util.find_spec(module) is None:
        return "missing"
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "installed"
