"""Process a video file, a webcam, a folder of pictures or a synthetic person, without ROS.

Writes DIR/skeletons.npz, DIR/annotated.mp4 and DIR/summary.json.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mambapose_ros.cli.pipeline_arguments import add_pipeline_arguments, pipeline_options
from mambapose_ros.errors import UserError
from mambapose_ros.perception.keypoints import IMAGE_DETECTORS

if TYPE_CHECKING:
    from mambapose_ros.perception import Pipeline
    from mambapose_ros.results import ResultWriter
    from mambapose_ros.sources import SourceFrame

SYNTHETIC_SECONDS = 10.0
"""How long the synthetic person, who never stops, is watched unless asked otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--source", required=True, help="FILE, FOLDER, INDEX of a webcam, or synthetic[:MOTION]")
    parser.add_argument("--camera-info", type=Path, help="YAML that camera_calibration wrote; else 60 degrees assumed")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results (%(default)s)")
    parser.add_argument("--seconds", type=positive_seconds, help="stop after this much of the source")
    add_pipeline_arguments(parser, (*IMAGE_DETECTORS, "ground_truth"))
    parser.add_argument("--people", type=int, default=1, help="people in a synthetic scene (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of a synthetic scene (%(default)s)")


def positive_seconds(text: str) -> float:
    """A finite number of seconds above zero, for argparse."""
    seconds = float(text)
    if not 0.0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Process the source; returns the exit status."""
    from mambapose_ros.geometry import load_camera
    from mambapose_ros.perception import Pipeline
    from mambapose_ros.results import ResultWriter
    from mambapose_ros.sources import SourceError, SourceOptions, open_source

    synthetic = arguments.source.partition(":")[0] == "synthetic"
    if arguments.detector == "ground_truth" and not synthetic:
        raise UserError(
            f"--detector ground_truth: expected a synthetic source, whose people are known, got {arguments.source}; "
            "give --source synthetic[:MOTION], or another detector"
        )
    camera = load_camera(arguments.camera_info) if arguments.camera_info else None
    source = open_source(arguments.source, SourceOptions(camera=camera, people=arguments.people, seed=arguments.seed))
    seconds = arguments.seconds
    if seconds is None and synthetic:
        seconds = SYNTHETIC_SECONDS
    total = None if seconds is None or source.live else max(1, round(seconds * source.rate))
    try:
        options = pipeline_options(arguments)
        pipeline = Pipeline.create(options)
        writer = ResultWriter(arguments.output, source.rate)
        started = time.perf_counter()
        try:
            _process(_within(source, seconds), pipeline, writer, arguments.source, total)
        finally:
            source.close()
            pipeline.close()
            elapsed = round(time.perf_counter() - started, 3)
            summary = writer.close(source=arguments.source, options=asdict(options), seconds=elapsed)
    except SourceError as error:
        raise UserError(f"{error}; {arguments.output}/ holds what was found up to there") from error
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    print(
        f"{summary['frames']} frames, people in {summary['frames_with_people']} of them, "
        f"{summary['frames'] / summary['seconds']:.1f} frames/s; results in {arguments.output}/"
    )
    return 0


def _within(frames: Iterable[SourceFrame], seconds: float | None) -> Iterator[SourceFrame]:
    """Those of the first seconds, by their stamps: a webcam gives fewer than it says when nobody takes them in time."""
    first_ns: int | None = None
    for source_frame in frames:
        stamp_ns = source_frame.frame.stamp_ns
        first_ns = stamp_ns if first_ns is None else first_ns
        if seconds is not None and stamp_ns - first_ns >= seconds * 1e9:
            return
        yield source_frame


def _process(
    frames: Iterable[SourceFrame], pipeline: Pipeline, writer: ResultWriter, name: str, total: int | None
) -> None:
    """Put all frames of a source through, up to its end or Ctrl-C, showing progress."""
    from rich.progress import Progress

    from mambapose_ros.perception.continuity import discontinuity

    last = None
    with Progress() as progress:
        task = progress.add_task(name, total=total)
        try:
            for source_frame in frames:
                if discontinuity(last, source_frame.frame):
                    _write_owed(pipeline, writer)  # the pipeline is about to forget it
                last = source_frame.frame
                writer.add(pipeline(last))
                progress.advance(task)
        except KeyboardInterrupt:
            progress.console.print("stopped; writing what there is")
        finally:
            _write_owed(pipeline, writer)


def _write_owed(pipeline: Pipeline, writer: ResultWriter) -> None:
    """What a lifter that looks ahead still owes."""
    for lifted in pipeline.flush():
        writer.add_lifted(lifted)
