"""The exact keypoints of synthetic people, to tell a detector's share of an error from the rest (Apache-2.0)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mambapose_ros.perception.keypoints.external import ExternalKeypoints
from mambapose_ros.types import Frame, PersonKeypoints


class GroundTruthKeypoints(ExternalKeypoints):
    """Gives the people of a synthetic image, as its source knows them (``Frame.people``).

    Args:
        max_people: the most visible ones are given when there are more.
        device: nothing runs here.
        noise: standard deviation of each coordinate, as a fraction of a person's height in the image.
        seed: of the noise.

    Raises:
        ValueError: when ``noise`` is negative.
    """

    def __init__(self, max_people: int = 4, device: str = "cpu", noise: float = 0.0, seed: int = 0) -> None:
        if noise < 0.0:
            raise ValueError(f"expected noise of 0 or more, got {noise}")
        super().__init__(max_people)
        self._noise = noise
        self._random = np.random.default_rng(seed)

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        return tuple(self._moved(person, frame) for person in super().__call__(frame))

    def _moved(self, person: PersonKeypoints, frame: Frame) -> PersonKeypoints:
        """With noise; joints that it moves out of the image are missing."""
        sigma = self._noise * (person.box[3] - person.box[1])
        xy = person.xy + self._random.normal(0.0, 1.0, person.xy.shape) * sigma
        inside = ((xy >= -0.5) & (xy < (frame.camera.width - 0.5, frame.camera.height - 0.5))).all(axis=1)
        return replace(
            person, xy=np.where(inside[:, None], xy, np.nan), confidence=np.where(inside, person.confidence, 0.0)
        )
