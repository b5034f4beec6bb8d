"""Who is who from image to image: ids by Hungarian assignment on the distance between keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mambapose_ros.types import PersonKeypoints


@dataclass(frozen=True)
class _Track:
    person: PersonKeypoints
    last_seen_ns: int


class Tracker:
    """Gives people ids that stay while they are in view and are never used again.

    Args:
        max_people: the most confident ones are kept when there are more.
        timeout: seconds without being seen after which an id is gone.
        max_distance: mean distance between the same joints in two images, as a fraction of the person's height, up to
            which they can be the same person.

    Raises:
        ValueError: when ``max_people`` is below 1.
    """

    def __init__(self, max_people: int = 4, timeout: float = 1.0, max_distance: float = 0.5) -> None:
        if max_people < 1:
            raise ValueError(f"expected max_people of 1 or more, got {max_people}")
        self._max_people = max_people
        self._timeout_ns = round(timeout * 1e9)
        self._max_distance = max_distance
        self._tracks: tuple[_Track, ...] = ()
        self._ids_given = 0

    def __call__(self, stamp_ns: int, people: Sequence[PersonKeypoints]) -> tuple[PersonKeypoints, ...]:
        """The ``max_people`` most confident people, with ids, most confident first."""
        ranked = sorted(people, key=lambda person: -float(person.confidence.mean()))[: self._max_people]
        alive = [track for track in self._tracks if stamp_ns - track.last_seen_ns <= self._timeout_ns]
        matches = self._match(alive, ranked)
        named = tuple(
            replace(person, id=alive[matches[i]].person.id if i in matches else self._new_id())
            for i, person in enumerate(ranked)
        )
        unseen = [track for i, track in enumerate(alive) if i not in matches.values()]
        self._tracks = (*(_Track(person, stamp_ns) for person in named), *unseen)
        return named

    def reset(self) -> None:
        """Everybody seen from now on is somebody new; ids go on counting."""
        self._tracks = ()

    def _new_id(self) -> str:
        self._ids_given += 1
        return f"p{self._ids_given}"

    def _match(self, tracks: Sequence[_Track], people: Sequence[PersonKeypoints]) -> dict[int, int]:
        """Index of a person -> index of its track."""
        from scipy.optimize import linear_sum_assignment

        if not tracks or not people:
            return {}
        cost = np.array([[_distance(track.person, person) for track in tracks] for person in people])
        rows, columns = linear_sum_assignment(np.minimum(cost, 1e3))
        return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if cost[i, j] <= self._max_distance}


def _distance(a: PersonKeypoints, b: PersonKeypoints) -> float:
    """Mean distance of the joints that both have, as a fraction of the larger box's longer side; inf without any."""
    offsets = np.linalg.norm(a.xy - b.xy, axis=1)
    common = np.isfinite(offsets)
    if not common.any():
        return np.inf
    size = max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (a.box, b.box))
    return float(offsets[common].mean()) / max(size, 1.0)
