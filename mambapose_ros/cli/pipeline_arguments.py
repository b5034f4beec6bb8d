"""The options of the pipeline, for every command that processes recordings."""

from __future__ import annotations

import argparse

from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS
from mambapose_ros.perception.pipeline import PipelineOptions

RECORDED_DEPTHS = tuple(name for name in DEPTHS if name != "sensor")
"""What needs no depth camera beside the images."""


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them, named as the fields of ``PipelineOptions``."""
    parser.add_argument("--detector", default="mediapipe", choices=IMAGE_DETECTORS, help="2D front end (%(default)s)")
    parser.add_argument("--flow", default="dis", choices=FLOWS, help="optical flow (%(default)s)")
    parser.add_argument("--depth", default="off", choices=RECORDED_DEPTHS, help="depth of every pixel (%(default)s)")
    parser.add_argument("--max-people", type=positive_count, default=4, help="people to follow (%(default)s)")
    parser.add_argument(
        "--weights", default="mambapose-xs", help="name or file of the lifter; empty = no 3D (%(default)s)"
    )
    parser.add_argument("--window", type=positive_count, default=81, help="frames that the lifter sees (%(default)s)")
    parser.add_argument("--lookahead", type=int, help="of these, frames after the one that is lifted (half of them)")
    parser.add_argument("--flip-average", action="store_true", help="average 3D over the mirror image: slower, better")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where networks run (%(default)s)")
    parser.add_argument("--threads", type=positive_count, default=1, help="of networks on the CPU (%(default)s)")


def pipeline_options(arguments: argparse.Namespace) -> PipelineOptions:
    """What was asked for. A recording is in no hurry: unless told otherwise, each frame is lifted from the middle of
    its window, where it is known best."""
    lookahead = arguments.window // 2 if arguments.lookahead is None else arguments.lookahead
    return PipelineOptions.pick({**vars(arguments), "lookahead": lookahead})


def positive_count(text: str) -> int:
    """A number of 1 or more, for argparse."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return count
