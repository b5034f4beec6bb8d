"""How fast people's joints move, from where they were in the last images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SPAN_S = 0.25
"""Seconds that a velocity is taken over: a walking step has two to four of them."""


class JointVelocities:
    """Velocity of each joint as the median of the slopes between all pairs of its last places (Theil-Sen).

    It is that of about the middle of the span, some 0.1 s ago. Up to 29 % of the places may be gross errors.
    """

    def __init__(self) -> None:
        self._places: dict[str, list[tuple[int, np.ndarray]]] = {}

    def __call__(self, stamp_ns: int, joints: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Velocities of the people of the next image.

        Args:
            stamp_ns: of the image, later than the last.
            joints: id -> (17, 3) metres; NaN = missing.

        Returns:
            id -> (17, 3) metres per second; NaN = unknown, as when somebody is seen for the first time.
        """
        oldest = stamp_ns - round(SPAN_S * 1e9)
        recent = {name: [place for place in places if place[0] >= oldest] for name, places in self._places.items()}
        self._places = {name: places for name, places in recent.items() if places}
        for name, place in joints.items():
            self._places.setdefault(name, []).append((stamp_ns, place))
        return {name: _median_slope(self._places[name]) for name in joints}

    def reset(self) -> None:
        """Forget earlier images."""
        self._places.clear()


def _median_slope(places: list[tuple[int, np.ndarray]]) -> np.ndarray:
    seconds = np.array([stamp_ns - places[0][0] for stamp_ns, _ in places]) * 1e-9
    joints = np.stack([place for _, place in places])
    later, earlier = np.tril_indices(len(places), -1)
    if not len(later):
        return np.full(joints.shape[1:], np.nan)
    slopes = (joints[later] - joints[earlier]) / (seconds[later] - seconds[earlier])[:, None, None]
    velocity = np.full(joints.shape[1:], np.nan)
    known = np.isfinite(slopes).any(axis=0)
    velocity[known] = np.nanmedian(slopes[:, known], axis=0)
    return velocity
