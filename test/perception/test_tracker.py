import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.types import PersonKeypoints

FRAME = 33_333_333  # ns
SECOND = 1_000_000_000
BODY = np.random.default_rng(0).uniform((0, 0), (40, 100), (17, 2))


def person_at(x: float, confidence: float = 0.9) -> PersonKeypoints:
    return PersonKeypoints(BODY + (x, 0.0), np.full(17, confidence))


def ids(people) -> list[str]:
    return [person.id for person in people]


def test_people_keep_their_ids_whatever_order_they_come_in():
    tracker = Tracker()
    first = tracker(0, [person_at(0, 0.9), person_at(300, 0.8)])
    assert ids(first) == ["p1", "p2"]
    second = tracker(FRAME, [person_at(304, 0.95), person_at(3, 0.8)])
    assert {person.id: person.xy[0, 0] - BODY[0, 0] for person in second} == {"p2": 304, "p1": 3}


def test_a_person_who_comes_back_soon_keeps_the_id_and_late_gets_a_new_one():
    tracker = Tracker(timeout=1.0)
    tracker(0, [person_at(0)])
    assert tracker(FRAME, []) == ()
    assert ids(tracker(SECOND // 2, [person_at(5)])) == ["p1"]
    assert ids(tracker(2 * SECOND, [person_at(5)])) == ["p2"]


def test_somebody_far_away_is_somebody_else():
    tracker = Tracker()
    tracker(0, [person_at(0)])
    assert ids(tracker(FRAME, [person_at(500)])) == ["p2"]


def test_the_most_confident_people_are_kept():
    people = [person_at(0, 0.2), person_at(200, 0.9), person_at(400, 0.5)]
    kept = Tracker(max_people=2)(0, people)
    assert [person.confidence[0] for person in kept] == [0.9, 0.5]


def test_ids_are_not_used_again_after_a_reset():
    tracker = Tracker()
    tracker(0, [person_at(0)])
    tracker.reset()
    assert ids(tracker(FRAME, [person_at(0)])) == ["p2"]


@pytest.mark.parametrize("missing", [slice(None), slice(0, 10)])
def test_missing_joints_are_no_obstacle(missing):
    tracker = Tracker()
    tracker(0, [person_at(0)])
    partial = person_at(2)
    partial.xy[missing] = np.nan
    assert len(tracker(FRAME, [partial])) == 1


@given(st.lists(st.lists(st.floats(0, 2000), max_size=6), max_size=12))
def test_ids_are_unique_in_every_frame(rows):
    tracker = Tracker(max_people=6)
    for i, row in enumerate(rows):
        found = ids(tracker(i * FRAME, [person_at(x) for x in row]))
        assert len(set(found)) == len(found) == min(len(row), 6)
