import numpy as np

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.keypoints import make_detector
from mambapose_ros.types import Frame, PersonKeypoints


def frame(stamp_ns):
    return Frame(stamp_ns, "camera", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48))


def person(confidence):
    return PersonKeypoints(np.zeros((17, 2)), np.full(17, confidence))


def test_what_was_put_in_comes_out_once_for_its_stamp():
    detector = make_detector("external")
    people = (person(0.9), person(0.5))
    detector.put(7, people)
    assert detector.has(7)
    assert not detector.has(8)
    assert detector(frame(7)) == people
    assert not detector.has(7)


def test_what_did_not_come_is_nobody_and_counted():
    detector = make_detector("external")
    detector.put(7, [person(0.9)])
    assert detector(frame(6)) == ()
    assert detector.missed == 1
    assert len(detector(frame(7))) == 1
    assert detector.missed == 1


def test_the_last_word_counts_and_the_surest_are_kept():
    detector = make_detector("external", max_people=2)
    detector.put(1, [person(0.1)])
    detector.put(1, [person(0.2), person(0.9), person(0.5)])
    assert [someone.confidence[0] for someone in detector(frame(1))] == [0.9, 0.5]


def test_what_nobody_asks_for_is_forgotten():
    detector = make_detector("external")
    for stamp in range(1000):
        detector.put(stamp, [person(0.9)])
    assert not detector.has(0)
    assert detector.has(999)
    assert sum(detector.has(stamp) for stamp in range(1000)) == 64
