"""Find the people in the images of a rosbag2, without ROS: every frame, as fast as the machine can.

Writes a new bag of the same storage with CAMERA/keypoints, CAMERA/skeletons and CAMERA/markers for each camera: stamps,
frames and recording times are those of the images, so that both bags play together. On the CPU the same bag gives the
same file, bit by bit.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mambapose_ros.cli.pipeline_arguments import add_pipeline_arguments, pipeline_options
from mambapose_ros.errors import UserError

if TYPE_CHECKING:
    from mambapose_ros.bags import BagReader, BagWriter, CameraStream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", metavar="IN", type=Path, help="folder with metadata.yaml, or a .mcap or .db3 file")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder of the new bag; must not exist")
    parser.add_argument(
        "--image-topic",
        action="append",
        default=[],
        metavar="TOPIC",
        help="look at this topic only; may be given several times (one topic of every camera in the bag)",
    )
    add_pipeline_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Process the bag; returns the exit status."""
    try:
        from mambapose_ros.bags import BagReader, BagWriter, CameraStream, MessageTypes, find_cameras, read_intrinsics
    except ModuleNotFoundError as error:
        raise UserError(f"reading bags needs the Python package rosbags: {error}; pip install rosbags") from error
    from mambapose_ros.perception import Pipeline
    from mambapose_ros.perception.tracker import Tracker

    if arguments.output.exists():
        raise UserError(f"{arguments.output} exists already; choose another name for the new bag, or remove it")
    options = pipeline_options(arguments)
    types = MessageTypes()

    def pipeline_of(namespace: str) -> Pipeline:
        # As of live nodes, ids of several cameras begin with the camera's name.
        name = namespace.strip("/").replace("/", "_")
        return Pipeline.create(options, Tracker(id_prefix=f"{name}_" if name and len(cameras) > 1 else ""))

    with BagReader(arguments.input) as bag:
        cameras = find_cameras(bag, types, arguments.image_topic)
        intrinsics = read_intrinsics(bag, types, cameras)
        chosen = {camera.image for camera in cameras}
        left_out = [topic for topic in bag.image_topics if topic not in chosen]
        try:
            streams = {
                camera.image: CameraStream(
                    camera, intrinsics[camera.image], pipeline_of(camera.namespace), options, types
                )
                for camera in cameras
            }
        except (ValueError, OSError) as error:
            raise UserError(str(error)) from error
        with BagWriter(arguments.output, bag.storage, types) as results:
            for stream in streams.values():
                stream.announce(results)
            problem = _process(bag, streams, results)
            for stream in streams.values():
                stream.finish(results)
    for stream in streams.values():
        print("\n".join(stream.report()))
    if left_out:
        print(f"left out: {', '.join(left_out)} (choose with --image-topic)")
    if problem:
        raise UserError(f"{problem}; {arguments.output} holds what was found up to there")
    if not any(stream.frames for stream in streams.values()):
        raise UserError(f"no image of {arguments.input} could be used; {arguments.output} is empty")
    print(f"results in {arguments.output}/")
    return 0


def _process(bag: BagReader, streams: dict[str, CameraStream], results: BagWriter) -> str:
    """Put every image through its camera's pipeline; returns what ended it early, empty when nothing did."""
    from rich.progress import Progress

    from mambapose_ros.bags import BagError

    with Progress() as progress:
        task = progress.add_task(", ".join(streams), total=bag.count(streams))
        try:
            for recorded in bag.messages(streams):
                streams[recorded.topic].process(recorded, results)
                progress.advance(task)
        except BagError as error:
            return str(error)
        except KeyboardInterrupt:
            progress.console.print("stopped; writing what there is")
    return ""
