"""Figures of a stream over the last seconds, for diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

import numpy as np

WINDOW_S = 5.0
"""How far back rates and percentiles look."""


class StreamStatistics:
    """Counts of a node's frames; one thread may record while another reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: deque[float] = deque()
        self._results: deque[tuple[float, float, dict[str, float]]] = deque()
        self._dropped: Counter[str] = Counter()
        self._failing: tuple[float, str] | None = None
        self.last_received: float | None = None
        """time.monotonic() of the newest frame."""

    def record_received(self) -> None:
        """A frame came in."""
        with self._lock:
            self.last_received = time.monotonic()
            self._received.append(self.last_received)
            self._forget_old()

    def record_dropped(self, reason: str) -> int:
        """A frame gives no result, as it should be; returns how many did for this reason."""
        with self._lock:
            self._dropped[reason] += 1
            return self._dropped[reason]

    def record_failed(self, reason: str) -> int:
        """A frame gives no result, and should have; returns how many did for this reason."""
        with self._lock:
            self._dropped[reason] += 1
            self._failing = (self._failing[0] if self._failing else time.monotonic(), reason)
            return self._dropped[reason]

    def dropped(self) -> dict[str, int]:
        """Frames that gave no result since the start, by reason."""
        with self._lock:
            return dict(self._dropped)

    def failing(self) -> tuple[float, str] | None:
        """For how many seconds frames have failed without a result between them, and why the last one did; None when
        the last one gave a result."""
        with self._lock:
            return None if self._failing is None else (time.monotonic() - self._failing[0], self._failing[1])

    def record_result(self, age_s: float, stage_ms: dict[str, float]) -> None:
        """A result went out, ``age_s`` seconds after its image was taken."""
        with self._lock:
            self._results.append((time.monotonic(), age_s, stage_ms))
            self._failing = None
            self._forget_old()

    def summary(self) -> dict[str, float]:
        """Rates in Hz, ages and stages in ms, over the last ``WINDOW_S`` seconds; empty stages are left out."""
        with self._lock:
            self._forget_old()
            received, results = list(self._received), list(self._results)
        figures = {
            "rate_in_hz": _rate(received),
            "rate_out_hz": _rate([moment for moment, _, _ in results]),
        }
        if results:
            ages = np.array([age for _, age, _ in results]) * 1e3
            figures["age_p50_ms"], figures["age_p95_ms"] = (float(v) for v in np.percentile(ages, (50, 95)))
            for stage in results[-1][2]:
                figures[f"{stage}_ms"] = float(
                    np.median([stages[stage] for _, _, stages in results if stage in stages])
                )
        return figures

    def _forget_old(self) -> None:
        start = time.monotonic() - WINDOW_S
        while self._received and self._received[0] < start:
            self._received.popleft()
        while self._results and self._results[0][0] < start:
            self._results.popleft()


def _rate(moments: list[float]) -> float:
    """Events per second between the first and the last."""
    if len(moments) < 2 or moments[-1] <= moments[0]:
        return 0.0
    return (len(moments) - 1) / (moments[-1] - moments[0])
