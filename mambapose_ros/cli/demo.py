"""Show the ROS nodes at work on a synthetic person, a video file or a webcam, and write what they saw to files."""

from __future__ import annotations

import argparse
from pathlib import Path

from mambapose_ros.cli.run import positive_seconds
from mambapose_ros.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--source", default="synthetic:walk", help="FILE, FOLDER, INDEX of a webcam, or synthetic[:MOTION]"
    )
    parser.add_argument("--camera-info", default="", help="YAML that camera_calibration wrote")
    parser.add_argument("--weights", default="", help="name or file of the lifter; without, pose_node's own")
    parser.add_argument("--seconds", type=positive_seconds, default=15.0, help="how long (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the results (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    try:
        from mambapose_ros.nodes.demo import DemoOptions, run_demo
    except ModuleNotFoundError as error:
        raise UserError(
            f"expected a ROS 2 environment with this package built in it, got: {error}; source its setup.bash, or use "
            "`make demo` in a checkout"
        ) from error

    return run_demo(
        DemoOptions(
            source=arguments.source,
            seconds=arguments.seconds,
            output=arguments.output,
            camera_info=arguments.camera_info,
            weights=arguments.weights,
        )
    )
