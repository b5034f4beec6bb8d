"""2D front ends: from an image to the joints of the people in it. One protocol, one file each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

import numpy as np

from mambapose_ros.errors import UserError
from mambapose_ros.types import PersonKeypoints


class KeypointDetector(Protocol):
    """Finds people. May use earlier images to find them sooner, so images come in order."""

    def __call__(self, image: np.ndarray) -> tuple[PersonKeypoints, ...]:
        """(H, W, 3) uint8 RGB -> the people in it, Human3.6M-17 joints in its pixels, without ids."""

    def reset(self) -> None:
        """Forget earlier images: what comes next does not follow them."""

    def close(self) -> None:
        """Give back memory; the detector is not used again."""


class DetectorUnavailable(UserError):
    """A front end that cannot run here; the message says why and what can."""


# name -> "module:class"; imported when asked for, since each brings a heavy library.
DETECTORS = {"mediapipe": "mambapose_ros.perception.keypoints.mediapipe:MediaPipeDetector"}


def make_detector(name: str) -> KeypointDetector:
    """The front end of that name.

    Raises:
        ValueError: for an unknown name.
        DetectorUnavailable: when what it needs is not installed.
    """
    if name not in DETECTORS:
        raise ValueError(f"expected detector to be one of {sorted(DETECTORS)}, got {name!r}")
    module, _, attribute = DETECTORS[name].partition(":")
    factory: Callable[[], KeypointDetector] = getattr(import_module(module), attribute)
    try:
        return factory()
    except ImportError as error:
        others = sorted(set(DETECTORS) - {name}) or ["none in this version"]
        raise DetectorUnavailable(
            f"detector {name!r} cannot run here: {error}. MediaPipe has builds for Python 3.10-3.12 on x86-64; "
            f"front ends that remain: {', '.join(others)}"
        ) from error
