"""What /diagnostics says about a node."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mambapose_ros.nodes.statistics import WINDOW_S, StreamStatistics


def stream_status(
    *,
    name: str,
    expects: str,
    state: str,
    error: str,
    statistics: StreamStatistics,
    listening: bool,
    opened_s: float,
    resting: str,
    cut_off: Sequence[str],
    problems: Sequence[str],
    busy_s: float,
    timeout_s: float,
    max_age_s: float,
    clock_s: float,
    values: Mapping[str, Any],
) -> DiagnosticStatus:
    """The status of a node that turns messages into others.

    Args:
        name: of the status.
        expects: what the node takes in, as in "no image came yet".
        state: lifecycle state; anything but "active" is a warning, so that a node that was never started is noticed.
        error: why the last transition failed; empty when it did not.
        statistics: of its frames.
        listening: whether it subscribes, also while nothing is to be done.
        opened_s: steady seconds since when it does; before, nothing could come.
        resting: why nothing is to be done; empty when something is.
        cut_off: nodes that it is not connected to although their topics have the same name, and why.
        problems: what makes results worse than they could be.
        busy_s: seconds that it has been working on one message so far.
        timeout_s: seconds without a message until it is stale, or with nothing but failures until that is an error.
        max_age_s: seconds that results may be old.
        clock_s: what the node's clock reads; 0 is simulated time of which nothing came.
        values: more to show.
    """
    summary = statistics.summary()
    problems = [*cut_off, *problems, *_age_problems(summary, max_age_s, clock_s)]
    # Results that take less than the window of the statistics show in their age.
    stuck_s = busy_s if busy_s > max(timeout_s, max_age_s, WINDOW_S) else 0.0
    level, message = _level(
        expects, state, error, statistics, listening, opened_s, resting, cut_off, problems, stuck_s, timeout_s
    )
    dropped = statistics.dropped()
    shown = {
        "state": state,
        **{figure: round(value, 2) for figure, value in summary.items()},
        "dropped": sum(dropped.values()),
        **{f"dropped: {reason}": count for reason, count in dropped.items()},
        **values,
    }
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        values=[KeyValue(key=key, value=str(value)) for key, value in shown.items()],
    )


def _level(
    expects: str,
    state: str,
    error: str,
    statistics: StreamStatistics,
    listening: bool,
    opened_s: float,
    resting: str,
    cut_off: Sequence[str],
    problems: Sequence[str],
    stuck_s: float,
    timeout_s: float,
) -> tuple[bytes, str]:
    if error:
        return DiagnosticStatus.ERROR, f"the node is {state}: {error}"
    if state != "active":
        steps = {"unconfigured": "configure and activate it", "inactive": "activate it"}.get(state, "start it anew")
        return DiagnosticStatus.WARN, f"the node is {state}: {steps} (ros2 lifecycle set, or autostart:=true)"
    if stuck_s > 0.0:
        return DiagnosticStatus.ERROR, f"no result: working on one {expects} for {stuck_s:.0f} s; start the node anew"
    resting = "" if cut_off else resting  # who is cut off may be the one who wants to listen
    if not listening and not cut_off:
        return DiagnosticStatus.OK, f"resting: {resting or 'about to listen'}"
    came = statistics.last_received
    silence = time.monotonic() - max(opened_s, -math.inf if came is None else came)
    if silence > timeout_s:
        missing = f"no {expects} for {silence:.1f} s"
        if came is None:
            missing = f"no {expects} came yet: does its publisher run, on the topic of this node?"
        if cut_off:
            return DiagnosticStatus.ERROR, "; ".join([*cut_off, *([missing] if listening else [])])
        return DiagnosticStatus.WARN if came is None else DiagnosticStatus.STALE, missing
    if resting:
        return DiagnosticStatus.OK, f"resting: {resting}"
    if came is None:
        return DiagnosticStatus.OK, f"waiting for the first {expects}"
    failing = statistics.failing()
    if failing is not None and failing[0] > timeout_s:
        return DiagnosticStatus.ERROR, f"no result for {failing[0]:.1f} s: {failing[1]}"
    if problems:
        return DiagnosticStatus.WARN, "; ".join(problems)
    return DiagnosticStatus.OK, "running"


def _age_problems(summary: Mapping[str, float], max_age_s: float, clock_s: float) -> list[str]:
    """What is wrong with how old results are, or with the clock that tells."""
    if clock_s == 0.0:
        return ["use_sim_time is true and no /clock came: does its publisher run, or should use_sim_time be false?"]
    age_s = summary.get("age_p95_ms", 0.0) * 1e-3
    if abs(age_s) <= max_age_s:
        return []
    if age_s < 0.0:
        return [f"images are stamped {-age_s:.1f} s ahead of this node's clock: are the hosts' clocks set?"]
    return [
        f"results are {age_s:.1f} s old, more than {max_age_s:g}: stages too slow for this machine, a lookahead, hosts "
        "with different clocks, or a recording without use_sim_time"
    ]


def gpu_memory_mb() -> dict[str, float]:
    """GPU memory of this process in MB, as torch holds it; empty without torch or a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    with contextlib.suppress(RuntimeError):  # a GPU that was lost does not tell
        return {
            "gpu_memory_mb": round(torch.cuda.memory_allocated() / 1e6, 1),
            "gpu_memory_reserved_mb": round(torch.cuda.memory_reserved() / 1e6, 1),
        }
    return {}
