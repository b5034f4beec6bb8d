import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.perception.keypoints.windows import Window, search_windows, without_people
from mambapose_ros.types import PersonKeypoints


@given(st.integers(32, 2000), st.integers(32, 2000))
def test_windows_cover_the_image_and_stay_inside(width, height):
    whole, *parts = search_windows(width, height)
    assert whole == Window(0, 0, width, height)
    for window in parts:
        assert window.width == window.height
        assert window.x >= 0
        assert window.y >= 0
        assert window.x + window.width <= width
        assert window.y + window.height <= height
    for side in {window.width for window in parts}:
        level = [window for window in parts if window.width == side]
        for axis, length in (("x", width), ("y", height)):
            starts = sorted({getattr(window, axis) for window in level})
            assert starts[0] == 0
            assert starts[-1] + side == length
            # Half a window or less from one to the next: whoever is half as large is whole in one of them.
            assert max(np.diff(starts), default=0) <= side / 2 + 1


def test_a_usual_image_has_few_windows():
    assert len(search_windows(640, 480)) == 9
    assert len(search_windows(1280, 720)) == 14
    assert len(search_windows(4000, 8)) == 1


def test_people_are_painted_over_in_a_copy():
    image = np.zeros((100, 100, 3), np.uint8)
    xy = np.tile([[50.0, 50.0]], (17, 1))
    xy[10] = (50.0, 10.0)
    person = PersonKeypoints(xy, np.ones(17))
    part = without_people(image, [person], Window(40, 0, 40, 60))
    assert part.shape == (60, 40, 3)
    assert part[30, 10, 0] == 128  # on the line from joint 9 to joint 10
    assert part[30, 38, 0] == 0
    assert not image.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e12])
def test_wild_joints_paint_nothing_wrong(value):
    image = np.zeros((60, 60, 3), np.uint8)
    person = PersonKeypoints(np.full((17, 2), value), np.ones(17))
    assert not without_people(image, [person], Window(0, 0, 60, 60)).any()
