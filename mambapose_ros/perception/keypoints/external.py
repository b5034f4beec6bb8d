"""Keypoints that come with the image: from somebody else's node, whose licence is theirs, or from a synthetic source,
to tell a detector's share of an error from the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mambapose_ros.types import Frame, PersonKeypoints


class ExternalKeypoints:
    """Gives who is known to be in the image (``Frame.people``).

    Joints farther outside the image than its own width or height are missing: no part of somebody in it lies there.

    Args:
        max_people: the most confident ones are given when there are more.
        device: nothing runs here.
    """

    def __init__(self, max_people: int = 4, device: str = "cpu") -> None:
        self._max_people = max_people

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        """As ``KeypointDetector``.

        Raises:
            ValueError: when nobody said who is in the image.
        """
        if frame.people is None:
            raise ValueError(
                "expected a frame with the people in it (Frame.people), got none; use another detector for images alone"
            )
        people = [_near(person, frame.camera.width, frame.camera.height) for person in frame.people]
        return tuple(sorted(people, key=lambda person: -float(person.confidence.mean()))[: self._max_people])

    def reset(self) -> None:
        """Nothing to forget: keypoints belong to their own image only."""

    def close(self) -> None:
        """Nothing is held open."""


def _near(person: PersonKeypoints, width: int, height: int) -> PersonKeypoints:
    """Without the joints that are too far away."""
    size = np.array([width, height])
    far = ((person.xy < -size) | (person.xy > 2 * size)).any(axis=1)
    if not far.any():
        return person
    return replace(
        person, xy=np.where(far[:, None], np.nan, person.xy), confidence=np.where(far, 0.0, person.confidence)
    )
