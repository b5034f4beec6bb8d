"""The two networks of MediaPipe pose (BlazePose, Bazarevsky et al. 2020; Apache-2.0), each in a graph of its own.

``mediapipe.solutions.pose`` chains them for one person: it finds somebody, then follows them until they are lost. Here
they are separate, so that one finder serves any number of followers. Fed with what it would find, a follower gives bit
for bit the landmarks of ``solutions.pose``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_FINDER = """
input_stream: "image"
output_stream: "regions"
node {
  calculator: "PoseDetectionCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:detections"
}
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE_CPU:image"
  output_stream: "SIZE:image_size"
}
node {
  calculator: "BeginLoopDetectionCalculator"
  input_stream: "ITERABLE:detections"
  input_stream: "CLONE:image_size"
  output_stream: "ITEM:detection"
  output_stream: "CLONE:size"
  output_stream: "BATCH_END:end"
}
node {
  calculator: "PoseDetectionToRoi"
  input_stream: "DETECTION:detection"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "ROI:region"
}
node {
  calculator: "EndLoopNormalizedRectCalculator"
  input_stream: "ITEM:region"
  input_stream: "BATCH_END:end"
  output_stream: "ITERABLE:regions"
}
"""

_LANDMARKER = """
input_stream: "image"
input_stream: "region"
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  output_stream: "LANDMARKS:raw"
  output_stream: "AUXILIARY_LANDMARKS:raw_auxiliary"
  output_stream: "WORLD_LANDMARKS:raw_world"
}
"""

_FOLLOWER = (
    _LANDMARKER
    + """
output_stream: "landmarks"
output_stream: "next_region"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE_CPU:image"
  output_stream: "SIZE:image_size"
}
node {
  calculator: "PoseLandmarkFiltering"
  input_stream: "IMAGE_SIZE:image_size"
  input_stream: "NORM_LANDMARKS:raw"
  input_stream: "AUX_NORM_LANDMARKS:raw_auxiliary"
  input_stream: "WORLD_LANDMARKS:raw_world"
  output_stream: "FILTERED_NORM_LANDMARKS:landmarks"
  output_stream: "FILTERED_AUX_NORM_LANDMARKS:auxiliary"
  output_stream: "FILTERED_WORLD_LANDMARKS:world"
}
node {
  calculator: "PoseLandmarksToRoi"
  input_stream: "LANDMARKS:auxiliary"
  input_stream: "IMAGE_SIZE:image_size"
  output_stream: "ROI:next_region"
}
"""
)


@dataclass(frozen=True)
class Region:
    """The turned square of an image that the landmark network looks at.

    Attributes:
        x, y: of its centre, between the hips of the person, as fractions of the image's width and height.
        width, height: as fractions of the image's width and height.
        rotation: radians, clockwise as seen; 0 = the person is upright.
    """

    x: float
    y: float
    width: float
    height: float
    rotation: float


@dataclass(frozen=True, eq=False)
class Landmarks:
    """One person as BlazePose sees them.

    Attributes:
        xy: (33, 2) pixels, origin at the centre of the top left pixel.
        visibility: (33,) in [0, 1].
        next_region: where to look in the next image; None from ``Glance``.
    """

    xy: np.ndarray
    visibility: np.ndarray
    next_region: Region | None


class Finder:
    """Finds people who take up about a quarter or more of an image.

    Raises:
        ImportError: when mediapipe is not installed.
    """

    def __init__(self) -> None:
        self._graph = _start(_FINDER)

    def __call__(self, image: np.ndarray) -> tuple[Region, ...]:
        """(H, W, 3) uint8 RGB -> the regions of the people in it, the surest first."""
        found: Sequence[Any] = self._graph.process(np.ascontiguousarray(image)).regions or ()
        return tuple(_region(rect) for rect in found)

    def close(self) -> None:
        self._graph.close()


class Glance:
    """Landmarks of somebody in one image, without memory of others.

    Raises:
        ImportError: when mediapipe is not installed.
    """

    def __init__(self) -> None:
        self._graph = _start(_LANDMARKER + 'output_stream: "raw"\n')

    def __call__(self, image: np.ndarray, region: Region) -> Landmarks | None:
        """(H, W, 3) uint8 RGB -> who is in the region; None when nobody is."""
        found = self._graph.process({"image": image, "region": _rectangle(region)})
        return None if found.raw is None else _landmarks(found.raw, image, None)

    def close(self) -> None:
        self._graph.close()


class Follower:
    """Landmarks of one person from image to image, smoothed over time (One-Euro filter, at an assumed 30 Hz).

    Raises:
        ImportError: when mediapipe is not installed.
    """

    def __init__(self) -> None:
        self._graph = _start(_FOLLOWER)

    def __call__(self, image: np.ndarray, region: Region) -> Landmarks | None:
        """(H, W, 3) uint8 RGB -> who is in the region; None when nobody is."""
        found = self._graph.process({"image": image, "region": _rectangle(region)})
        if found.landmarks is None or found.next_region is None:
            return None
        return _landmarks(found.landmarks, image, _region(found.next_region))

    def forget(self) -> None:
        """Whoever comes next is somebody else. Returns at once; the next call waits until the network is ready."""
        self._graph.reset()

    def close(self) -> None:
        self._graph.close()


def _start(graph: str) -> Any:
    # MediaPipe reports each start at length on stderr; its errors still come through.
    os.environ.setdefault("GLOG_minloglevel", "2")
    from mediapipe.python.solution_base import SolutionBase

    return SolutionBase(graph_config=graph)


def _region(rect: Any) -> Region:
    return Region(rect.x_center, rect.y_center, rect.width, rect.height, rect.rotation)


def _rectangle(region: Region) -> Any:
    from mediapipe.framework.formats.rect_pb2 import NormalizedRect

    return NormalizedRect(
        x_center=region.x, y_center=region.y, width=region.width, height=region.height, rotation=region.rotation
    )


def _landmarks(found: Any, image: np.ndarray, next_region: Region | None) -> Landmarks:
    height, width = image.shape[:2]
    points = np.array([(point.x, point.y, point.visibility) for point in found.landmark])
    # Landmarks are fractions of the image, measured from its corner; ours from the centre of the corner pixel.
    return Landmarks(points[:, :2] * (width, height) - 0.5, points[:, 2].clip(0.0, 1.0), next_region)
