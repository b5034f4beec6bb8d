import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.training.kinematics import (
    SUBTREE,
    body_axes,
    body_scale,
    heading,
    rotation_about,
    to_bones,
    to_joints,
    unit,
    yaw_rotation,
)

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_bones_and_joints_are_inverse(seed):
    joints = np.random.default_rng(seed).normal(size=(2, 3, 17, 3)).astype(np.float32)
    np.testing.assert_allclose(to_joints(to_bones(joints)), joints, atol=1e-5)


def test_the_arm_hangs_on_the_thorax_and_not_on_the_leg():
    wrist = JOINT_INDEX["left_wrist"]
    assert SUBTREE[JOINT_INDEX["thorax"], wrist]
    assert SUBTREE[0].all()
    assert not SUBTREE[JOINT_INDEX["left_hip"], wrist]


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_rotation_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    axis, angle = unit(rng.normal(size=(5, 3))), rng.uniform(-4.0, 4.0, 5)
    expected = Rotation.from_rotvec(axis * angle[:, None]).as_matrix()
    np.testing.assert_allclose(rotation_about(axis, angle), expected, atol=1e-6)


@given(st.floats(-3.0, 3.0))
@settings(max_examples=20, deadline=None)
def test_heading_turns_with_the_body(standing, angle):
    joints = standing @ yaw_rotation(np.array(angle)).T
    np.testing.assert_allclose(heading(joints), angle, atol=1e-5)


def test_body_axes_point_left_up_and_forward(standing):
    np.testing.assert_allclose(body_axes(standing), [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(body_scale(2.0 * standing), 2.0, atol=1e-6)
