"""Keypoints that somebody else's node makes; their licence is that node's."""

from __future__ import annotations

from mambapose_ros.types import Frame, PersonKeypoints


class ExternalKeypoints:
    """Gives who somebody else found in the image (``Frame.people``).

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
        return tuple(sorted(frame.people, key=lambda person: -float(person.confidence.mean()))[: self._max_people])

    def reset(self) -> None:
        """Nothing to forget: keypoints belong to their own image only."""

    def close(self) -> None:
        """Nothing is held open."""
