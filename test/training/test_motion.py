import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.training.motion import Motion, MotionLibrary


def read(library: MotionLibrary, seconds: np.ndarray, sequence: int = 0) -> Motion:
    return library.read(np.array([sequence]), seconds[None], np.gradient(seconds)[None])


def test_at_its_own_rate_it_is_as_recorded(walkers):
    motion = read(MotionLibrary(walkers), np.arange(200) / 30.0, sequence=1)
    np.testing.assert_allclose(motion.joints[0], walkers[1].joints, atol=1e-5)
    np.testing.assert_allclose(motion.head_forward[0], walkers[1].head_forward, atol=1e-5)


@given(st.floats(10.0, 60.0))
@settings(max_examples=20, deadline=None)
def test_at_other_rates_it_lies_between(walkers, rate):
    """The right ankle swings 0.3 m about the walker once a second; within 1 mm of that, also between frames."""
    seconds = 0.5 + np.arange(10) / rate
    expected = 1.2 * seconds - 0.3 * np.sin(2.0 * np.pi * seconds)
    read_x = read(MotionLibrary(walkers), seconds, sequence=1).joints[0, :, 3, 0]
    np.testing.assert_allclose(read_x, expected, atol=1e-3)


def test_beyond_its_ends_time_runs_back(walkers):
    motion = read(MotionLibrary(walkers), np.arange(100) / 30.0)
    np.testing.assert_allclose(motion.joints[0, 40:79], motion.joints[0, 38::-1], atol=1e-5)


def test_segments_hold_the_whole_motion(walkers):
    motion = read(MotionLibrary(walkers), np.arange(20) / 30.0)
    again = Motion.from_segments(motion.to_segments(), motion.interval)
    np.testing.assert_allclose(again.joints, motion.joints, atol=1e-5)
    np.testing.assert_array_equal(again.head_forward, motion.head_forward)
