"""Keypoints that somebody else's node makes; their licence is that node's."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mambapose_ros.types import Frame, PersonKeypoints

_KEPT = 64  # frames; those whose image never comes are forgotten, the oldest first


class ExternalKeypoints:
    """Gives back what was put in for a frame's stamp; nobody when nothing was.

    ``put`` may be called from another thread than the rest. Who waits for keypoints that come after their image asks
    ``has`` before they call.

    Args:
        max_people: the most confident ones are given when there are more.
        device: nothing runs here.

    Attributes:
        missed: calls for which nothing had been put in.
    """

    def __init__(self, max_people: int = 4, device: str = "cpu") -> None:
        self.missed = 0
        self._max_people = max_people
        self._people: dict[int, tuple[PersonKeypoints, ...]] = {}
        self._lock = threading.Lock()

    def put(self, stamp_ns: int, people: Sequence[PersonKeypoints]) -> None:
        """The people of the image with exactly this stamp; the last word counts."""
        with self._lock:
            self._people[stamp_ns] = tuple(people)
            while len(self._people) > _KEPT:
                del self._people[next(iter(self._people))]

    def has(self, stamp_ns: int) -> bool:
        """Whether something was put in for this stamp, and not asked for yet."""
        with self._lock:
            return stamp_ns in self._people

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        with self._lock:
            people = self._people.pop(frame.stamp_ns, None)
        if people is None:
            self.missed += 1
            return ()
        return tuple(sorted(people, key=lambda person: -float(person.confidence.mean()))[: self._max_people])

    def reset(self) -> None:
        """Nothing to forget: keypoints belong to their own stamp only."""

    def close(self) -> None:
        """Nothing is held open."""
