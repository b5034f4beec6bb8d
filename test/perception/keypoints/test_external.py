import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.keypoints import make_detector
from mambapose_ros.sources import SourceOptions, open_source
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


def test_joints_far_outside_the_image_are_missing():
    """Of 64x48 pixels: up to one image size outside they may be those of somebody at its border."""
    xy = np.full((17, 2), 30.0)
    xy[:7] = [(-64, 0), (-65, 0), (128, 96), (129, 96), (0, 97), (1e200, 5), (5, -np.inf)]
    (given,) = make_detector("external")(frame((PersonKeypoints(xy, np.full(17, 0.9)),)))
    missing = [1, 3, 4, 5, 6]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(given.xy).all(axis=1)), missing)
    np.testing.assert_array_equal(np.flatnonzero(given.confidence == 0.0), missing)
    there = np.setdiff1d(np.arange(17), missing)
    np.testing.assert_array_equal(given.xy[there], xy[there])
    np.testing.assert_array_equal(given.confidence[there], 0.9)


def test_synthetic_people_are_exactly_the_scene_s():
    source_frame = next(iter(open_source("synthetic:wave", SourceOptions(people=2))))
    people = make_detector("ground_truth")(source_frame.frame)
    assert len(people) == 2
    for someone in people:
        index = int(np.abs(source_frame.truth.keypoints - someone.xy).sum(axis=(1, 2)).argmin())
        np.testing.assert_array_equal(someone.xy, source_frame.truth.keypoints[index])
        np.testing.assert_array_equal(someone.confidence == 1.0, source_frame.truth.visibility[index])
