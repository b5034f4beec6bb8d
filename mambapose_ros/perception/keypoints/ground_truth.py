"""The exact keypoints of synthetic people, to tell a detector's share of an error from the rest (Apache-2.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mambapose_ros.perception.keypoints.external import ExternalKeypoints
from mambapose_ros.types import Frame, PersonKeypoints

if TYPE_CHECKING:
    from mambapose_ros.synthetic import SyntheticFrame

_HIDDEN = 0.3  # confidence of joints that are in the image and not seen; a detector guesses them


class GroundTruthKeypoints:
    """Gives the people of the synthetic frame that was put in for a frame's stamp; nobody when none was.

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
        self._given = ExternalKeypoints(max_people)
        self._noise = noise
        self._random = np.random.default_rng(seed)

    def put(self, stamp_ns: int, truth: SyntheticFrame) -> None:
        """What is known about the image with exactly this stamp."""
        self._given.put(stamp_ns, self._people(truth))

    def __call__(self, frame: Frame) -> tuple[PersonKeypoints, ...]:
        return self._given(frame)

    def reset(self) -> None:
        """Nothing to forget: keypoints belong to their own stamp only."""

    def close(self) -> None:
        """Nothing is held open."""

    def _people(self, truth: SyntheticFrame) -> list[PersonKeypoints]:
        """Those of whom anything is seen; joints outside the image are missing."""
        height, width = truth.image.shape[:2]
        people = []
        for keypoints, visible in zip(truth.keypoints, truth.visibility, strict=True):
            sigma = self._noise * float(np.ptp(keypoints[:, 1]))
            xy = keypoints + self._random.normal(0.0, 1.0, keypoints.shape) * sigma
            inside = ((xy >= -0.5) & (xy < (width - 0.5, height - 0.5))).all(axis=1)
            xy[~inside] = np.nan
            confidence = np.where(inside, np.where(visible, 1.0, _HIDDEN), 0.0)
            if (inside & visible).any():
                people.append(PersonKeypoints(xy=xy, confidence=confidence))
        return people
