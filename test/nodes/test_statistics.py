import pytest

from mambapose_ros.nodes import statistics
from mambapose_ros.nodes.statistics import StreamStatistics


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(statistics.time, "monotonic", lambda: Clock.now)
    return Clock


def test_rates_ages_and_stages_of_the_last_seconds(clock):
    figures = StreamStatistics()
    figures.record_received()
    figures.record_result(9.0, {"keypoints": 900.0})
    clock.now = 200.0  # what was before is out of the window
    for i in range(11):
        clock.now = 200.0 + i * 0.1
        figures.record_received()
        figures.record_result(0.010 * i, {"keypoints": 5.0, "flow": float(i)})
    summary = figures.summary()
    assert summary["rate_in_hz"] == pytest.approx(10.0)
    assert summary["rate_out_hz"] == pytest.approx(10.0)
    assert summary["age_p50_ms"] == pytest.approx(50.0)
    assert summary["age_p95_ms"] == pytest.approx(95.0)
    assert summary["keypoints_ms"] == 5.0
    assert summary["flow_ms"] == 5.0


def test_dropped_frames_are_counted_by_reason():
    figures = StreamStatistics()
    assert [figures.record_dropped("late"), figures.record_dropped("late"), figures.record_dropped("bad")] == [1, 2, 1]
    assert figures.dropped() == {"late": 2, "bad": 1}


def test_nothing_happened_yet(clock):
    assert StreamStatistics().summary() == {"rate_in_hz": 0.0, "rate_out_hz": 0.0}


def test_failures_count_from_the_first_without_a_result_between_them(clock):
    figures = StreamStatistics()
    assert figures.failing() is None
    figures.record_failed("bad")
    clock.now += 3.0
    assert figures.record_failed("worse") == 1
    assert figures.failing() == (3.0, "worse")
    figures.record_dropped("newer came first")  # no failure
    assert figures.failing() == (3.0, "worse")
    figures.record_result(0.0, {})
    assert figures.failing() is None
    assert figures.dropped() == {"bad": 1, "worse": 1, "newer came first": 1}


def test_what_is_long_ago_is_not_kept(clock):
    figures = StreamStatistics()
    for _ in range(10_000):
        clock.now += 0.01
        figures.record_received()
        figures.record_result(0.0, {})
    kept = int(statistics.WINDOW_S / 0.01) + 1
    assert len(figures._received) <= kept
    assert len(figures._results) <= kept
