"""How fast people's joints move, from where they were in the last images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from mambapose_ros.perception.continuity import MAX_GAP_S

SPAN_S = 0.25
"""Seconds that a velocity is taken over: a walking step has two to four of them."""


class JointVelocities:
    """Velocity of each joint as the median of the slopes between all pairs of its last places (Theil-Sen).

    It is that of about the middle of the span, some 0.1 s ago. Up to 29 % of the places may be gross errors.
    """

    def __init__(self) -> None:
        self._places: dict[str, list[_Place]] = {}

    def __call__(
        self, stamp_ns: int, joints: Mapping[str, np.ndarray], predicted: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Velocities of the people of the next image.

        Args:
            stamp_ns: of the image, later than the last.
            joints: id -> (17, 3) metres; NaN = missing.
            predicted: ids of people who are not seen. When they are seen again, where they were predicted to be tells
                nothing of how they move.

        Returns:
            id -> (17, 3) metres per second; NaN = unknown, as when somebody is seen for the first time.
        """
        recent = {name: _recent(places, stamp_ns) for name, places in self._places.items()}
        self._places = {name: places for name, places in recent.items() if places}
        for name, place in joints.items():
            before = self._places.get(name, [])
            if name not in predicted:
                before = [place for place in before if not place.predicted]
            self._places[name] = [*before, _Place(stamp_ns, place, name in predicted)]
        return {name: _median_slope(self._places[name]) for name in joints}

    def reset(self) -> None:
        """Forget earlier images."""
        self._places.clear()


@dataclass(frozen=True, eq=False)
class _Place:
    stamp_ns: int
    joints: np.ndarray
    predicted: bool


def _recent(places: list[_Place], stamp_ns: int) -> list[_Place]:
    """Those within the span, or the newest alone where images come more slowly."""
    within = [place for place in places if stamp_ns - place.stamp_ns <= SPAN_S * 1e9]
    return within or [place for place in places[-1:] if stamp_ns - place.stamp_ns <= MAX_GAP_S * 1e9]


def _median_slope(places: list[_Place]) -> np.ndarray:
    seconds = np.array([place.stamp_ns - places[0].stamp_ns for place in places]) * 1e-9
    joints = np.stack([place.joints for place in places])
    later, earlier = np.tril_indices(len(places), -1)
    if not len(later):
        return np.full(joints.shape[1:], np.nan)
    slopes = (joints[later] - joints[earlier]) / (seconds[later] - seconds[earlier])[:, None, None]
    velocity = np.full(joints.shape[1:], np.nan)
    known = np.isfinite(slopes).any(axis=0)
    velocity[known] = np.nanmedian(slopes[:, known], axis=0)
    return velocity
