"""The ``mambapose`` command: one file per subcommand, imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from mambapose_ros.errors import UserError
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
        command = import_module(f"mambapose_ros.cli.{name}")
        command.add_arguments(subparsers.add_parser(name, help=summary, description=command.__doc__))
    arguments = parser.parse_args(argv)
    try:
        return import_module(f"mambapose_ros.cli.{arguments.command}").run(arguments)
    except UserError as error:
        print(f"mambapose {arguments.command}: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        if (error.name or "").startswith("mambapose_ros"):
            raise
        print(
            f"mambapose {arguments.command}: a Python package is missing or cannot be used: {error}. Install it with "
            "pip, or `make build` in a checkout; `mambapose doctor` lists all of them",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
