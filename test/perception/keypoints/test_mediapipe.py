import numpy as np
import pytest

from mambapose_ros.perception.keypoints import make_detector
from mambapose_ros.sources import SourceOptions, open_source


@pytest.fixture(scope="module")
def detector():
    made = make_detector("mediapipe")
    yield made
    made.close()


def test_nobody_in_an_empty_image(detector):
    detector.reset()
    assert detector(np.full((240, 320, 3), 128, np.uint8)) == ()


@pytest.mark.parametrize("size", [(640, 480), (320, 320), (480, 640)])
def test_joints_lie_on_the_person_whatever_the_image_shape(detector, size):
    detector.reset()
    options = SourceOptions(width=size[0], height=size[1], seed=5)
    for source_frame, _ in zip(open_source("synthetic:idle", options), range(5), strict=False):
        (person,) = detector(source_frame.frame.image)
    truth = source_frame.truth.keypoints[0]
    error = np.linalg.norm(person.xy - truth, axis=1) / np.ptp(truth[:, 1])
    assert np.median(error) < 0.05
    assert person.xy.shape == (17, 2)
    assert ((person.confidence >= 0) & (person.confidence <= 1)).all()
    # Left is left: the person faces the camera, so their left shoulder is on the right of the image.
    assert (person.xy[11, 0] > person.xy[14, 0]) == (truth[11, 0] > truth[14, 0])


def test_reset_forgets_the_person(detector):
    for source_frame, _ in zip(open_source("synthetic:idle"), range(3), strict=False):
        assert len(detector(source_frame.frame.image)) == 1
    detector.reset()
    assert detector(np.full((480, 640, 3), 128, np.uint8)) == ()
