from dataclasses import replace

import numpy as np
import pytest

from mambapose_ros.perception.keypoints import make_detector
from mambapose_ros.perception.keypoints.ground_truth import GroundTruthKeypoints
from mambapose_ros.sources import SourceOptions, open_source


def first(motion="wave", **options):
    return next(iter(open_source(f"synthetic:{motion}", SourceOptions(**options))))


def test_people_are_exactly_the_scene_s():
    source_frame = first(people=2)
    people = make_detector("ground_truth")(source_frame.frame)
    assert len(people) == 2
    for person in people:
        index = int(np.abs(source_frame.truth.keypoints - person.xy).sum(axis=(1, 2)).argmin())
        np.testing.assert_array_equal(person.xy, source_frame.truth.keypoints[index])
        np.testing.assert_array_equal(person.confidence == 1.0, source_frame.truth.visibility[index])


def test_noise_has_the_size_that_was_asked_for():
    source_frame = first()
    detector = GroundTruthKeypoints(noise=0.02, seed=1)
    errors = []
    for _ in range(40):
        (person,) = detector(source_frame.frame)
        errors.append(person.xy - source_frame.truth.keypoints[0])
    expected = 0.02 * np.ptp(source_frame.truth.keypoints[0, :, 1])
    assert np.nanstd(errors) == pytest.approx(expected, rel=0.08)
    assert abs(np.nanmean(errors)) < 0.1 * expected
    with pytest.raises(ValueError, match="noise"):
        GroundTruthKeypoints(noise=-1.0)


def test_noise_moves_joints_out_of_the_image_and_they_are_missing():
    frame = first().frame
    (there,) = frame.people
    at_the_border = replace(there, xy=there.xy - (np.median(there.xy[:, 0]) - 1.0, 0.0))
    (person,) = GroundTruthKeypoints(noise=0.1, seed=2)(replace(frame, people=(at_the_border,)))
    missing = np.isnan(person.xy).all(axis=1)
    assert 0 < missing.sum() < 17
    np.testing.assert_array_equal(person.confidence == 0.0, missing)
    assert (person.xy[~missing] >= -0.5).all()
