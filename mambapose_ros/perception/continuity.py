"""Whether a frame follows the last one, or all that is remembered of earlier ones is to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mambapose_ros.geometry import Camera

MAX_GAP_S = 1.0
"""Longest time between two images that still counts as one movement."""

_GAP = "gap between stamps"


class Taken(Protocol):
    """What tells of an image when it was taken and through what."""

    @property
    def stamp_ns(self) -> int:
        """Nanoseconds."""

    @property
    def camera(self) -> Camera:
        """Intrinsics and size."""


@dataclass(frozen=True)
class Shot:
    """What is remembered of a frame to tell whether the next one follows it."""

    stamp_ns: int
    camera: Camera


def discontinuity(previous: Taken | None, frame: Taken) -> str:
    """Why a frame does not continue the previous one; empty when it does or is the first."""
    if previous is None:
        return ""
    if frame.stamp_ns == previous.stamp_ns:
        return "stamp repeated"
    if frame.stamp_ns < previous.stamp_ns:
        return "stamp ran backwards"
    # Other intrinsics for the same pixels, as when the first CameraInfo comes late, interrupt nothing.
    if (frame.camera.width, frame.camera.height) != (previous.camera.width, previous.camera.height):
        return "image size changed"
    if frame.stamp_ns - previous.stamp_ns > MAX_GAP_S * 1e9:
        return _GAP
    return ""


def loses_people(reason: str) -> bool:
    """Whether nobody seen before a discontinuity of this name can be known again. After a gap they can, as long as
    the tracker remembers them."""
    return reason not in ("", _GAP)


def starting_anew(reason: str) -> str:
    """What a discontinuity of this name leads to, in words."""
    return f"{reason}: starting anew" + (", people get new ids" if loses_people(reason) else "")
