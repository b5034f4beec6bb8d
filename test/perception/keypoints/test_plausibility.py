import numpy as np

from mambapose_ros.perception.keypoints.plausibility import is_convincing, is_plausible
from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.types import PersonKeypoints

STANDING = np.array(
    [(0, 50), (-8, 50), (-8, 73), (-8, 96), (8, 50), (8, 73), (8, 96), (0, 34), (0, 18), (0, 12), (0, 4)]
    + [(12, 20), (16, 36), (18, 50), (-12, 20), (-16, 36), (-18, 50)],
    float,
)
UPPER = [JOINT_INDEX[name] for name in ("thorax", "neck", "head", "left_shoulder", "right_shoulder")]


EVERYTHING = tuple(range(17))


def person(xy=STANDING, sure=EVERYTHING, scale=3.0, at=(150.0, 10.0)):
    confidence = np.full(17, 0.1)
    confidence[list(sure)] = 0.9
    return PersonKeypoints(np.asarray(xy) * scale + at, confidence)


def check(someone, width=320, height=320):
    return is_plausible(someone, width, height), is_convincing(someone, width, height)


def test_somebody_seen_whole_is_believed():
    assert check(person()) == (True, True)


def test_head_and_shoulders_are_enough_to_go_on_and_not_to_begin():
    assert check(person(sure=UPPER)) == (True, False)
    assert check(person(sure=[*UPPER, 12, 13, 15])) == (True, True)


def test_legs_without_a_body_do_not_begin():
    assert check(person(sure=range(1, 7))) == (True, False)


def test_few_sure_joints_are_nobody():
    assert check(person(sure=UPPER[:4])) == (False, False)


def test_somebody_tiny_is_nobody():
    assert check(person(scale=0.2)) == (False, False)


def test_somebody_outside_the_image_is_nobody():
    assert check(person(at=(500.0, 10.0))) == (False, False)
    # Head and shoulders below the image's border: the rest is guessed.
    assert check(person(xy=STANDING * (1, -1) + (0, 100), at=(150.0, 120.0))) == (True, False)


def test_missing_joints_are_not_seen():
    xy = STANDING.copy()
    xy[UPPER[0]] = np.nan
    assert check(person(xy=xy)) == (True, False)
    assert check(person(xy=np.full((17, 2), np.nan))) == (False, False)
