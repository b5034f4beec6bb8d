"""What other machines made of one image, joined by the image's stamp."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

KEPT = 16
"""Values of a partner that are kept, and primaries that wait; half a second at 30 Hz."""

RECENT = 60
"""Primaries that ``joined_share`` looks back at."""


@dataclass(frozen=True)
class Joined:
    """What belongs to one stamp.

    Attributes:
        stamp_ns: of all.
        primary: what everything else is joined to.
        partners: by name; those that did not come are not in it.
    """

    stamp_ns: int
    primary: Any
    partners: dict[str, Any]


class StampJoin:
    """Joins partners to a primary by exact stamp; a partner may come before it, after it, too late or never.

    A primary is ready when of each partner it is known whether it comes: it is there; one of a later stamp came, as
    each stream is in order; nothing came until the timeout; or that partner is silent, because the last wait for it was
    in vain, until it comes in time again. So a partner that is cut off costs one timeout. Primaries are given out in
    the order they came. Where their stamps run backwards (a bag that starts again), earlier partners are forgotten.

    Nothing here reads a clock or starts a thread: the caller tells the time, in steady seconds, and takes whatever is
    ready after each that came, and every so often.

    Args:
        partners: their names.
        timeout_s: seconds that a primary waits for partners, from when it came.

    Attributes:
        missing: by partner, primaries that were given out without it.
        late: by partner, those that came after their primary was given out.
    """

    def __init__(self, partners: Sequence[str], timeout_s: float) -> None:
        if not timeout_s >= 0.0:
            raise ValueError(f"expected a timeout of 0 seconds or more, got {timeout_s}")
        self.missing: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self._joined: dict[str, deque[bool]] = {name: deque(maxlen=RECENT) for name in partners}
        self._timeout_s = timeout_s
        self._streams = {name: _Stream() for name in partners}
        self._waiting: deque[_Waiting] = deque()
        self._given: OrderedDict[int, float] = OrderedDict()  # stamp of a primary -> when it came
        self._newest_ns: int | None = None

    @property
    def partners(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._streams)

    @property
    def silent(self) -> tuple[str, ...]:
        """Partners that are not waited for."""
        return tuple(name for name, stream in self._streams.items() if stream.silent)

    def joined_share(self, name: str) -> float | None:
        """Of the latest primaries, the share that came with this partner; None while there are few."""
        joined = self._joined[name]
        return None if len(joined) < RECENT // 2 else sum(joined) / len(joined)

    def put(self, now_s: float, stamp_ns: int, primary: Any) -> None:
        """A primary came."""
        if self._newest_ns is not None and stamp_ns < self._newest_ns:
            self._start_anew(stamp_ns)
        self._newest_ns = stamp_ns
        self._waiting.append(_Waiting(stamp_ns, now_s, primary))
        for stream in self._streams.values():
            if stamp_ns in stream.values:
                stream.silent = False
        if len(self._waiting) > KEPT:
            self._silence(self._waiting[0].stamp_ns)  # waited for as long as can be

    def put_partner(self, now_s: float, name: str, stamp_ns: int, value: Any) -> None:
        """A partner came.

        Raises:
            KeyError: for a name that was not given at the start.
        """
        stream = self._streams[name]
        if stream.newest_ns is not None and stamp_ns < stream.newest_ns:
            stream.values.clear()  # of before time was set back
        stream.newest_ns = stamp_ns
        stream.values[stamp_ns] = value
        if len(stream.values) > KEPT:
            stream.values.popitem(last=False)
        came_s = self._given.get(stamp_ns)
        if came_s is not None:
            self.late[name] += 1
        elif any(waiting.stamp_ns == stamp_ns for waiting in self._waiting):
            came_s = now_s
        if came_s is not None and now_s - came_s <= self._timeout_s:
            stream.silent = False

    def take(self, now_s: float) -> Joined | None:
        """The next primary that is ready, with its partners; None when none is."""
        if not self._waiting or not self._is_ready(self._waiting[0], now_s):
            return None
        waiting = self._waiting.popleft()
        self._given[waiting.stamp_ns] = waiting.came_s
        if len(self._given) > KEPT:
            self._given.popitem(last=False)
        self._silence(waiting.stamp_ns)
        partners = {}
        for name, stream in self._streams.items():
            stream.drop_before(waiting.stamp_ns)
            if waiting.stamp_ns in stream.values:
                partners[name] = stream.values.pop(waiting.stamp_ns)
            else:
                self.missing[name] += 1
            if stream.silent:  # said by ``silent``; it says nothing of how well a partner fits that comes
                self._joined[name].clear()
            else:
                self._joined[name].append(name in partners)
        return Joined(waiting.stamp_ns, waiting.primary, partners)

    def _is_ready(self, waiting: _Waiting, now_s: float) -> bool:
        return now_s >= waiting.came_s + self._timeout_s or not any(
            stream.may_bring(waiting.stamp_ns) for stream in self._streams.values()
        )

    def _silence(self, stamp_ns: int) -> None:
        """The wait for partners of this stamp is over."""
        for stream in self._streams.values():
            stream.silent |= stream.may_bring(stamp_ns)

    def _start_anew(self, stamp_ns: int) -> None:
        """Time was set back to this stamp; partners may have noticed before."""
        self._given.clear()
        for stream in self._streams.values():
            if stream.newest_ns is not None and stream.newest_ns >= stamp_ns and stamp_ns not in stream.values:
                stream.newest_ns = None


@dataclass(frozen=True)
class _Waiting:
    stamp_ns: int
    came_s: float
    primary: Any


class _Stream:
    """What came of one partner."""

    def __init__(self) -> None:
        self.values: OrderedDict[int, Any] = OrderedDict()
        self.newest_ns: int | None = None
        self.silent = False

    def may_bring(self, stamp_ns: int) -> bool:
        """Whether it is worth waiting for."""
        if stamp_ns in self.values or self.silent:
            return False
        return self.newest_ns is None or self.newest_ns < stamp_ns

    def drop_before(self, stamp_ns: int) -> None:
        """Forget what is earlier: nobody will ask for it."""
        for stamp in [stamp for stamp in self.values if stamp < stamp_ns]:
            del self.values[stamp]
