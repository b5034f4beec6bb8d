"""Batches of motions, taken from sequences at any frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mambapose_ros.skeleton import NUM_JOINTS
from mambapose_ros.training.kinematics import to_bones, to_joints
from mambapose_ros.training.mocap import MotionSequence


@dataclass(frozen=True, eq=False)
class Motion:
    """B motions of F frames each.

    Attributes:
        joints: (B, F, 17, 3) float32 metres, world frame, right-handed, z up.
        head_forward: (B, F, 3) float32 unit vector that the face points along.
        interval: (B, F) float32 seconds since the frame before; for the first frame the usual interval.
    """

    joints: np.ndarray
    head_forward: np.ndarray
    interval: np.ndarray

    @property
    def mean_interval(self) -> np.ndarray:
        """(B,) seconds between frames."""
        return self.interval.mean(axis=1)

    def to_segments(self) -> np.ndarray:
        """(B, F, 18, 3): place of the pelvis, the 16 bones as vectors, and ``head_forward``, which turns as they do."""
        return np.concatenate([to_bones(self.joints), self.head_forward[:, :, None]], axis=2)

    @classmethod
    def from_segments(cls, segments: np.ndarray, interval: np.ndarray) -> Motion:
        """The inverse of ``to_segments``."""
        return cls(to_joints(segments[:, :, :NUM_JOINTS]), segments[:, :, NUM_JOINTS], interval)


class MotionLibrary:
    """All frames of many sequences in one array, to be read at times between them.

    Args:
        sequences: at least one.

    Attributes:
        lengths: (S,) frames of each sequence.
        fps: (S,) frames per second of each sequence.
    """

    def __init__(self, sequences: Sequence[MotionSequence]) -> None:
        self.lengths = np.array([len(sequence.joints) for sequence in sequences])
        self.fps = np.array([sequence.fps for sequence in sequences], dtype=np.float32)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        rows = [np.concatenate([s.joints, s.head_forward[:, None]], axis=1) for s in sequences]
        self._rows = np.concatenate(rows).astype(np.float32).reshape(self.lengths.sum(), -1)

    def read(self, sequence: np.ndarray, time: np.ndarray, interval: np.ndarray) -> Motion:
        """Motions by cubic (Catmull-Rom) interpolation.

        Args:
            sequence: (B,) which sequence.
            time: (B, F) seconds from its first frame. Beyond its ends time runs backwards, so that short sequences
                fill long windows.
            interval: (B, F) seconds since the frame before that the motion is to have; where they are not those of
                ``time``, it is faster or slower than recorded.
        """
        last = (self.lengths[sequence] - 1)[:, None]
        position = last - np.abs((time * self.fps[sequence][:, None]) % (2 * last) - last)
        before = np.minimum(position.astype(np.int64), last - 1)
        neighbours = np.clip(before[..., None] + np.arange(-1, 3), 0, last[..., None])
        samples = self._rows[self._starts[sequence][:, None, None] + neighbours]
        weights = _catmull_rom((position - before).astype(np.float32))
        read = (weights[..., None, :] @ samples).reshape(*time.shape, NUM_JOINTS + 1, 3)
        return Motion(read[:, :, :NUM_JOINTS], read[:, :, NUM_JOINTS], interval.astype(np.float32))


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    """(..., 4) weights of the frames before, at, after and beyond a place t in [0, 1] between two frames."""
    squared, cubed = t**2, t**3
    return np.stack(
        [
            -0.5 * cubed + squared - 0.5 * t,
            1.5 * cubed - 2.5 * squared + 1.0,
            -1.5 * cubed + 2.0 * squared + 0.5 * t,
            0.5 * cubed - 0.5 * squared,
        ],
        axis=-1,
    )
