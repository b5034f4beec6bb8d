import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.perception.oks import oks
from mambapose_ros.perception.tracker import Tracker
from mambapose_ros.synthetic.scene import SyntheticScene
from mambapose_ros.types import TRACKING_STATES, PersonKeypoints

FRAME = 33_333_333  # ns
SECOND = 1_000_000_000
BODY = np.random.default_rng(0).uniform((0, 0), (40, 100), (17, 2))


def person_at(x: float, confidence: float = 0.9, y: float = 0.0) -> PersonKeypoints:
    return PersonKeypoints(BODY + (x, y), np.full(17, confidence))


def ids(people, *states: str) -> list[str]:
    return [person.id for person in people if person.state in (states or TRACKING_STATES)]


def place(person: PersonKeypoints) -> float:
    return float(np.nanmean(person.xy[:, 0] - BODY[:, 0]))


def follow(tracker: Tracker, *speeds: float, frames: int = 30, start: int = 0) -> None:
    """People at 0, 200, 400, ... px who move by so many pixels a frame."""
    for frame in range(start, start + frames):
        tracker(frame * FRAME, [person_at(200 * i + speed * frame) for i, speed in enumerate(speeds)])


def test_people_keep_their_ids_whatever_order_they_come_in():
    tracker = Tracker()
    first = tracker(0, [person_at(0, 0.9), person_at(300, 0.8)])
    assert ids(first) == ["p1", "p2"]
    second = tracker(FRAME, [person_at(304, 0.95), person_at(3, 0.8)])
    assert {person.id: round(place(person)) for person in second} == {"p2": 304, "p1": 3}


def test_ids_of_trackers_with_different_prefixes_differ():
    front, rear = Tracker(id_prefix="front_"), Tracker(id_prefix="rear_")
    for tracker, expected in ((front, "front_p1"), (rear, "rear_p1")):
        assert [tracker(i * FRAME, [person_at(100.0)])[0].id for i in range(2)] == [expected] * 2
        (predicted,) = tracker(2 * FRAME, [])
        assert (predicted.id, predicted.state) == (expected, "predicted")


def test_a_new_person_is_tentative_and_tracked_from_the_second_sighting_on():
    tracker = Tracker()
    states = [tracker(frame * FRAME, [person_at(frame)])[0].state for frame in range(5)]
    assert states == ["tentative", "tracked", "tracked", "tracked", "tracked"]


def test_what_is_seen_is_returned_as_it_was_seen():
    tracker = Tracker()
    follow(tracker, 2.0)
    seen = person_at(60.0, 0.7)
    (returned,) = tracker(30 * FRAME, [seen])
    np.testing.assert_array_equal(returned.xy, seen.xy)
    np.testing.assert_array_equal(returned.confidence, seen.confidence)


def test_who_is_not_seen_is_predicted_from_motion_then_lost_once_then_gone():
    tracker = Tracker(timeout=1.0)
    follow(tracker, 2.0)
    for frame in range(30, 60):
        (predicted,) = tracker(frame * FRAME, [])
        if frame < 59:
            assert (predicted.id, predicted.state) == ("p1", "predicted")
            assert place(predicted) == pytest.approx(2.0 * frame, abs=6.0)
            assert not predicted.confidence.any()
    (lost,) = tracker(60 * FRAME, [])
    assert (lost.id, lost.state) == ("p1", "lost")
    assert np.isnan(lost.xy).all()
    assert tracker(61 * FRAME, []) == ()


def test_who_crouches_is_not_predicted_to_go_on_shrinking():
    """Smaller by 1 % a frame while seen; predicted in the size last seen."""
    tracker, middle = Tracker(), BODY.mean(axis=0)
    for frame in range(30):
        (last,) = tracker(frame * FRAME, [PersonKeypoints(middle + 0.99**frame * (BODY - middle), np.full(17, 0.9))])
    for frame in range(30, 60):
        (predicted,) = tracker(frame * FRAME, [])
    np.testing.assert_allclose(np.ptp(predicted.xy, axis=0), np.ptp(last.xy, axis=0), rtol=1e-9)


def test_a_tentative_person_is_not_predicted_but_keeps_the_id():
    tracker = Tracker(timeout=1.0)
    tracker(0, [person_at(0)])
    assert tracker(FRAME, []) == ()
    assert ids(tracker(SECOND // 2, [person_at(5)])) == ["p1"]


def test_a_person_who_comes_back_late_is_somebody_new():
    tracker = Tracker(timeout=1.0)
    tracker(0, [person_at(0)])
    people = tracker(2 * SECOND, [person_at(5)])
    assert ids(people, "tentative") == ["p2"]
    assert ids(people, "lost") == ["p1"]


def test_somebody_far_away_is_somebody_else():
    tracker = Tracker()
    tracker(0, [person_at(0)])
    assert ids(tracker(FRAME, [person_at(500)])) == ["p2"]


def test_two_who_cross_while_one_is_hidden_for_a_second_keep_their_ids():
    tracker = Tracker()
    for frame in range(120):
        people = [person_at(2.0 * frame), person_at(240.0 - 2.0 * frame, y=4.0)]
        found = tracker(frame * FRAME, people[: 1 if 45 <= frame < 75 else 2])
    assert {person.id: round(place(person)) for person in found} == {"p1": 238, "p2": 2}


def test_flow_finds_somebody_whom_constant_velocity_does_not():
    jump = np.broadcast_to(np.array([90.0, 0.0], np.float32), (240, 320, 2))
    with_flow, without = Tracker(), Tracker()
    for tracker, flow in ((with_flow, jump), (without, None)):
        follow(tracker, 0.0)
        people = tracker(30 * FRAME, [person_at(90.0)], flow)
        assert ids(people, "tracked") == (["p1"] if tracker is with_flow else [])
        assert ids(people, "tentative") == ([] if tracker is with_flow else ["p2"])


def test_unknown_flow_changes_nothing():
    tracker = Tracker()
    follow(tracker, 2.0)
    unknown = np.full((240, 320, 2), np.nan, np.float32)
    assert ids(tracker(30 * FRAME, [person_at(60.0)], unknown)) == ["p1"]


def test_flow_of_synthetic_people_leads_back_to_themselves():
    # Seen from far, so that people move less than their parts are thick; two images are 0.2 s apart.
    scene = SyntheticScene("walk", people=2, seed=3, width=320, height=240, fps=5.0)
    first, second = scene.render(0), scene.render(1)
    tracker = Tracker()
    before = [PersonKeypoints(xy, np.ones(17)) for xy in first.keypoints]
    named = {id(person.xy): person.id for person in tracker(first.stamp_ns, before)}
    after = [PersonKeypoints(xy, np.ones(17)) for xy in second.keypoints]
    flow = np.where(second.flow_valid[..., None], second.flow, np.nan)
    again = {id(person.xy): person.id for person in tracker(second.stamp_ns, after, flow)}
    assert [again[id(p.xy)] for p in after] == [named[id(p.xy)] for p in before]


def test_somebody_found_twice_is_one_person():
    tracker = Tracker()
    for frame in range(5):
        # The second is nearly the first; the third is so near that it may be, and never becomes somebody.
        people = [person_at(frame, 0.6), person_at(frame + 1, 0.9), person_at(frame + 8, 0.5), person_at(300)]
        assert 0.5 < oks(people[1], people[2]) < 0.8 < oks(people[0], people[1])
        assert len(tracker(frame * FRAME, people)) == 2


def test_the_most_confident_newcomers_are_kept():
    people = [person_at(0, 0.2), person_at(200, 0.9), person_at(400, 0.5)]
    kept = Tracker(max_people=2)(0, people)
    assert [person.confidence[0] for person in kept] == [0.9, 0.5]


def test_tracked_people_go_before_more_confident_newcomers():
    tracker = Tracker(max_people=2)
    for frame in range(10):
        tracker(frame * FRAME, [person_at(0, 0.5), person_at(200, 0.5)])
    found = tracker(10 * FRAME, [person_at(400, 0.99), person_at(0, 0.5), person_at(200, 0.5)])
    assert sorted(round(place(person)) for person in found) == [0, 200]


def test_people_in_view_go_before_hidden_ones_who_get_their_place_back():
    tracker = Tracker(max_people=2)
    follow(tracker, 0.0, 0.0)
    one, newcomer = person_at(0), person_at(800)
    found = tracker(30 * FRAME, [one, newcomer])
    assert ids(found, "tracked", "tentative") == ["p1", "p3"]
    assert ids(found, "predicted") == []
    found = tracker(31 * FRAME, [one, newcomer, person_at(200)])
    assert ids(found, "tracked") == ["p1", "p2"]
    assert ids(found, "lost") == ["p3"]


def test_who_came_first_stays_when_fewer_are_followed():
    tracker = Tracker(max_people=3)
    follow(tracker, 0.0, 0.0, 0.0)
    tracker.max_people = 2
    found = tracker(30 * FRAME, [person_at(400, 0.99), person_at(200, 0.5), person_at(0, 0.5)])
    assert ids(found, "tracked") == ["p1", "p2"]
    assert ids(found, "lost") == ["p3"]


def test_of_hidden_people_who_came_first_is_predicted_when_there_is_no_room_for_all():
    tracker = Tracker(max_people=2)
    follow(tracker, 0.0, 0.0)
    tracker.max_people = 1
    assert [ids(tracker(frame * FRAME, []), "predicted") for frame in (30, 31)] == [["p1"]] * 2


def test_max_people_may_change_between_frames():
    tracker = Tracker(max_people=1)
    both = [person_at(0), person_at(200)]
    assert len(tracker(0, both)) == 1
    tracker.max_people = 2
    assert len(tracker(FRAME, both)) == 2
    with pytest.raises(ValueError, match="1 or more, got 0"):
        tracker.max_people = 0


@pytest.mark.parametrize(
    ("arguments", "message"), [({"max_people": 0}, "max_people of 1"), ({"timeout": -1.0}, "timeout of 0 seconds")]
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tracker(**arguments)


def test_time_that_runs_backwards_is_refused_until_reset():
    tracker = Tracker()
    tracker(SECOND, [person_at(0)])
    with pytest.raises(ValueError, match="reset the tracker"):
        tracker(0, [person_at(0)])
    tracker.reset()
    assert ids(tracker(0, [person_at(0)])) == ["p2"]


def test_the_same_stamp_twice_changes_nobodys_id():
    tracker = Tracker()
    follow(tracker, 2.0, -2.0)
    again = [tracker(29 * FRAME, [person_at(58.0), person_at(142.0)]) for _ in range(3)]
    assert [ids(people) for people in again] == [["p1", "p2"]] * 3


def test_missing_joints_are_no_obstacle_and_a_person_without_joints_is_nobody():
    tracker = Tracker()
    tracker(0, [person_at(0)])
    partial, empty = person_at(2), person_at(2)
    partial.xy[:10], empty.xy[:] = np.nan, np.nan
    assert ids(tracker(FRAME, [partial])) == ["p1"]
    assert ids(tracker(2 * FRAME, [empty]), "tentative", "tracked") == []


@pytest.mark.parametrize("rate", [5.0, 10.0, 60.0])
@pytest.mark.parametrize("speed", [-120.0, 0.0, 200.0])  # px/s, of somebody 100 px tall: up to 3.4 m/s
def test_one_person_has_one_id_at_any_rate(rate, speed):
    rng = np.random.default_rng(0)
    tracker = Tracker()
    times = np.cumsum(rng.uniform(0.5, 1.5, round(4 * rate)) / rate)
    seen = {
        person.id
        for t in times
        if rng.random() > 0.1
        for person in tracker(round(t * 1e9), [person_at(speed * t + rng.normal(0.0, 0.5))])
    }
    assert seen == {"p1"}


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.floats(0, 2000), max_size=6), max_size=12))
def test_ids_are_unique_in_every_frame(rows):
    tracker = Tracker(max_people=6)
    gone: set[str] = set()
    for i, row in enumerate(rows):
        people = tracker(i * FRAME, [person_at(x) for x in row])
        found = ids(people)
        assert len(set(found)) == len(found)
        assert len(ids(people, "tentative", "tracked", "predicted")) <= 6
        assert len(ids(people, "tentative", "tracked")) <= len(row)
        assert not gone & set(found)
        gone |= set(ids(people, "lost"))
        assert all(name.startswith("p") for name in found)


PLACES = [0.0, 150.0, 320.0, 500.0]


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_the_order_of_detections_changes_no_ids(data):
    sorted_, shuffled = Tracker(), Tracker()
    for frame in range(4):
        people = [person_at(x + 3.0 * frame * (-1) ** i) for i, x in enumerate(PLACES)]
        order = data.draw(st.permutations(range(4)))
        a = {person.id: place(person) for person in sorted_(frame * FRAME, people)}
        b = {person.id: place(person) for person in shuffled(frame * FRAME, [people[i] for i in order])}
        assert a == b


@settings(deadline=None, max_examples=20)
@given(st.floats(2000.0, 9000.0), st.integers(1, 9))
def test_somebody_far_away_changes_nobodys_id(x, when):
    alone, together = Tracker(), Tracker()
    for frame in range(10):
        people = [person_at(place_ + 2.0 * frame) for place_ in PLACES[:3]]
        a = {person.id: place(person) for person in alone(frame * FRAME, people)}
        more = [*people, person_at(x, 0.99)] if frame >= when else people
        b = {person.id: place(person) for person in together(frame * FRAME, more)}
        assert a.items() <= b.items()


def test_ids_are_not_used_again_after_a_reset():
    tracker = Tracker()
    tracker(0, [person_at(0)])
    tracker.reset()
    assert ids(tracker(FRAME, [person_at(0)])) == ["p2"]


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "tracking.py"
    spec = importlib.util.spec_from_file_location("benchmark_tracking", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [0, 1])  # to and fro; in rings
def test_four_people_who_cross_keep_their_ids(benchmark, seed):
    scene = benchmark.crossing_people(seed, seconds=12.0, rate=20.0)
    assert scene.crossings >= 8
    tracked = benchmark.track(scene, Tracker())
    assert benchmark.count_swaps(scene, tracked) == 0
    assert {person.id for people in tracked.frames for person in people} == {"p1", "p2", "p3", "p4"}
    greedy = benchmark.track(scene, benchmark.GreedyBoxTracker())
    assert benchmark.count_swaps(scene, greedy) > 0


@pytest.mark.parametrize("people", [1, 2])
def test_people_who_turn_between_two_rare_images_keep_their_ids(people):
    """As on a computer that is busy for a while: somebody walks to and fro, and is seen every 0.3 to 0.9 s."""
    scene = SyntheticScene("walk", people=people, seed=0, width=640, height=480, fps=30.0)
    rng = np.random.default_rng(5)
    for _ in range(3):
        tracker, index, owners = Tracker(), int(rng.integers(150)), {}
        while index < 600:
            truth = scene.render(index).keypoints
            seen = [PersonKeypoints(xy + rng.normal(0.0, 2.0, xy.shape), np.full(17, 0.9)) for xy in truth]
            for person in tracker(round(index * 1e9 / 30), seen):
                if person.state in ("tentative", "tracked"):
                    nearest = int(np.argmin([np.abs(xy - person.xy).sum() for xy in truth]))
                    assert owners.setdefault(person.id, nearest) == nearest
            index += int(rng.integers(9, 28))
        assert len(owners) == people
