"""A person's bones do not change: each pose gets the lengths that were seen of this person so far."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mambapose_ros.skeleton import BONES, FLIP, NUM_JOINTS

MEMORY_FRAMES = 300
"""Frames after which old ones count less: ten seconds, in which people show all their sides."""

_SMALLEST_M = 1e-3

_PARENTS, _JOINTS = (np.array(column) for column in zip(*BONES, strict=True))
_MIRRORED = np.array([list(_JOINTS).index(FLIP[joint]) for joint in _JOINTS])  # the same bone of the other side


class BoneLengths:
    """Running mean of each person's bone lengths, the same left and right.

    It is a mean of logarithms, weighted by the inverse variance of the joints that a bone ends at: a limb that points
    at the camera, of which the network says that it is uncertain, hardly counts.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, person: str, pose: np.ndarray, variance: np.ndarray | None = None) -> np.ndarray:
        """The pose with the person's lengths, and all bones in the directions that they had.

        Args:
            person: id.
            pose: (17, 3) metres from the pelvis.
            variance: (17,) square metres, of each joint; None = all are equally certain.

        Returns:
            (17, 3) metres from the pelvis.
        """
        bones = pose[_JOINTS] - pose[_PARENTS]
        lengths = np.maximum(np.linalg.norm(bones, axis=1), _SMALLEST_M)
        spread = np.ones(NUM_JOINTS) if variance is None else variance
        weight = 1.0 / np.maximum(spread[_JOINTS] + spread[_PARENTS], _SMALLEST_M**2)
        total, weights = self._sums.get(person, (np.zeros(len(BONES)), np.zeros(len(BONES))))
        keep = 1.0 - 1.0 / MEMORY_FRAMES
        total, weights = keep * total + weight * np.log(lengths), keep * weights + weight
        self._sums[person] = total, weights
        steady = np.exp((total + total[_MIRRORED]) / (weights + weights[_MIRRORED]))

        steadied = np.zeros_like(pose)
        for parent, joint, bone in zip(_PARENTS, _JOINTS, bones * (steady / lengths)[:, None], strict=True):
            steadied[joint] = steadied[parent] + bone
        return steadied

    def keep(self, people: Collection[str]) -> None:
        """Forget everybody but these."""
        self._sums = {person: sums for person, sums in self._sums.items() if person in people}
