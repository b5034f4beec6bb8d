"""Ctrl-C at its worst: the lifter has taken a frame in, and nobody has got its results yet."""

import itertools

from mambapose_ros.perception import lifter


def interrupt_lifting(monkeypatch, at: int) -> None:
    """Raise KeyboardInterrupt where the frame number ``at`` is lifted, the first being 0."""
    calls, lift_together = itertools.count(), lifter.lift_together

    def interrupted(lifters):
        if next(calls) == at:
            raise KeyboardInterrupt
        return lift_together(lifters)

    monkeypatch.setattr(lifter, "lift_together", interrupted)
