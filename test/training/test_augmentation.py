import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.skeleton import FLIP, JOINT_INDEX
from mambapose_ros.training.augmentation import (
    CHILD_STATURE,
    mirror,
    random_proportions,
    recombine,
    scale_bones,
    stand_on_floor,
)
from mambapose_ros.training.kinematics import to_bones, yaw_rotation
from mambapose_ros.training.motion import Motion, MotionLibrary

SEEDS = st.integers(0, 2**32 - 1)


def lengths(motion: Motion) -> np.ndarray:
    return np.linalg.norm(to_bones(motion.joints)[:, :, 1:], axis=-1)


@pytest.fixture(scope="module")
def motion(walkers) -> Motion:
    time = np.arange(30)[None] / 30.0 + np.array([[0.0], [0.3], [1.0], [2.0]])
    return MotionLibrary(walkers).read(np.array([0, 0, 1, 1]), time, np.full((4, 30), 1 / 30))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_bones_get_the_lengths_asked_for_and_keep_their_directions(motion, seed):
    factors = random_proportions(np.random.default_rng(seed), 4)
    changed = scale_bones(motion, factors)
    np.testing.assert_allclose(lengths(changed), lengths(motion) * factors[:, None, 1:], rtol=1e-4)
    bones, before = to_bones(changed.joints), to_bones(motion.joints)
    np.testing.assert_allclose(bones[:, :, 1:], before[:, :, 1:] * factors[:, None, 1:, None], atol=1e-5)


def test_proportions_are_symmetric_and_of_adults_and_children():
    factors = random_proportions(np.random.default_rng(0), 4000)
    np.testing.assert_array_equal(factors, factors[:, list(FLIP)])
    leg = factors[:, JOINT_INDEX["left_ankle"]]
    assert 0.05 < (leg < 0.75).mean() < 0.15
    assert leg.min() > 0.6 * CHILD_STATURE[0]
    assert leg.max() < 1.6
    small = leg < 0.6
    assert (factors[small, JOINT_INDEX["head"]] > leg[small]).all()  # Small children have large heads.


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_feet_stay_on_the_floor(motion, seed):
    factors = random_proportions(np.random.default_rng(seed), 4)
    changed = stand_on_floor(scale_bones(motion, factors), motion, factors)
    leg = factors[:, [JOINT_INDEX["right_knee"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
    lowest = changed.joints[..., 2].min(axis=2)
    np.testing.assert_allclose(lowest, motion.joints[..., 2].min(axis=2) * leg[:, None], atol=1e-5)


def test_mirror_exchanges_left_and_right_where_chosen(motion):
    chosen = np.array([True, False, True, False])
    mirrored = mirror(motion, chosen)
    np.testing.assert_array_equal(mirrored.joints[1], motion.joints[1])
    np.testing.assert_array_equal(mirrored.joints[0], motion.joints[0][:, list(FLIP)] * [1, -1, 1])
    np.testing.assert_array_equal(mirror(mirrored, chosen).joints, motion.joints)


def test_recombined_bodies_have_the_legs_of_one_and_the_arms_of_the_other(motion):
    turned = Motion(motion.joints @ yaw_rotation(np.array(1.0)).T, motion.head_forward, motion.interval)
    both = recombine(motion, turned)
    np.testing.assert_allclose(both.joints, motion.joints, atol=1e-4)  # The other's direction drops out.
    other = Motion(motion.joints[::-1], motion.head_forward[::-1], motion.interval)
    both = recombine(motion, other)
    np.testing.assert_allclose(both.joints[:, :, :7], motion.joints[:, :, :7], atol=1e-6)
    arm = to_bones(both.joints)[:, :, 13], to_bones(other.joints)[:, :, 13]
    np.testing.assert_allclose(arm[0], arm[1], atol=1e-4)
