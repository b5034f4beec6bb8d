"""The ``mambapose`` command: one file per subcommand, imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from mambapose_ros.errors import UserError, first_line
from mambapose_ros.perception.device import is_gpu_failure
from mambapose_ros.version import version

# name -> what it does; the module of the same name in this folder has add_arguments(parser) and run(arguments).
COMMANDS = {
    "demo": "show the nodes at work on a synthetic person, a video or a webcam",
    "run": "process a video, webcam, picture folder or synthetic person without ROS, and write the results to files",
    "bag": "process the cameras of a rosbag2 without ROS, every frame, and write the results to a new bag",
    "train": "train the lifter on motion capture",
    "evaluate": "score a trained lifter on motion capture",
    "bench": "measure time and memory on this machine, against a network of ViTPose-B's shape",
    "download": "fetch models that are not part of the package",
    "doctor": "say what works on this machine and what is missing",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="mambapose", description="3D human skeletons from one camera")
    parser.add_argument("--version", action="version", version=version())
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparsers.add_parser(name, help=summary, add_help=False)
    asked, rest = parser.parse_known_args(argv)
    try:
        # Only now: what another command needs may be missing, and doctor is there to say so.
        command = import_module(f"mambapose_ros.cli.{asked.command}")
        own = argparse.ArgumentParser(prog=f"mambapose {asked.command}", description=command.__doc__)
        command.add_arguments(own)
        return command.run(own.parse_args(rest))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        line = _line_about(error)
        if not line:
            raise
        print(f"mambapose {asked.command}: {line}", file=sys.stderr)
        return 1


def _line_about(error: Exception) -> str:
    """What the user can do something about; empty for what is a fault of this package."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ImportError) and not (error.name or "").startswith("mambapose_ros"):
        return (
            f"a Python package is missing or cannot be used: {error}. Install it with pip, or `make build` in a "
            "checkout; `mambapose doctor` lists all of them"
        )
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else first_line(error)
    if is_gpu_failure(error):
        return f"the GPU failed: {first_line(error)}. Give --device cpu, or close what else uses its memory"
    return ""


if __name__ == "__main__":
    sys.exit(main())
