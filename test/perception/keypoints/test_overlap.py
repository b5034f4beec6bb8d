import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.perception.keypoints.overlap import share_in_box, share_on_body
from mambapose_ros.types import PersonKeypoints

STANDING = np.array(
    [(0, 50), (-8, 50), (-8, 73), (-8, 96), (8, 50), (8, 73), (8, 96), (0, 34), (0, 18), (0, 12), (0, 4)]
    + [(12, 20), (16, 36), (18, 50), (-12, 20), (-16, 36), (-18, 50)],
    float,
)


def person(xy, confidence=1.0):
    return PersonKeypoints(np.asarray(xy, float), np.full(17, confidence))


@given(
    st.floats(-100, 100), st.floats(-100, 100), st.floats(0.1, 3.0), st.lists(st.booleans(), min_size=17, max_size=17)
)
def test_what_lies_on_somebody_is_a_share(x, y, scale, missing):
    other = STANDING * scale + (x, y)
    other[np.array(missing)] = np.nan
    a, b = person(STANDING), person(other)
    assert 0.0 <= share_on_body(b, a) <= 1.0


def test_a_small_find_on_a_leg_is_on_the_body_and_in_the_box():
    ghost = person(STANDING * 0.2 + (8, 60))
    assert share_on_body(ghost, person(STANDING)) > 0.9
    assert share_in_box(ghost, person(STANDING)) == pytest.approx(1.0)
    assert share_on_body(person(STANDING), ghost) < 0.3


def test_somebody_apart_is_on_nobody():
    assert share_on_body(person(STANDING + (100, 0)), person(STANDING)) == 0.0
    assert share_in_box(person(STANDING + (100, 0)), person(STANDING)) == 0.0


def test_nobody_is_on_nobody():
    nobody = person(np.full((17, 2), np.nan), 0.0)
    assert share_on_body(nobody, person(STANDING)) == 0.0
    assert share_on_body(person(STANDING), nobody) == 0.0
