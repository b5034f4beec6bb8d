"""Depth images, joined with colour images of the same stamp."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from mambapose_ros.image_encoding import ImageError
from mambapose_ros.nodes.conversions import depth_to_metres, stamp_to_ns
from mambapose_ros.nodes.stamp_join import KEPT

_FARTHEST_M = 50.0  # median of an image; no depth camera that sees people measures more
_ENOUGH = 100  # pixels, for a median
_LATENESS_TOLD_S = 2.0
_REMEMBERED = 300  # stamps of images that went on without depth; ten seconds at 30 Hz


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
        self._asked_ns: int | None = None
        self._silent = True  # not waited for
        self._given_up: dict[int, float] = {}  # stamp of an image without depth -> steady seconds when it asked
        self._late_s: float | None = None  # of the last depth of such an image, since it asked; None = in time since
        self._late_at_s = 0.0  # steady seconds when that came

    def put(self, message: Image) -> None:
        """A depth image came."""
        stamp_ns = stamp_to_ns(message.header.stamp)
        with self._condition:
            self._waiting[stamp_ns] = message
            _drop_oldest(self._waiting, KEPT)
            self._newest_ns = stamp_ns
            self._judge(stamp_ns, self._given_up.pop(stamp_ns, None))
            self._condition.notify_all()

    def _judge(self, stamp_ns: int, asked_s: float | None) -> None:
        """Whether depth is worth waiting for again, now that this came; None = no image asked for it in vain."""
        if asked_s is None:
            # Ahead of all that asked. That says little when it is known to come late: not every image asks.
            if self._late_s is None and (self._asked_ns is None or stamp_ns > self._asked_ns):
                self._silent = False
        elif (late_s := time.monotonic() - asked_s) > self._timeout_s:
            self._late_s, self._late_at_s = late_s, time.monotonic()
        else:  # waited for, it would have come in time
            self._silent, self._late_s = False, None

    def take(self, stamp_ns: int, width: int, height: int) -> np.ndarray | None:
        """Depth with exactly this stamp, (H, W) float32 metres, NaN = not measured; None when there is none.

        One that has not come is waited for, up to the timeout, unless a later one has come, or the last wait was in
        vain and none has come in time since: a depth camera that falls silent, or behind, costs one timeout.
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
            self._asked_ns, asked_s = stamp_ns, time.monotonic()
            if not self._silent:
                self._silent = not self._condition.wait_for(decided, self._timeout_s)
            message = self._waiting.pop(stamp_ns, None)
            if message is not None:
                self._silent, self._late_s = False, None
            else:
                self._given_up[stamp_ns] = asked_s
                _drop_oldest(self._given_up, _REMEMBERED)
            return message

    def _why_none(self, stamp_ns: int) -> str:
        with self._condition:
            if self._newest_ns is None:
                return "no depth image came yet: is the depth camera running, and its topic remapped to this one?"
            # A sensor that was late and has fallen silent, or off, since has another remedy.
            if self._late_s is not None and time.monotonic() - self._late_at_s < _LATENESS_TOLD_S:
                return (
                    f"the last depth image came {self._late_s * 1e3:.0f} ms after the colour image had asked for it, "
                    f"later than depth_timeout ({self._timeout_s:g} s): raise it"
                )
            nearest = min((abs(stamp - stamp_ns) for stamp in self._waiting), default=None)
        how_far = "" if nearest is None else f"; the nearest is {nearest * 1e-6:.1f} ms off"
        return f"no depth image with the colour image's stamp{how_far}: use depth registered to the colour camera"


def _drop_oldest(kept: dict[int, Any], most: int) -> None:
    """Of what is more than that, what was put in first."""
    while len(kept) > most:
        del kept[next(iter(kept))]


def depth_problem(depth: np.ndarray, encoding: str, width: int, height: int) -> str:
    """Why depth cannot be used; empty when it can."""
    if depth.shape != (height, width):
        return (
            f"expected depth registered to the image, {width}x{height}, got {depth.shape[1]}x{depth.shape[0]}: use "
            "the depth camera's topic that is aligned to colour"
        )
    known = _known(depth[::8, ::8])  # a median of all takes milliseconds
    if len(known) < _ENOUGH:  # a small image, or one of which little is measured
        known = _known(depth)
    if len(known) and (middle := float(np.median(known))) > _FARTHEST_M:
        return (
            f"expected metres in {encoding}, got a median of {middle:.0f}: these look like millimetres; publish them "
            "as 16UC1, or divide them by 1000 (REP-118)"
        )
    return ""


def _known(depth: np.ndarray) -> np.ndarray:
    return depth[np.isfinite(depth)]
