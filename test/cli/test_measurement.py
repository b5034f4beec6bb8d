import os
import time

import numpy as np
import pytest

from mambapose_ros.cli.measurement import in_fresh_process, peak_memory, timed


def fill(megabytes):
    np.ones(megabytes * 125_000).sum()


def test_peak_memory_is_that_of_the_call_alone():
    fill(400)  # an earlier peak
    kept = np.ones(200 * 125_000)  # and what is there before
    used = peak_memory(lambda: fill(100), "cpu")
    if used.resident_mb is None:
        pytest.skip("resident memory: /proc/self/clear_refs, which this system has not")
    assert used.resident_mb == pytest.approx(100.0, abs=10.0)
    assert used.gpu_mb is None
    assert len(kept)


def test_time_is_that_of_the_call():
    assert timed(lambda: time.sleep(0.05), "cpu") >= 0.05


def test_a_fresh_process_is_another_one():
    assert in_fresh_process(os.getpid) != os.getpid()


def test_what_goes_wrong_in_a_fresh_process_is_raised_here():
    with pytest.raises(ValueError, match="invalid literal"):
        in_fresh_process(int, "seven")
