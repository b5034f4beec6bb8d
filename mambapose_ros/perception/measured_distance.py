"""How far away people were measured to be, for images in which nothing was measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import numpy as np

MEMORY_S = 2.0
"""Seconds that a measurement counts: as long as somebody out of sight is followed."""

_SPAN = 30
"""Most measurements of a person that count: a second of them."""


class MeasuredDistances:
    """By how much people are farther away than their keypoints' rays say, as a depth sensor measured of late.

    The rays err with the size of the body, which stays the same: without this, a person would jump by some 6 cm
    whenever one image comes without depth.
    """

    def __init__(self) -> None:
        self._measured: dict[str, deque[tuple[int, float]]] = {}

    def remember(self, person: str, stamp_ns: int, ratio: float) -> None:
        """Note a measured distance over the one by rays, of an image that is later than the last."""
        self._measured.setdefault(person, deque(maxlen=_SPAN)).append((stamp_ns, ratio))

    def ratio(self, person: str, stamp_ns: int) -> float:
        """The median of what was measured in the ``MEMORY_S`` before an image; NaN when nothing was."""
        recent = [ratio for at_ns, ratio in self._measured.get(person, ()) if stamp_ns - at_ns <= MEMORY_S * 1e9]
        return float(np.median(recent)) if recent else np.nan

    def keep(self, people: Collection[str]) -> None:
        """Forget everybody but these."""
        self._measured = {person: ratios for person, ratios in self._measured.items() if person in people}
