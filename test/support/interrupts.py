"""What ends a run at its worst: the lifter has taken a frame in, and nobody has got its results yet."""

import itertools
from collections.abc import Callable

from mambapose_ros.perception import lifter


def interrupt_lifting(monkeypatch, at: int) -> None:
    """Ctrl-C where the frame number ``at`` is lifted, the first being 0."""
    _fail_lifting(monkeypatch, KeyboardInterrupt(), lambda call: call == at)


def lose_gpu(monkeypatch, at: int) -> None:
    """Let the GPU be lost where the frame number ``at`` is lifted, as PyTorch says it, for machines without one."""
    lost = RuntimeError("CUDA error: unspecified launch failure\nand more")
    _fail_lifting(monkeypatch, lost, lambda call: call >= at)


def _fail_lifting(monkeypatch, error: BaseException, fails: Callable[[int], bool]) -> None:
    calls, lift_together = itertools.count(), lifter.lift_together

    def interrupted(lifters):
        if fails(next(calls)):
            raise error
        return lift_together(lifters)

    monkeypatch.setattr(lifter, "lift_together", interrupted)
