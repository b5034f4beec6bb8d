"""The options of the pipeline, for every command that processes recordings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mambapose_ros.perception.depth import DEPTHS
from mambapose_ros.perception.device import DEVICES
from mambapose_ros.perception.flow import FLOWS
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS
from mambapose_ros.perception.pipeline import PipelineOptions

RECORDED_DEPTHS = tuple(name for name in DEPTHS if name != "sensor")
"""What needs no depth camera beside the images."""


def add_pipeline_arguments(parser: argparse.ArgumentParser, detectors: Sequence[str] = IMAGE_DETECTORS) -> None:
    """Declare them, named as the fields of ``PipelineOptions``."""
    parser.add_argument("--detector", default="mediapipe", choices=detectors, help="2D front end (%(default)s)")
    parser.add_argument("--detector-weights", default="", help="folder or file of vitpose or keypoint_rcnn")
    parser.add_argument("--finder-weights", default="", help="folder of what finds people for vitpose")
    parser.add_argument("--flow", default="dis", choices=FLOWS, help="optical flow (%(default)s)")
    parser.add_argument("--flow-weights", default="", help="file of RAFT")
    parser.add_argument(
        "--flow-width", type=positive_count, default=0, help="pixels to scale down to for flow (640; RAFT on a CPU 320)"
    )
    parser.add_argument("--flow-updates", type=positive_count, default=0, help="of RAFT: refinements (12; on a CPU 4)")
    parser.add_argument("--depth", default="off", choices=RECORDED_DEPTHS, help="depth of every pixel (%(default)s)")
    parser.add_argument("--depth-weights", default="", help="folder of the depth network")
    parser.add_argument(
        "--depth-side", type=positive_count, default=0, help="pixels to scale to for that network (518; on a CPU 252)"
    )
    parser.add_argument("--max-people", type=positive_count, default=4, help="people to follow (%(default)s)")
    parser.add_argument(
        "--weights",
        default="mambapose-s",
        help="name or file of the lifter; mambapose-xs is faster; auto = as pose_node; empty = no 3D (%(default)s)",
    )
    parser.add_argument("--window", type=positive_count, default=81, help="frames that the lifter sees (%(default)s)")
    parser.add_argument("--lookahead", type=int, help="of these, frames after the one that is lifted (half of them)")
    add_flip_average(parser)
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where networks run (%(default)s)")
    parser.add_argument("--threads", type=positive_count, default=1, help="of networks on the CPU (%(default)s)")


def add_flip_average(parser: argparse.ArgumentParser) -> None:
    """Declare ``--flip-average`` and ``--no-flip-average``."""
    parser.add_argument(
        "--flip-average",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="average 3D over the mirror image: slower, better",
    )


def pipeline_options(arguments: argparse.Namespace) -> PipelineOptions:
    """What was asked for. A recording is in no hurry: unless told otherwise, each frame is lifted by the more accurate
    network, twice, mirrored and not, from the middle of its window, where it is known best."""
    lookahead = arguments.window // 2 if arguments.lookahead is None else arguments.lookahead
    return PipelineOptions.pick({**vars(arguments), "lookahead": lookahead})


def positive_count(text: str) -> int:
    """A number of 1 or more, for argparse."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return count
