"""Windows to train and to evaluate on: motion capture, augmented, seen by random cameras through noisy observations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mambapose_ros.training.augmentation import (
    mirror,
    random_proportions,
    recombine,
    scale_bones,
    stand_on_floor,
)
from mambapose_ros.training.cameras import CameraRanges
from mambapose_ros.training.mocap import MotionSequence
from mambapose_ros.training.motion import Motion, MotionLibrary
from mambapose_ros.training.posture import change_posture
from mambapose_ros.training.random_process import log_uniform
from mambapose_ros.training.simulation import DepthKind, Modalities, TrainingBatch, simulate


@dataclass(frozen=True)
class SamplerConfig:
    """How training windows are drawn.

    Attributes:
        cameras: what cameras are like; some are farther away than those of ``evaluation_windows``, since robots see
            people across a street, too.
        rate: least and most frames per second; log-uniform.
        dropped: share of frames that a camera or computer drops, which makes the interval longer.
        pace: least and most speed of the motion over the recorded; log-uniform.
        recombined: share of windows with the upper body of another motion.
        postured: share of windows whose posture is changed.
        arriving: share of windows in which the person comes into view only after the first frame.
        flow: share of windows with flow.
        depth: shares of windows with each ``DepthKind``.
    """

    cameras: CameraRanges = field(default_factory=lambda: CameraRanges(distance=(1.0, 16.0)))
    rate: tuple[float, float] = (10.0, 60.0)
    dropped: float = 0.04
    pace: tuple[float, float] = (0.8, 1.25)
    recombined: float = 0.25
    postured: float = 0.3
    arriving: float = 0.1
    flow: float = 0.55
    depth: tuple[float, float, float] = (0.45, 0.35, 0.2)


class WindowSampler:
    """Draws random training windows, the same ones from the same seed.

    Args:
        sequences: motion capture to draw from.
        config: how.
        seed: of everything random; processes that sample side by side take different ones.
    """

    def __init__(self, sequences: Sequence[MotionSequence], config: SamplerConfig, seed: int) -> None:
        self._library = MotionLibrary(sequences)
        self._config = config
        self._rng = np.random.Generator(np.random.SFC64(seed))
        # Between equal shares per sequence and per frame: a few recordings of people who only stand are very long.
        share = np.sqrt(self._library.lengths / self._library.fps)
        self._share = share / share.sum()

    def batch(self, size: int, frames: int) -> TrainingBatch:
        """``size`` windows of ``frames`` frames. Batches of some 3,500 frames (128 windows of 27) are made fastest:
        smaller ones pay for the calls, and larger ones do not fit a processor's cache."""
        rng, config = self._rng, self._config
        # Flow needs the frame before the first.
        steps = rng.geometric(1.0 - config.dropped, (size, frames + 1))
        motion = self._augment(self._draw(steps / log_uniform(rng, config.rate, size)[:, None]))
        modalities = Modalities(rng.random(size) < config.flow, rng.choice(len(DepthKind), size, p=config.depth))
        arrival = np.where(rng.random(size) < config.arriving, rng.integers(min(1, frames - 1), frames, size), 0)
        return simulate(rng, motion, config.cameras, modalities, arrival)

    def _draw(self, interval: np.ndarray) -> Motion:
        rng, people = self._rng, len(interval)
        sequence = rng.choice(len(self._share), size=people, p=self._share)
        elapsed = log_uniform(rng, self._config.pace, people)[:, None] * interval.cumsum(axis=1)
        room = self._library.lengths[sequence] / self._library.fps[sequence] - elapsed[:, -1]
        start = rng.random(people) * np.maximum(room, 0.0)
        return self._library.read(sequence, start[:, None] + elapsed, interval)

    def _augment(self, recorded: Motion) -> Motion:
        rng, config = self._rng, self._config
        people = len(recorded.joints)
        changed = Motion(recorded.joints.copy(), recorded.head_forward.copy(), recorded.interval)
        chosen = np.flatnonzero(rng.random(people) < config.recombined)
        upper = self._draw(recorded.interval[chosen])
        _put(changed, chosen, recombine(_take(changed, chosen), upper))
        chosen = np.flatnonzero(rng.random(people) < config.postured)
        _put(changed, chosen, change_posture(rng, _take(changed, chosen)))
        factors = random_proportions(rng, people)
        changed = stand_on_floor(scale_bones(changed, factors), recorded, factors)
        return mirror(changed, rng.random(people) < 0.5)


def evaluation_windows(
    sequences: Sequence[MotionSequence],
    frames: int,
    stride: int,
    flow: bool,
    depth: DepthKind,
    seed: int = 0,
    batch: int = 64,
) -> Iterator[TrainingBatch]:
    """All windows of some sequences, as recorded, one every ``stride`` frames, seen by random cameras
    (``CameraRanges()``).

    What is random depends on ``seed`` and ``batch`` only: every run sees the same, and runs with other modalities see
    the same people through the same cameras and keypoints. A sequence shorter than a window gives one window, in
    which its time runs back.

    Args:
        sequences: of one split.
        frames: T.
        stride: frames between the starts of windows.
        flow, depth: what to observe besides keypoints.
        seed: of everything random.
        batch: most windows per batch.
    """
    library = MotionLibrary(sequences)
    starts = _starts(sequences, frames, stride)
    for first in range(0, len(starts), batch):
        sequence, start = np.array(starts[first : first + batch]).T
        # One frame earlier, since flow needs it.
        time = (start[:, None] + np.arange(-1, frames)) / library.fps[sequence][:, None]
        interval = np.repeat(1.0 / library.fps[sequence, None], frames + 1, axis=1)
        motion = library.read(sequence, time, interval)
        rng = np.random.Generator(np.random.SFC64([seed, first]))
        from_the_first = np.zeros(len(start), dtype=np.int64)
        modalities = Modalities.same(len(start), flow, depth)
        yield simulate(rng, motion, CameraRanges(), modalities, from_the_first)


def evaluation_subjects(sequences: Sequence[MotionSequence], frames: int, stride: int) -> list[str]:
    """Who is in each of the windows that ``evaluation_windows`` makes."""
    return [sequences[number].subject for number, _ in _starts(sequences, frames, stride)]


def _starts(sequences: Sequence[MotionSequence], frames: int, stride: int) -> list[tuple[int, int]]:
    """Sequence and first frame of each window."""
    return [
        (number, start)
        for number, sequence in enumerate(sequences)
        for start in range(0, max(len(sequence.joints) - frames, 0) + 1, stride)
    ]


def _take(motion: Motion, chosen: np.ndarray) -> Motion:
    return Motion(motion.joints[chosen], motion.head_forward[chosen], motion.interval[chosen])


def _put(motion: Motion, chosen: np.ndarray, part: Motion) -> None:
    """Write the motions of ``part`` in place of those ``chosen``."""
    motion.joints[chosen], motion.head_forward[chosen] = part.joints, part.head_forward
