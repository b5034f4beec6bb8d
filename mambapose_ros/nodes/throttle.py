"""Complaints that do not flood the log."""

from __future__ import annotations

import threading
import time
from typing import Any


class ThrottledWarnings:
    """Logs the first warning of each cause at once, and then at most one per cause and period.

    Args:
        logger: of the node.
        period_s: seconds.
    """

    def __init__(self, logger: Any, period_s: float = 5.0) -> None:
        self._logger, self._period_s = logger, period_s
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def __call__(self, cause: str, message: str) -> None:
        """Log the message unless one of the same cause was just logged."""
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(cause, -self._period_s) < self._period_s:
                return
            self._last[cause] = now
        self._logger.warning(message)
