"""A place for messages between two threads: the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item of each sender until it is taken; latency cannot grow, because nothing queues."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: dict[str, T] = {}
        self._closed = False

    def put(self, item: T, sender: str = "") -> bool:
        """Leave an item; returns True when it took the place of one of the same sender that nobody had taken."""
        with self._condition:
            replaced = self._items.pop(sender, None) is not None
            self._items[sender] = item
            self._condition.notify()
            return replaced

    def take(self) -> tuple[T, ...] | None:
        """Wait for an item and take all that are there, oldest first; None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed)
            items, self._items = tuple(self._items.values()), {}
            return None if self._closed else items

    def close(self) -> None:
        """Wake whoever waits; nothing is given out any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
