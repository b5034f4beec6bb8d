"""Optical flow: how far what is seen at each pixel has moved since the previous image.

Convention: flow lies on the grid of the *current* image. The point now at (x, y) was at (x, y) - flow[y, x] one image
before. So it is sampled where the joints are now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np


class FlowEstimator(Protocol):
    """Turns a stream of images into flow; remembers the previous image."""

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB -> (H, W, 2) float32 pixels, or None when there is no previous image of this size."""

    def reset(self) -> None:
        """Forget the previous image: what comes next does not follow it."""


_SMALLEST = 16  # pixels; DIS compares patches of 8 at several scales and fails on less


class DISFlow:
    """Dense Inverse Search (Kroeger et al., ECCV 2016) by OpenCV: no weights, some milliseconds on a CPU."""

    def __init__(self) -> None:
        import cv2

        # Twice the work of ULTRAFAST for half its error around limbs, and still some milliseconds at 640x480.
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._previous: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        import cv2

        previous, current = self._previous, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self._previous = current
        if previous is None or previous.shape != current.shape or min(current.shape) < _SMALLEST:
            return None
        # From now to before: flow on the current grid, with the opposite sign.
        return -self._dis.calc(current, previous, None)  # type: ignore[call-overload]  # None: no initial flow

    def reset(self) -> None:
        self._previous = None


FLOWS: dict[str, Callable[[], FlowEstimator | None]] = {"dis": DISFlow, "off": lambda: None}


def make_flow(name: str) -> FlowEstimator | None:
    """The estimator of that name, a key of ``FLOWS``; ``"off"`` is None.

    Raises:
        ValueError: for another name.
    """
    if name not in FLOWS:
        raise ValueError(f"expected flow to be one of {', '.join(FLOWS)}, got {name!r}")
    return FLOWS[name]()
