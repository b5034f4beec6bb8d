"""Random numbers: log-uniform ones, and processes in time."""

from __future__ import annotations

import numpy as np


def log_uniform(rng: np.random.Generator, limits: tuple[float, float], size: int) -> np.ndarray:
    """(size,) numbers whose logarithm is uniform between those of ``limits``."""
    return np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), size))


def slow_noise(rng: np.random.Generator, interval: np.ndarray, frames: int, size: int, time_scale: float) -> np.ndarray:
    """Stationary Gaussian noise of unit variance with the Matérn 3/2 correlation (1 + t) exp(-t), t = lag / time_scale.

    Such noise is the answer of a critically damped filter to white noise; here of its discrete form, two equal first
    order filters one after the other, so the correlation is met exactly when the interval is short.

    Args:
        rng: source of randomness.
        interval: (B,) seconds between frames, per window.
        frames: number of frames.
        size: independent processes per window.
        time_scale: seconds.

    Returns:
        (B, frames, size) float32.
    """
    decay = np.exp(-interval / time_scale).astype(np.float32)[:, None]
    room = 1.0 - decay**2
    driven = rng.standard_normal((frames + 1, len(interval), size), dtype=np.float32)
    # The stationary joint distribution of the two filters' states, so that the first frame is like all others.
    first = driven[0] / np.sqrt(room)
    second = first / room + driven[1] * (decay / room**1.5)
    gain = room**1.5 / np.sqrt(1.0 + decay**2)
    output = np.empty((len(interval), frames, size), np.float32)
    output[:, 0] = second * gain
    for t in range(1, frames):
        first = decay * first + driven[t + 1]
        second = decay * second + first
        output[:, t] = second * gain
    return output


def runs(
    rng: np.random.Generator, interval: np.ndarray, starts_per_second: np.ndarray, mean_duration: float
) -> np.ndarray:
    """Runs of frames in which something is the case: a two-state Markov chain.

    Args:
        rng: source of randomness.
        interval: (B,) seconds between frames.
        starts_per_second: (B, F, N) rate at which a run begins while there is none.
        mean_duration: of a run, seconds.

    Returns:
        (B, F, N) bool.
    """
    starts = rng.random(starts_per_second.shape, dtype=np.float32) < starts_per_second * interval[:, None, None]
    ends = rng.random(starts_per_second.shape, dtype=np.float32) < (interval / mean_duration)[:, None, None]
    state = rng.random(starts[:, 0].shape, dtype=np.float32) < starts_per_second[:, 0] * mean_duration
    result = np.empty(starts.shape, dtype=bool)
    for t in range(starts.shape[1]):
        state = np.where(state, ~ends[:, t], starts[:, t])
        result[:, t] = state
    return result
