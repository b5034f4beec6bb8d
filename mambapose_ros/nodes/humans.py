"""People as REP-155 has them: the messages of one body."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from mambapose_ros.errors import UserError
from mambapose_ros.skeleton import JOINT_INDEX

_SIDES = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
_SHOULDERS = ("right_shoulder", "left_shoulder")

OPENPOSE_JOINTS: tuple[tuple[str, ...], ...] = (
    (),  # nose
    _SHOULDERS,  # neck
    *((f"{side}_{joint}",) for part in _SIDES for side in ("right", "left") for joint in part),
    *((),) * 4,  # eyes and ears
)
"""The 18 points of OpenPose's COCO model, in the order of ``Skeleton2D``: the joints whose middle each of them is."""


def hri_messages() -> Any:
    """The module ``hri_msgs.msg``.

    Raises:
        UserError: when it is not installed, or has not what is needed.
    """
    try:
        from hri_msgs import msg

        for name in ("IdsList", "NormalizedPointOfInterest2D", "NormalizedRegionOfInterest2D", "Skeleton2D"):
            getattr(msg, name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"hri_msgs 2 is needed, and it does not load ({error}): install ros-$ROS_DISTRO-hri-msgs, or build "
            "github.com/ros4hri/hri_msgs in your workspace"
        ) from error
    return msg


BODY_ID = "[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*"
"""A regular expression: letters, digits and single underscores, a letter first, as in topics and frames."""


def is_body_id(name: str) -> bool:
    """Whether a name can be part of topics and frames (``BODY_ID``)."""
    return re.fullmatch(BODY_ID, name) is not None


def openpose_points(xy: np.ndarray, confidence: np.ndarray, width: int, height: int) -> np.ndarray:
    """(18, 3) x and y in [0, 1] of the image and confidence of ``OPENPOSE_JOINTS``; zeros = unknown or outside.

    Args:
        xy: (17, 2) pixels, 0 = centre of the first; NaN = missing.
        confidence: (17,) in [0, 1].
        width, height: pixels.
    """
    points = np.zeros((len(OPENPOSE_JOINTS), 3))
    for point, names in zip(points, OPENPOSE_JOINTS, strict=True):
        joints = [JOINT_INDEX[name] for name in names]
        if joints:
            place = (xy[joints].mean(axis=0) + 0.5) / (width, height)
            if ((place >= 0.0) & (place <= 1.0)).all():  # false for NaN
                point[:] = *place, confidence[joints].min()
    return points


def skeleton2d(messages: Any, header: Header, points: np.ndarray) -> Any:
    """``hri_msgs/Skeleton2D`` of ``openpose_points``; ``messages`` is that package's module."""
    skeleton = [
        messages.NormalizedPointOfInterest2D(x=float(x), y=float(y), c=float(confidence)) for x, y, confidence in points
    ]
    return messages.Skeleton2D(header=header, skeleton=skeleton)


def normalized_region(
    messages: Any, header: Header, roi: RegionOfInterest, confidence: float, width: int, height: int
) -> Any:
    """``hri_msgs/NormalizedRegionOfInterest2D`` of a region in an image of this size, in pixels."""
    return messages.NormalizedRegionOfInterest2D(
        header=header,
        xmin=roi.x_offset / width,
        ymin=roi.y_offset / height,
        xmax=(roi.x_offset + roi.width) / width,
        ymax=(roi.y_offset + roi.height) / height,
        c=confidence,
    )
