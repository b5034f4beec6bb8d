import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from mambapose_ros.body_frames import body_rotation, joint_rotations, quaternion, rotation_of
from mambapose_ros.skeleton import FLIP, JOINT_INDEX
from mambapose_ros.synthetic import SyntheticScene

points = hnp.arrays(np.float64, (17, 3), elements=st.floats(-2.0, 2.0, width=32))
turns = st.builds(
    lambda axis: Rotation.from_rotvec(axis).as_matrix(), hnp.arrays(np.float64, 3, elements=st.floats(-3.0, 3.0))
)


def standing() -> np.ndarray:
    """(17, 3) x forward, y left, z up: upright with the arms hanging."""
    places = {"spine": (0, 0, 0.25), "thorax": (0, 0, 0.5), "neck": (0.06, 0, 0.6), "head": (0, 0, 0.7)}
    for side, y in (("right", -1.0), ("left", 1.0)):
        limb = {"hip": (0.13, 0.0), "knee": (0.13, -0.42), "ankle": (0.13, -0.84)}
        limb |= {"shoulder": (0.18, 0.45), "elbow": (0.18, 0.15), "wrist": (0.18, -0.1)}
        places |= {f"{side}_{name}": (0.0, y * across, z) for name, (across, z) in limb.items()}
    joints = np.zeros((17, 3))
    for name, place in places.items():
        joints[JOINT_INDEX[name]] = place
    return joints


def assert_proper(rotation: np.ndarray) -> None:
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_standing_upright_every_joint_is_turned_as_the_body():
    np.testing.assert_allclose(joint_rotations(standing()), np.broadcast_to(np.eye(3), (17, 3, 3)), atol=1e-12)


def test_facing_the_camera_x_points_to_it_and_z_up():
    # Into an optical frame (x right, y down, z forward), 3 m away: forward is toward the camera, -z, and up is -y.
    to_camera = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
    assert_proper(to_camera)
    rotation = body_rotation(standing() @ to_camera.T + [0.0, 0.0, 3.0])
    np.testing.assert_allclose(rotation[:, 0], [0.0, 0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(rotation[:, 2], [0.0, -1.0, 0.0], atol=1e-12)
    # Their left is on the right of the image.
    np.testing.assert_allclose(rotation[:, 1], [1.0, 0.0, 0.0], atol=1e-12)


def test_a_rendered_walker_moves_forward_along_x():
    scene = SyntheticScene(motion="walk", people=1, seed=3, width=64, height=48, fps=30.0)
    first, later = scene.render(0).joints[0], scene.render(6).joints[0]
    way = later[0] - first[0]
    assert np.linalg.norm(way) > 0.05
    assert body_rotation(first)[:, 0] @ way / np.linalg.norm(way) > 0.8
    assert body_rotation(first)[:, 2] @ (0.0, -1.0, 0.0) > 0.8


@given(points)
def test_rotations_are_proper_or_unknown(joints):
    for rotation in joint_rotations(joints):
        if np.isfinite(rotation).all():
            assert_proper(rotation)
        else:
            assert np.isnan(rotation).all()


@given(points, turns, hnp.arrays(np.float64, 3, elements=st.floats(-5.0, 5.0)))
def test_frames_turn_with_the_body(joints, turn, shift):
    before, after = joint_rotations(joints), joint_rotations(joints @ turn.T + shift)
    known = np.isfinite(before).all(axis=(1, 2)) & np.isfinite(after).all(axis=(1, 2))
    # Opposite to what it hangs on, a bone is turned in one of many ways.
    up = before[known][:, :, 2]
    assume((up @ up.T > -0.999).all())
    np.testing.assert_allclose(after[known], (turn @ before)[known], atol=1e-5)


@given(points)
def test_the_mirror_image_is_mirrored(joints):
    """Left and right exchanged: x and z mirrored, y to the other side."""
    mirror = np.diag([1.0, -1.0, 1.0])
    before, after = body_rotation(joints), body_rotation((joints @ mirror)[list(FLIP)])
    assert np.isfinite(before).all() == np.isfinite(after).all()
    if np.isfinite(before).all():
        np.testing.assert_allclose(after, mirror @ before @ mirror, atol=1e-9)


@given(st.floats(0.05, 2.5))
def test_a_knee_bends_about_the_line_through_the_hips(angle):
    joints = standing()
    knee, ankle = JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"]
    joints[ankle] = joints[knee] + 0.42 * np.array([-np.sin(angle), 0.0, -np.cos(angle)])  # the heel goes back
    rotations = joint_rotations(joints)
    expected = Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix()
    np.testing.assert_allclose(rotations[knee], expected, atol=1e-9)
    np.testing.assert_allclose(rotations[ankle], expected, atol=1e-9)
    np.testing.assert_allclose(rotations[JOINT_INDEX["left_hip"]], np.eye(3), atol=1e-9)


def test_shoulders_turn_the_thorax_and_not_the_pelvis():
    joints = standing()
    arms = [JOINT_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("shoulder", "elbow", "wrist")]
    twist = Rotation.from_rotvec([0.0, 0.0, 0.6]).as_matrix()
    joints[arms] = joints[arms] @ twist.T
    rotations = joint_rotations(joints)
    np.testing.assert_allclose(rotations[JOINT_INDEX["thorax"]], twist, atol=1e-12)
    np.testing.assert_allclose(rotations[JOINT_INDEX["left_wrist"]], twist, atol=1e-12)
    np.testing.assert_allclose(rotations[JOINT_INDEX["pelvis"]], np.eye(3), atol=1e-12)


def test_an_arm_straight_up_has_a_rotation():
    joints = standing()
    joints[JOINT_INDEX["left_elbow"]] = joints[JOINT_INDEX["left_shoulder"]] + [0.0, 0.0, 0.3]
    rotation = joint_rotations(joints)[JOINT_INDEX["left_shoulder"]]
    assert_proper(rotation)
    np.testing.assert_allclose(rotation[:, 2], [0.0, 0.0, -1.0], atol=1e-12)


def test_hips_that_are_not_seen_leave_the_shoulders():
    joints = standing()
    joints[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]] = np.nan
    np.testing.assert_allclose(body_rotation(joints), np.eye(3), atol=1e-12)


def test_without_a_trunk_nothing_is_known():
    joints = standing()
    joints[JOINT_INDEX["thorax"]] = np.nan
    assert np.isnan(body_rotation(joints)).all()
    assert np.isnan(joint_rotations(joints)).all()


def test_without_a_pelvis_the_upper_body_is_known():
    joints = standing()
    joints[JOINT_INDEX["pelvis"]] = np.nan
    rotations = joint_rotations(joints)
    assert np.isnan(rotations[[JOINT_INDEX["pelvis"], JOINT_INDEX["left_ankle"], JOINT_INDEX["spine"]]]).all()
    np.testing.assert_allclose(rotations[JOINT_INDEX["right_wrist"]], np.eye(3), atol=1e-12)


def test_a_limb_without_length_is_unknown_with_what_hangs_on_it():
    joints = standing()
    joints[JOINT_INDEX["left_knee"]] = joints[JOINT_INDEX["left_hip"]]
    unknown = np.isnan(joint_rotations(joints)).all(axis=(1, 2))
    assert {int(i) for i in np.flatnonzero(unknown)} == {
        JOINT_INDEX[name] for name in ("left_hip", "left_knee", "left_ankle")
    }


@given(turns)
def test_quaternions_are_those_of_scipy_and_go_back(turn):
    got, expected = quaternion(turn), Rotation.from_matrix(turn).as_quat()
    assert abs(got @ expected) == pytest.approx(1.0)
    assert got[3] >= 0.0
    np.testing.assert_allclose(rotation_of(3.0 * got), turn, atol=1e-9)


@pytest.mark.parametrize("axis", np.eye(3).tolist())
def test_half_turns_have_a_quaternion(axis):
    turn = Rotation.from_rotvec(np.pi * np.array(axis)).as_matrix()
    np.testing.assert_allclose(np.abs(quaternion(turn)), [*axis, 0.0], atol=1e-9)
