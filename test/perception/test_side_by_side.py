import threading

import pytest

from mambapose_ros.perception.side_by_side import SideBySide


@pytest.fixture
def side_by_side():
    result = SideBySide()
    yield result
    result.close()


def test_both_run_at_the_same_time_again_and_again(side_by_side):
    meeting = threading.Barrier(2, timeout=10.0)  # breaks unless both are there
    for _ in range(3):
        assert set(side_by_side(meeting.wait, meeting.wait)) == {0, 1}


def test_one_runs_in_the_callers_thread_and_the_other_always_in_the_same(side_by_side):
    calls = [side_by_side(threading.get_ident, threading.get_ident) for _ in range(3)]
    assert {here for here, _ in calls} == {threading.get_ident()}
    assert len({beside for _, beside in calls}) == 1


def test_what_one_raises_comes_when_both_have_ended(side_by_side):
    failed, ended = threading.Event(), []
    error = RuntimeError("CUDA out of memory")

    def fail():
        failed.set()
        raise error

    def end():
        assert failed.wait(10.0)
        ended.append(True)

    with pytest.raises(RuntimeError) as raised:
        side_by_side(fail, end)
    assert raised.value is error
    failed.clear()
    with pytest.raises(RuntimeError) as raised:
        side_by_side(end, fail)
    assert raised.value is error
    assert ended == [True, True]


def test_the_callers_own_failure_goes_before_the_others(side_by_side):
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda: 1 / 0, lambda: [][0])
    assert side_by_side(lambda: 1, lambda: 2) == (1, 2)


def test_no_thread_is_left_when_it_is_closed_or_forgotten():
    before = set(threading.enumerate())
    closed, forgotten = SideBySide(), SideBySide()
    closed(int, int)
    forgotten(int, int)
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert len(started) == 2
    closed.close()
    del forgotten
    for thread in started:
        thread.join(10.0)
        assert not thread.is_alive()
