import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mambapose_ros.perception.association import (
    Expectation,
    assign,
    expected_oks,
    likeness,
    newcomers,
    relative_size,
    without_duplicates,
)
from mambapose_ros.perception.oks import oks
from mambapose_ros.skeleton import FLIP
from mambapose_ros.synthetic.body import Body, joints, place
from mambapose_ros.synthetic.motions import walk
from mambapose_ros.types import PersonKeypoints

AVERAGE = Body.random(np.random.default_rng(0))
STANDING = joints(AVERAGE, place(AVERAGE, walk(0.3, AVERAGE)))[:, [1, 2]] * (-100.0, -100.0)  # px, from the side
STANDING -= STANDING.min(axis=0)


def person(xy=STANDING, confidence=0.9) -> PersonKeypoints:
    return PersonKeypoints(np.array(xy, dtype=np.float64), np.full(17, confidence))


def expectation(xy=STANDING, spread=0.0, size_spread=0.0) -> Expectation:
    return Expectation(person(xy), np.full(2, spread**2), size_spread**2)


def only(found, expected) -> float:
    return float(likeness([found], [expected])[0, 0])


def test_of_duplicates_the_most_confident_is_kept():
    people = [person(confidence=0.5), person(STANDING + 1.0, 0.8), person(STANDING + (150.0, 0.0), 0.3)]
    assert [kept.confidence[0] for kept in without_duplicates(people)] == [0.8, 0.3]


def test_two_people_side_by_side_are_two_but_near_copies_may_be_the_same():
    beside, copy, other = person(STANDING + (40.0, 0.0)), person(STANDING + (8.0, 0.0)), person(STANDING + (48.0, 0.0))
    assert len(without_duplicates([person(), beside])) == 2
    assert newcomers([person()], [copy, beside, other]) == [beside]


def test_somebody_behind_is_smaller_and_no_copy():
    middle = STANDING.mean(axis=0)
    behind = person(middle + 0.8 * (STANDING - middle))
    assert oks(behind, person()) > 0.5
    assert newcomers([person()], [behind]) == [behind]


def test_what_is_as_expected_has_a_likeness_of_one():
    assert only(person(), expectation()) == pytest.approx(1.0)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.0, 150.0), st.floats(1.0, 150.0), st.floats(0.0, 30.0))
def test_likeness_falls_with_distance(near, farther, spread):
    a, b = (only(person(STANDING + (x, 0.0)), expectation(spread=spread)) for x in (near, near + farther))
    assert 0.0 <= b < a <= 1.0 + 1e-12


def test_who_may_be_anywhere_is_less_likely_here_and_more_likely_there():
    sure, unsure = expectation(spread=1.0), expectation(spread=50.0)
    assert only(person(), sure) > 3.0 * only(person(), unsure)
    far = person(STANDING + (80.0, 0.0))
    assert only(far, unsure) > 3.0 * only(far, sure)


def test_expected_oks_is_the_mean_over_the_places():
    rng = np.random.default_rng(0)
    offset, area, spread = np.tile([60.0, -20.0], (17, 1)), np.array(2000.0), np.array([40.0, 10.0])
    places = rng.normal(0.0, spread, (200_000, 1, 2))
    mean = expected_oks(offset - places, area, np.zeros(2)).mean(axis=0)
    np.testing.assert_allclose(expected_oks(offset, area, spread**2), mean, rtol=0.1)


def test_somebody_off_as_a_whole_goes_behind_somebody_who_may_be_there():
    # 12 px are next to nothing for one joint of somebody 170 px tall, but not for all of them from one image to the
    # next.
    off = person(STANDING + (12.0, 0.0))
    assert only(off, expectation(spread=15.0)) > 2.0 * only(off, expectation(spread=1.0))


def test_another_size_is_unlikely_unless_the_size_is_unsure():
    middle = STANDING.mean(axis=0)
    larger = person(middle + 1.3 * (STANDING - middle))
    same_place = expectation(spread=30.0)
    assert only(larger, same_place) < 0.3 * only(person(), same_place)
    unsure = expectation(spread=30.0, size_spread=0.3)
    assert only(larger, unsure) > 2.0 * only(larger, same_place)


def test_left_taken_for_right_is_still_the_same_person():
    facing = joints(AVERAGE, place(AVERAGE, walk(0.3, AVERAGE)))[:, [0, 2]] * (-100.0, -100.0)
    assert -np.log(only(person(facing[list(FLIP)]), expectation(facing))) < 3.0


def test_other_joints_of_the_same_person_are_told_by_the_box():
    upper, whole = STANDING.copy(), STANDING.copy()
    upper[[0, 1, 2, 3, 4, 5, 6, 7]] = np.nan
    whole[8:] = np.nan
    whole[2] = STANDING[10]
    assert only(person(upper), expectation(whole)) > 0.0


def test_relative_size_needs_common_joints_and_ignores_place():
    grown = STANDING * 1.5 + (70.0, -20.0)
    assert relative_size(grown, STANDING) == pytest.approx(1.5)
    grown[:14] = np.nan
    assert relative_size(grown, STANDING) == 1.0


def test_nobody_is_taken_for_somebody_else_to_leave_a_partner_for_a_third():
    # Person 0 is surely track 0; taking it for track 1 would let person 1, who is like nobody else, be track 0.
    assert assign(np.array([[0.9, 1e-3], [1e-3, 1e-9]])) == {0: 0}


def test_the_total_counts():
    assert assign(np.array([[0.9, 0.8], [0.8, 0.01]])) == {0: 1, 1: 0}


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_is_assigned_to_nobody(shape):
    assert assign(np.zeros(shape)) == {}
    assert likeness([person()] * shape[0], [expectation()] * shape[1]).shape == shape


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, (4, 3), elements=st.floats(0.0, 1.0), unique=True), st.permutations(range(4)))
def test_the_order_of_people_does_not_matter(likenesses, order):
    total = sum(np.log(likenesses[i, j]) for i, j in assign(likenesses).items())
    shuffled = assign(likenesses[order])
    assert sum(np.log(likenesses[order[i], j]) for i, j in shuffled.items()) == pytest.approx(total)
    assert len(set(shuffled.values())) == len(shuffled)
