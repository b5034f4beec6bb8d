import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.skeleton import JOINT_INDEX
from mambapose_ros.training.kinematics import to_bones
from mambapose_ros.training.motion import Motion, MotionLibrary
from mambapose_ros.training.posture import change_posture


@pytest.fixture(scope="module")
def motion(walkers) -> Motion:
    time = np.repeat(np.arange(30)[None] / 30.0, 200, axis=0)
    return MotionLibrary(walkers).read(np.ones(200, dtype=int), time, np.full((200, 30), 1 / 30))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_bones_and_path_stay_as_they_are(motion, seed):
    changed = change_posture(np.random.default_rng(seed), motion)
    before, after = (np.linalg.norm(to_bones(m.joints)[:, :, 1:], axis=-1) for m in (motion, changed))
    np.testing.assert_allclose(after, before, atol=1e-4)
    np.testing.assert_array_equal(changed.joints[:, :, 0], motion.joints[:, :, 0])
    np.testing.assert_allclose(np.linalg.norm(changed.head_forward, axis=-1), 1.0, atol=1e-4)


def test_people_sit_bend_and_lie(motion):
    """Of six postures a tenth each, at least, is reached: hips bent forward, trunk level, body level."""
    changed = change_posture(np.random.default_rng(1), motion)
    bones = to_bones(changed.joints)[:, 15]
    thigh, trunk = bones[:, JOINT_INDEX["left_knee"]], bones[:, JOINT_INDEX["thorax"]]
    level = np.abs(trunk[:, 2]) < 0.5 * np.linalg.norm(trunk, axis=1)
    sitting = ~level & (thigh[:, 0] > 0.8 * np.linalg.norm(thigh, axis=1))
    assert sitting.mean() > 0.1
    assert level.mean() > 0.15


def test_it_moves_like_a_person(motion):
    """No joint faster than 12 m/s relative to the pelvis, as a fast hand moves."""
    changed = change_posture(np.random.default_rng(2), motion)
    relative = changed.joints - changed.joints[:, :, :1]
    speed = np.linalg.norm(np.diff(relative, axis=1), axis=-1) * 30.0
    assert np.percentile(speed, 99.9) < 12.0
    assert np.percentile(speed, 99) < 5.0
