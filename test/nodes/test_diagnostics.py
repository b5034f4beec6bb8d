import math
import sys
import time
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from mambapose_ros.nodes import diagnostics
from mambapose_ros.nodes.diagnostics import gpu_memory_mb, stream_status
from mambapose_ros.nodes.statistics import StreamStatistics

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)


def status(statistics: StreamStatistics, **changes) -> tuple[bytes, str]:
    """Of an active node that somebody listens to."""
    given = {
        "name": "node",
        "expects": "image",
        "state": "active",
        "error": "",
        "listening": True,
        "opened_s": -math.inf,
        "resting": "",
        "cut_off": (),
        "problems": (),
        "busy_s": 0.0,
        "timeout_s": 1.0,
        "max_age_s": 1.0,
        "clock_s": 1.7e9,
        "values": {},
    }
    made = stream_status(statistics=statistics, **{**given, **changes})
    return made.level, made.message


@pytest.fixture
def fed() -> StreamStatistics:
    """An image has just come."""
    statistics = StreamStatistics()
    statistics.record_received()
    return statistics


@pytest.fixture
def forsaken(fed, monkeypatch) -> StreamStatistics:
    """The last image came ten seconds ago."""
    now = time.monotonic()
    monkeypatch.setattr(diagnostics.time, "monotonic", lambda: now + 10.0)
    return fed


def test_a_node_at_work_is_fine(fed):
    fed.record_result(0.1, {})
    assert status(fed) == (OK, "running")
    assert status(fed, busy_s=4.0) == (OK, "running")


def test_a_worker_that_does_not_come_back_is_an_error(fed):
    fed.record_dropped("newer image came first")
    level, message = status(fed, busy_s=8.0)
    assert level == ERROR
    assert message.startswith("no result: working on one image for 8 s")
    assert status(fed, busy_s=8.0, max_age_s=60.0)[0] == OK  # somebody who is patient
    assert status(fed, busy_s=8.0, state="inactive")[0] == WARN


def test_silence_is_told_beside_whom_it_is_not_connected_to(forsaken):
    assert status(forsaken) == (STALE, "no image for 10.0 s")
    cut_off = ["/markers: /rviz wants DURABILITY"]
    level, message = status(forsaken, cut_off=cut_off)
    assert level == ERROR
    assert message == "/markers: /rviz wants DURABILITY; no image for 10.0 s"
    level, message = status(StreamStatistics(), cut_off=cut_off)
    assert level == ERROR
    assert "no image came yet" in message
    # A node that rests subscribes nothing, so that nothing can come.
    assert status(StreamStatistics(), cut_off=cut_off, listening=False, resting="nobody listens")[1] == cut_off[0]


def test_what_could_not_come_yet_is_not_missed(forsaken):
    opened_s = diagnostics.time.monotonic()
    assert status(forsaken, opened_s=opened_s - 0.5) == (OK, "running")  # as after a rest
    assert status(forsaken, opened_s=opened_s - 2.0) == (STALE, "no image for 2.0 s")
    assert status(StreamStatistics(), opened_s=opened_s - 0.5) == (OK, "waiting for the first image")
    assert status(StreamStatistics(), opened_s=opened_s - 2.0)[0] == WARN


def test_old_results_are_warned_of(fed):
    fed.record_result(2.0, {})
    level, message = status(fed)
    assert level == WARN
    assert message.startswith("results are 2.0 s old")
    assert status(fed, max_age_s=3.0) == (OK, "running")


def test_a_clock_that_nobody_sets_is_not_taken_for_that_of_another_host(fed):
    fed.record_result(-1.7e9, {})
    assert "1700000000.0 s ahead of this node's clock: are the hosts' clocks set?" in status(fed)[1]
    level, message = status(fed, clock_s=0.0)
    assert level == WARN
    assert message.startswith("use_sim_time is true and no /clock came")
    assert "ahead" not in message


def test_who_is_about_to_listen_misses_nothing(forsaken):
    """Somebody has just asked for results, and the inputs are not open yet."""
    assert status(forsaken, listening=False) == (OK, "resting: about to listen")


def test_a_worker_that_does_not_come_back_is_an_error_also_after_the_inputs_were_closed(fed):
    level, message = status(fed, listening=False, busy_s=30.0)
    assert level == ERROR
    assert "working on one image for 30 s" in message


def test_a_gpu_that_was_lost_does_not_end_the_reports(monkeypatch):
    def lost() -> int:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    cuda = SimpleNamespace(is_initialized=lambda: True, memory_allocated=lambda: 2e6, memory_reserved=lambda: 3e6)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert gpu_memory_mb() == {"gpu_memory_mb": 2.0, "gpu_memory_reserved_mb": 3.0}
    cuda.memory_reserved = lost
    assert gpu_memory_mb() == {}
