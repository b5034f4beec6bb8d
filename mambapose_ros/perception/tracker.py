"""Who is who from image to image: ids by Hungarian assignment on object-keypoint similarity and box overlap.

Well-kept tracking libraries (ByteTrack in supervision, trackers, BoT-SORT) associate boxes, which tell little of people
who cross each other: their boxes are nearly the same, their joints are not. norfair takes points, but knows neither
body size nor optical flow. So the parts come from scipy (the assignment) and the rest is here, in ``association`` and
``image_motion``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mambapose_ros.perception.association import Expectation, assign, likeness, newcomers, without_duplicates
from mambapose_ros.perception.fusion import sample_flow, sample_radius
from mambapose_ros.perception.image_motion import ImageMotion
from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.types import PersonKeypoints

CONFIRMING_SIGHTINGS = 2
"""Sightings that make a tentative person a tracked one: what a detector saw once, and not where it would have been the
next time, may be nobody."""

_SPARSE_S = 0.25  # between images, from which on people may have turned in between


class Tracker:
    """Gives people ids that stay while they are in view, or out of it for a moment, and are never used again.

    States, as in ``types.TRACKING_STATES``: a new person is "tentative", and "tracked" from the second sighting on. Who
    was tracked and is not seen is "predicted", with the joints last seen moved on, of confidence 0. Who is not seen
    for longer than ``timeout`` is returned once as "lost", without joints; until then they get their id back when they
    are seen. A tentative person out of sight is not predicted, since it may be nobody, but keeps the id as long.

    At most ``max_people`` are returned besides the lost: those seen before those predicted, tracked before tentative
    ones, who came earlier before who came later, of newcomers the most confident. Whoever gives way to others is lost,
    and a newcomer for whom there is no room gets no id.

    Args:
        max_people: people to follow.
        timeout: seconds out of sight after which somebody is lost. People who cross hide each other for about one, and
            it may take the detector some images to find them again.
        id_prefix: what ids begin with, before p1, p2, ...; trackers with different ones never give the same id.

    Raises:
        ValueError: when ``max_people`` is below 1, or ``timeout`` below 0.
    """

    def __init__(self, max_people: int = 4, timeout: float = 2.0, id_prefix: str = "") -> None:
        import scipy.optimize  # noqa: F401  # takes as long as many images: here rather than with the first one

        if not timeout >= 0.0:
            raise ValueError(f"expected a timeout of 0 seconds or more, got {timeout}")
        self.max_people = max_people
        self._timeout_ns = round(timeout * 1e9)
        self._id_prefix = id_prefix
        self._tracks: list[_Track] = []
        self._last_ns: int | None = None
        self._ids_given = 0

    @property
    def max_people(self) -> int:
        """People to follow; may be changed between calls."""
        return self._max_people

    @max_people.setter
    def max_people(self, value: int) -> None:
        if value < 1:
            raise ValueError(f"expected max_people of 1 or more, got {value}")
        self._max_people = value

    def __call__(
        self, stamp_ns: int, people: Sequence[PersonKeypoints], flow: np.ndarray | None = None
    ) -> tuple[PersonKeypoints, ...]:
        """The people of the next image, with ids and states, in the order of the class's description; the lost last.

        Args:
            stamp_ns: of the image, nanoseconds.
            people: detections in any order. Somebody found twice counts once; nobody is who has no joints.
            flow: (H, W, 2) pixels since the image of the last call, as ``FrameResult.flow``; NaN = unknown, None = all
                unknown.

        Raises:
            ValueError: when time runs backwards.
        """
        if self._last_ns is not None and stamp_ns < self._last_ns:
            raise ValueError(
                f"expected a stamp of {self._last_ns} ns or later, the last one, got {stamp_ns}; reset the tracker "
                "when time starts anew"
            )
        alive = [track for track in self._tracks if stamp_ns - track.last_seen_ns <= self._timeout_ns]
        found = without_duplicates([person for person in people if np.isfinite(person.xy).all(axis=1).any()])
        matches = assign(self._likeness(stamp_ns, found, alive, flow))
        matches |= self._turned(stamp_ns, found, alive, matches)
        new = newcomers([found[i] for i in matches], [person for i, person in enumerate(found) if i not in matches])
        known = sorted((alive[j].seen(stamp_ns, found[i]) for i, j in matches.items()), key=_Track.rank)
        hidden = [track for j, track in enumerate(alive) if j not in matches.values()]

        present = known[: self._max_people]
        present += [self._start(stamp_ns, person) for person in new[: self._max_people - len(present)]]
        predicted = [track for track in hidden if track.confirmed][: self._max_people - len(present)]
        lost = [track for track in self._tracks if track not in alive] + known[self._max_people :]
        self._tracks, self._last_ns = sorted((*present, *hidden), key=_Track.rank), stamp_ns
        return (
            *(track.as_seen() for track in present),
            *(track.as_predicted(stamp_ns) for track in predicted),
            *(track.as_lost() for track in lost),
        )

    def reset(self) -> None:
        """Everybody seen from now on is somebody new; ids go on counting."""
        self._tracks, self._last_ns = [], None

    def _start(self, stamp_ns: int, person: PersonKeypoints) -> _Track:
        self._ids_given += 1
        return _Track(self._ids_given, f"{self._id_prefix}p{self._ids_given}", 1, stamp_ns, ImageMotion.start(person))

    def _likeness(
        self, stamp_ns: int, people: Sequence[PersonKeypoints], tracks: Sequence[_Track], flow: np.ndarray | None
    ) -> np.ndarray:
        """(N, M) of detections and tracks: by their motion so far or by flow, whichever explains more."""
        result = likeness(people, [track.expect(stamp_ns) for track in tracks])
        recent = [j for j, track in enumerate(tracks) if track.last_seen_ns == self._last_ns]
        if flow is None or not people or not recent:
            return result
        before = [
            replace(person, xy=person.xy - sample_flow(flow, person.xy, sample_radius(person.xy))) for person in people
        ]
        by_flow = likeness(before, [tracks[j].motion.expect_flow() for j in recent])
        result[:, recent] = np.maximum(result[:, recent], by_flow)
        return result

    def _turned(
        self, stamp_ns: int, people: Sequence[PersonKeypoints], tracks: Sequence[_Track], matches: dict[int, int]
    ) -> dict[int, int]:
        """Matches of those whom the others leave over after a while without an image: who turned meanwhile is nowhere
        near where they would have gone on to."""
        if self._last_ns is None or stamp_ns - self._last_ns <= _SPARSE_S * 1e9:
            return {}
        left = [i for i in range(len(people)) if i not in matches]
        recent = [
            j for j, track in enumerate(tracks) if track.last_seen_ns == self._last_ns and j not in matches.values()
        ]
        seconds = (stamp_ns - self._last_ns) * 1e-9
        anew = [ImageMotion.start(tracks[j].motion.person).expect(seconds) for j in recent]
        found = assign(likeness([people[i] for i in left], anew)) if left and recent else {}
        return {left[i]: recent[j] for i, j in found.items()}


@dataclass(frozen=True, eq=False)
class _Track:
    """One person over time.

    Attributes:
        number: counts people.
        sightings: how many so far.
    """

    number: int
    id: str
    sightings: int
    last_seen_ns: int
    motion: ImageMotion

    @property
    def confirmed(self) -> bool:
        return self.sightings >= CONFIRMING_SIGHTINGS

    def rank(self) -> tuple[bool, int]:
        """Who goes before whom."""
        return not self.confirmed, self.number

    def expect(self, stamp_ns: int) -> Expectation:
        return self.motion.expect((stamp_ns - self.last_seen_ns) * 1e-9)

    def seen(self, stamp_ns: int, person: PersonKeypoints) -> _Track:
        motion = self.motion.seen(person, (stamp_ns - self.last_seen_ns) * 1e-9)
        return _Track(self.number, self.id, self.sightings + 1, stamp_ns, motion)

    def as_seen(self) -> PersonKeypoints:
        return replace(self.motion.person, id=self.id, state="tracked" if self.confirmed else "tentative")

    def as_predicted(self, stamp_ns: int) -> PersonKeypoints:
        # Moved on, but not grown: who crouches would go on shrinking, as if they went far away.
        last = self.motion.person.xy
        middle = np.nanmean(self.expect(stamp_ns).person.xy, axis=0)
        xy = last - np.nanmean(last, axis=0) + middle
        return PersonKeypoints(xy, np.zeros(NUM_JOINTS), self.id, "predicted")

    def as_lost(self) -> PersonKeypoints:
        return PersonKeypoints(np.full((NUM_JOINTS, 2), np.nan), np.zeros(NUM_JOINTS), self.id, "lost")
