from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.nodes.image_node import in_same_period

START_NS = 1_795_000_000 * 10**9  # of a clock as robots have it


def taken(stamps: list[int], rate: float) -> list[int]:
    """Which images a node works on."""
    result: list[int] = []
    for stamp in stamps:
        if not result or not in_same_period(result[-1], stamp, rate):
            result.append(stamp)
    return result


@given(st.integers(1, 60), st.floats(5.0, 60.0), st.integers(0, 10**9))
def test_images_are_thinned_to_the_rate(rate, camera_hz, offset_ns):
    stamps = [START_NS + offset_ns + round(index * 1e9 / camera_hz) for index in range(300)]
    seconds = (stamps[-1] - stamps[0]) * 1e-9
    count = len(taken(stamps, float(rate)))
    assert count <= seconds * rate + 2
    if camera_hz >= 1.1 * rate:  # one in every period
        assert count >= seconds * rate - 1
    assert len(taken(stamps, 0.0)) == len(stamps)


@given(st.integers(0, 2**62), st.integers(0, 10**9), st.floats(0.1, 240.0))
def test_stamps_that_repeat_or_run_backwards_are_left_to_who_tells_of_them(stamp_ns, back_ns, rate):
    assert not in_same_period(stamp_ns, stamp_ns - back_ns, rate)


def test_nodes_that_start_at_different_times_take_the_same_images():
    stamps = [START_NS + round(index * 1e9 / 30) for index in range(300)]
    early, late = set(taken(stamps, 7.0)), set(taken(stamps[40:], 7.0))
    assert len(late - early) <= 1  # the first one
