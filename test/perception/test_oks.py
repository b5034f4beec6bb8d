import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.perception.oks import OKS_SIGMAS, oks
from mambapose_ros.skeleton import FLIP, JOINT_INDEX
from mambapose_ros.types import PersonKeypoints

STANDING = np.array(
    [(0, 50), (-8, 50), (-8, 73), (-8, 96), (8, 50), (8, 73), (8, 96), (0, 34), (0, 18), (0, 12), (0, 4)]
    + [(12, 20), (16, 36), (18, 50), (-12, 20), (-16, 36), (-18, 50)],
    float,
)


def person(xy=STANDING) -> PersonKeypoints:
    return PersonKeypoints(np.array(xy, dtype=np.float64), np.full(17, 0.9))


def test_oks_is_cocos():
    box = np.array([(0.0, 0.0), (50.0, 100.0)])
    a = np.full((17, 2), np.nan)
    a[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_wrist"]]] = box
    b = a.copy()
    b[JOINT_INDEX["left_hip"], 0] += 10.0
    b[JOINT_INDEX["right_wrist"], 0] += 10.0
    area = 0.53 * 50.0 * 100.0
    expected = np.mean([np.exp(-(10.0**2) / (2 * area * (2 * sigma) ** 2)) for sigma in (0.107, 0.062)])
    assert oks(person(a), person(b)) == pytest.approx(expected, rel=1e-12)


def test_limbs_have_cocos_constants_and_left_is_as_right():
    named = {name: OKS_SIGMAS[JOINT_INDEX[f"left_{name}"]] for name in ("shoulder", "elbow", "wrist", "hip", "knee")}
    assert named == {"shoulder": 0.079, "elbow": 0.072, "wrist": 0.062, "hip": 0.107, "knee": 0.087}
    np.testing.assert_array_equal(OKS_SIGMAS, OKS_SIGMAS[list(FLIP)])


def test_oks_without_common_joints_is_none():
    upper, lower = STANDING.copy(), STANDING.copy()
    upper[:7], lower[7:] = np.nan, np.nan
    assert oks(person(upper), person(lower)) == 0.0
    assert oks(person(), person(np.full((17, 2), np.nan))) == 0.0


def test_oneself_is_alike_and_somebody_beside_is_not():
    assert oks(person(), person()) == 1.0
    assert oks(person(), person(STANDING + (40.0, 0.0))) < 0.05


@given(
    st.floats(-100, 100), st.floats(-100, 100), st.floats(0.1, 3.0), st.lists(st.booleans(), min_size=17, max_size=17)
)
def test_oks_is_a_symmetric_share(x, y, scale, missing):
    other = STANDING * scale + (x, y)
    other[np.array(missing)] = np.nan
    similarity = oks(person(), person(other))
    assert 0.0 <= similarity <= 1.0
    assert similarity == pytest.approx(oks(person(other), person()))
