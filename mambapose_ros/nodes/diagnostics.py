"""What /diagnostics says about a node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mambapose_ros.nodes.statistics import StreamStatistics


def pose_status(
    *,
    name: str,
    state: str,
    statistics: StreamStatistics,
    camera_problem: str,
    timeout_s: float,
    values: Mapping[str, Any],
) -> DiagnosticStatus:
    """The status of a node that turns images into people.

    Args:
        name: of the status.
        state: lifecycle state; anything but "active" is a warning, so that a node that was never started is noticed.
        statistics: of its frames.
        camera_problem: why its intrinsics are assumed; empty when they are known.
        timeout_s: seconds without an image until it warns.
        values: more to show.
    """
    level, message = _level(state, statistics, camera_problem, timeout_s)
    figures: dict[str, Any] = {name: round(value, 2) for name, value in statistics.summary().items()}
    dropped = statistics.dropped()
    reasons = {f"dropped: {reason}": count for reason, count in dropped.items()}
    shown = {"state": state, **figures, "dropped": sum(dropped.values()), **reasons, **values}
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id="camera",
        values=[KeyValue(key=key, value=str(value)) for key, value in shown.items()],
    )


def _level(state: str, statistics: StreamStatistics, camera_problem: str, timeout_s: float) -> tuple[bytes, str]:
    if state != "active":
        return DiagnosticStatus.WARN, f"the node is {state}: activate it (ros2 lifecycle set ... activate)"
    if statistics.last_received is None:
        return DiagnosticStatus.WARN, "no image came yet: is the camera running, and its topic remapped to this one?"
    silence = time.monotonic() - statistics.last_received
    if silence > timeout_s:
        return DiagnosticStatus.STALE, f"no image for {silence:.1f} s"
    if camera_problem:
        return DiagnosticStatus.WARN, f"intrinsics assumed: {camera_problem}"
    return DiagnosticStatus.OK, "running"
