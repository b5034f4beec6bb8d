import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.keypoints import make_detector
from mambapose_ros.types import Frame, PersonKeypoints


def frame(people):
    return Frame(0, "camera", np.zeros((48, 64, 3), np.uint8), Camera.from_fov(64, 48), people=people)


def person(confidence):
    return PersonKeypoints(np.zeros((17, 2)), np.full(17, confidence))


def test_who_somebody_else_found_is_given():
    detector = make_detector("external")
    people = (person(0.9), person(0.5))
    assert detector(frame(people)) == people
    assert detector(frame(())) == ()


def test_the_surest_are_kept():
    people = (person(0.2), person(0.9), person(0.5))
    given = make_detector("external", max_people=2)(frame(people))
    assert [someone.confidence[0] for someone in given] == [0.9, 0.5]


def test_that_nobody_was_looked_for_is_not_that_nobody_is_there():
    with pytest.raises(ValueError, match=r"Frame\.people"):
        make_detector("external")(frame(None))
