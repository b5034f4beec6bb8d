"""The body: proportions, forward kinematics and the joints that follow from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.skeleton import BONES, JOINT_INDEX
from mambapose_ros.synthetic.body import STATURE_RANGE, Arm, Body, Foot, Pose, joints, place, rotation
from mambapose_ros.synthetic.motions import MOTION_TABLE

seeds = st.integers(min_value=0, max_value=2**32 - 1)

# Shares of stature: wider than one seed varies, narrower than would still pass for an adult.
ADULT = {
    ("right_hip", "right_knee"): (0.22, 0.27),
    ("right_knee", "right_ankle"): (0.22, 0.27),
    ("left_hip", "left_knee"): (0.22, 0.27),
    ("left_knee", "left_ankle"): (0.22, 0.27),
    ("pelvis", "right_hip"): (0.045, 0.06),
    ("pelvis", "thorax"): (0.27, 0.35),
    ("thorax", "head"): (0.08, 0.13),
    ("left_shoulder", "right_shoulder"): (0.20, 0.26),
    ("left_shoulder", "left_elbow"): (0.16, 0.20),
    ("left_elbow", "left_wrist"): (0.13, 0.17),
    ("right_shoulder", "right_elbow"): (0.16, 0.20),
    ("right_elbow", "right_wrist"): (0.13, 0.17),
}


def joints_at(body: Body, motion: str, t: float) -> np.ndarray:
    return joints(body, place(body, MOTION_TABLE[motion].pose(t, body)))


def bone_lengths(points: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(points[b] - points[a]) for a, b in BONES])


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds, motion=st.sampled_from(sorted(MOTION_TABLE)), t=st.floats(-100.0, 100.0), other=st.floats(-100.0, 100.0)
)
def test_bones_keep_their_length(seed, motion, t, other):
    body = Body.random(np.random.default_rng(seed))
    np.testing.assert_allclose(
        bone_lengths(joints_at(body, motion, t)), bone_lengths(joints_at(body, motion, other)), atol=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_every_seed_is_an_adult(seed):
    body = Body.random(np.random.default_rng(seed))
    points = joints_at(body, "idle", 0.0)
    assert STATURE_RANGE[0] <= body.stature <= STATURE_RANGE[1]
    for (a, b), (low, high) in ADULT.items():
        share = np.linalg.norm(points[JOINT_INDEX[a]] - points[JOINT_INDEX[b]]) / body.stature
        assert low <= share <= high, (a, b, share)


def test_bodies_differ_between_seeds():
    statures = [Body.random(np.random.default_rng(seed)).stature for seed in range(20)]
    assert np.ptp(statures) > 0.2


def test_joints_lie_where_the_skeleton_says():
    body = Body.random(np.random.default_rng(3))
    feet = {
        "left_foot": Foot(np.array([0.0, body.hip, body.ankle])),
        "right_foot": Foot(np.array([0.0, -body.hip, body.ankle])),
    }
    points = joints(body, place(body, Pose(np.array([0.0, 0.0, body.leg + body.ankle]), 0.0, **feet)))
    at = {name: points[i] for name, i in JOINT_INDEX.items()}
    np.testing.assert_allclose(at["pelvis"], 0.5 * (at["left_hip"] + at["right_hip"]), atol=1e-12)
    np.testing.assert_allclose(at["spine"], 0.5 * (at["pelvis"] + at["thorax"]), atol=1e-12)
    shoulders = 0.5 * (at["left_shoulder"] + at["right_shoulder"])
    assert 0.035 < at["thorax"][2] - shoulders[2] < 0.065
    assert body.stature - at["head"][2] == pytest.approx(0.09, abs=0.01)
    assert 0.05 < at["neck"][0] < 0.09
    assert at["left_shoulder"][1] > 0.0 > at["right_shoulder"][1]


def test_angles_bend_the_way_they_are_named():
    body = Body.random(np.random.default_rng(0))
    feet = {f"{side}_foot": Foot(np.array([0.0, y, body.ankle])) for side, y in (("left", 0.1), ("right", -0.1))}

    def wrist(**angles: float) -> np.ndarray:
        arm = Arm(**{"flexion": 0.0, "abduction": 0.0, "rotation": 0.0, "elbow": 0.0, **angles})
        pose = Pose(np.array([0.0, 0.0, 0.9]), 0.0, left_arm=arm, **feet)
        points = joints(body, place(body, pose))
        return points[JOINT_INDEX["left_wrist"]] - points[JOINT_INDEX["left_shoulder"]]

    reach = body.upper_arm + body.forearm
    np.testing.assert_allclose(wrist(), [0.0, 0.0, -reach], atol=1e-12)
    np.testing.assert_allclose(wrist(flexion=90.0), [reach, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(wrist(abduction=90.0), [0.0, reach, 0.0], atol=1e-12)
    np.testing.assert_allclose(wrist(elbow=90.0), [body.forearm, 0.0, -body.upper_arm], atol=1e-12)
    np.testing.assert_allclose(wrist(elbow=90.0, rotation=90.0), [0.0, -body.forearm, -body.upper_arm], atol=1e-12)


def test_rotation_is_about_fixed_axes():
    x, y, z = np.eye(3)
    np.testing.assert_allclose(rotation(roll=90.0) @ y, z, atol=1e-12)
    np.testing.assert_allclose(rotation(pitch=90.0) @ z, x, atol=1e-12)
    np.testing.assert_allclose(rotation(yaw=90.0) @ x, y, atol=1e-12)
    np.testing.assert_allclose(
        rotation(10.0, 20.0, 30.0), rotation(yaw=30.0) @ rotation(pitch=20.0) @ rotation(roll=10.0), atol=1e-12
    )
