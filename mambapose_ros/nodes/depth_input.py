"""Depth images, joined with colour images of the same stamp."""

from __future__ import annotations

import threading

import numpy as np
from sensor_msgs.msg import Image

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.nodes.conversions import depth_to_metres, stamp_to_ns
from mambapose_ros.nodes.stamp_join import KEPT

_FARTHEST_M = 50.0  # median of an image; no depth camera that sees people measures more


class DepthInput:
    """Keeps the newest depth images until those of the colour camera ask for them; two threads may use it.

    Attributes:
        problem: why the last image that was asked for had no depth; empty when it had.
    """

    def __init__(self, timeout_s: float) -> None:
        self.problem = "no depth image came yet"
        self._timeout_s = timeout_s
        self._condition = threading.Condition()
        self._waiting: dict[int, Image] = {}
        self._newest_ns: int | None = None
        self._silent = True

    def put(self, message: Image) -> None:
        """A depth image came."""
        stamp_ns = stamp_to_ns(message.header.stamp)
        with self._condition:
            self._waiting[stamp_ns] = message
            while len(self._waiting) > KEPT:
                del self._waiting[next(iter(self._waiting))]
            self._newest_ns, self._silent = stamp_ns, False
            self._condition.notify_all()

    def take(self, stamp_ns: int, width: int, height: int) -> np.ndarray | None:
        """Depth with exactly this stamp, (H, W) float32 metres, NaN = not measured; None when there is none.

        One that has not come is waited for, up to the timeout, unless a later one has come, or nothing came since the
        last that was waited for in vain: a depth camera that falls silent costs one timeout.
        """
        message = self._partner(stamp_ns)
        if message is None:
            self.problem = self._why_none(stamp_ns)
            return None
        try:
            depth = depth_to_metres(message)
        except ImageError as error:
            self.problem = f"depth image: {error}"
            return None
        self.problem = depth_problem(depth, message.encoding, width, height)
        return None if self.problem else depth

    def _partner(self, stamp_ns: int) -> Image | None:
        def decided() -> bool:
            return stamp_ns in self._waiting or (self._newest_ns is not None and self._newest_ns > stamp_ns)

        with self._condition:
            if not self._silent:
                self._silent = not self._condition.wait_for(decided, self._timeout_s)
            return self._waiting.pop(stamp_ns, None)

    def _why_none(self, stamp_ns: int) -> str:
        with self._condition:
            if self._newest_ns is None:
                return "no depth image came yet: is the depth camera running, and its topic remapped to this one?"
            nearest = min((abs(stamp - stamp_ns) for stamp in self._waiting), default=None)
        how_far = "" if nearest is None else f"; the nearest is {nearest * 1e-6:.1f} ms off"
        return f"no depth image with the colour image's stamp{how_far}: use depth registered to the colour camera"


def depth_problem(depth: np.ndarray, encoding: str, width: int, height: int) -> str:
    """Why depth cannot be used; empty when it can."""
    if depth.shape != (height, width):
        return (
            f"expected depth registered to the image, {width}x{height}, got {depth.shape[1]}x{depth.shape[0]}: use "
            "the depth camera's topic that is aligned to colour"
        )
    known = depth[np.isfinite(depth)]
    if len(known) and (middle := float(np.median(known))) > _FARTHEST_M:
        return (
            f"expected metres in {encoding}, got a median of {middle:.0f}: these look like millimetres; publish them "
            "as 16UC1, or divide them by 1000 (REP-118)"
        )
    return ""
