"""What the cameras of a bag said of themselves."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from mambapose_ros.bags.cameras import CameraTopics
from mambapose_ros.bags.errors import BagError
from mambapose_ros.bags.message_types import CAMERA_INFO, MessageTypes
from mambapose_ros.bags.reader import BagReader
from mambapose_ros.geometry import Camera, CameraError
from mambapose_ros.image_encoding import ImageError
from mambapose_ros.messages import camera_from_info, is_rectified, stamp_to_ns


@dataclass(frozen=True)
class Intrinsics:
    """What a camera said of itself during a recording.

    Attributes:
        stamps_ns: when each of ``cameras`` began to hold, increasing.
        cameras: as many.
        problem: why there is none, or why messages could not be used; empty = all is well.
    """

    stamps_ns: tuple[int, ...]
    cameras: tuple[Camera, ...]
    problem: str

    def at(self, stamp_ns: int, width: int, height: int) -> tuple[Camera, str]:
        """The camera of an image, and why its intrinsics are assumed; empty when they are known.

        It is the one that was said last before the image, or, where the recording had none yet, the first one after.
        """
        problem = self.problem
        if self.cameras:
            camera = self.cameras[max(0, bisect_right(self.stamps_ns, stamp_ns) - 1)]
            if (camera.width, camera.height) == (width, height):
                return camera, ""
            size = f"{camera.width}x{camera.height}"
            problem = f"expected a camera_info for {width}x{height}, the image's size, got {size}"
        return Camera.from_fov(width, height, assumed=True), problem


def read_intrinsics(bag: BagReader, types: MessageTypes, cameras: Sequence[CameraTopics]) -> dict[str, Intrinsics]:
    """Image topic -> intrinsics, of a whole recording: also those that were recorded after the first images."""
    said: dict[str, list[tuple[int, Camera]]] = {camera.camera_info: [] for camera in cameras if camera.camera_info}
    rectified = {camera.camera_info: is_rectified(camera.image) for camera in cameras}
    problems = dict.fromkeys(said, "no camera_info was recorded")
    try:
        for recorded in bag.messages(said):
            try:
                message = types.read(recorded.data, CAMERA_INFO)
                camera = camera_from_info(message, rectified[recorded.topic])
                stamp_ns = stamp_to_ns(message.header.stamp)
            except (CameraError, ImageError) as error:
                problems[recorded.topic] = str(error)
                continue
            before = said[recorded.topic]
            # A camera says the same with every image; only what changes, or lies before what is known, is kept.
            if not before or stamp_ns < before[-1][0] or camera != before[-1][1]:
                before.append((stamp_ns, camera))
    except BagError as error:  # whoever reads the images meets the damage again, and says so
        problems |= {topic: str(error) for topic, before in said.items() if not before}
    result = {}
    for topics in cameras:
        ordered = sorted(said.get(topics.camera_info, ()), key=lambda pair: pair[0])
        stamps_ns, known = tuple(stamp for stamp, _ in ordered), tuple(camera for _, camera in ordered)
        problem = problems.get(topics.camera_info, "no camera_info was recorded beside the images")
        result[topics.image] = Intrinsics(stamps_ns, known, problem)
    return result
