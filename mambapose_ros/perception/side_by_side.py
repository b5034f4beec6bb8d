"""Two things at the same time, of which neither needs the other's answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


class SideBySide:
    """Runs one function in the caller's thread and another beside it, in a thread that is kept for the next call.

    That is faster for functions that spend their time outside Python: in OpenCV, MediaPipe, torch or large arrays.
    """

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(1, "beside")

    def __call__(self, here: Callable[[], A], beside: Callable[[], B]) -> tuple[A, B]:
        """What they return. Both have ended when this ends, in whichever way.

        Raises:
            BaseException: what ``here`` raises, else what ``beside`` raises, as it is.
        """
        answer = self._beside.submit(beside)
        try:
            found = here()
        finally:
            wait((answer,))
        return found, answer.result()

    def close(self) -> None:
        """End the thread; this is not used again."""
        self._beside.shutdown()
