import numpy as np
import pytest

from mambapose_ros.skeleton import JOINT_INDEX, JOINT_RADIUS_M, LEFT, RIGHT
from mambapose_ros.training.cameras import Cameras, project
from mambapose_ros.training.surface import Surface, hidden_joints, visible_surface

TO_CAMERA = {
    "front": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
    "left": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]),
}
"""World axes to those of a camera that stands there; the person faces along x, left is y."""


def see(standing: np.ndarray, side: str, shift: float = 0.0) -> np.ndarray:
    """(1, 2, 17, 3) from 3 m, moving sideways by ``shift`` metres."""
    seen = (standing - [0.0, 0.0, 1.0]) @ TO_CAMERA[side].T + [0.0, 0.0, 3.0]
    return np.stack([seen, seen + [shift, 0.0, 0.0]])[None]


def look(joints: np.ndarray, rays: np.ndarray | None = None, thickness: float = 1.0, pan: float = 0.0) -> Surface:
    """What a camera sees at its rays (the joints' unless given), in front of a wall 2 m behind the body; it turns to
    the right by ``pan`` radians."""
    turn = np.array([[np.cos(pan), 0.0, -np.sin(pan)], [0.0, 1.0, 0.0], [np.sin(pan), 0.0, np.cos(pan)]])
    cameras = Cameras(np.stack([np.eye(3), turn])[None], np.zeros((1, 2, 3)), np.ones((1, 2)), np.full(1, 0.002))
    rays = project(joints) if rays is None else rays
    return visible_surface(rays, joints, np.full(1, thickness), np.full(1, 2.0), cameras)


def test_limbs_are_seen_from_the_front(standing):
    joints = see(standing, "front")
    assert not hidden_joints(joints, np.ones(1))[..., LEFT + RIGHT].any()
    before = joints[..., 2] - look(joints).depth
    limbs = list(LEFT + RIGHT)
    np.testing.assert_array_less(np.abs(before[..., limbs] - JOINT_RADIUS_M[limbs]), 0.055)
    assert (before > 0.02).all()


def test_the_far_side_is_hidden_in_profile(standing):
    hidden = hidden_joints(see(standing, "left"), np.ones(1))
    far = [JOINT_INDEX[f"right_{part}"] for part in ("hip", "knee", "ankle", "shoulder")]
    assert hidden[0, 0, far].all()
    assert not hidden[0, 0, [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_knee"]]].any()


def test_a_hand_behind_the_back_is_hidden_by_the_trunk(standing):
    standing = standing.copy()
    standing[JOINT_INDEX["left_wrist"]] = [-0.2, 0.08, 1.2]
    joints = see(standing, "front", shift=0.05)
    wrist = JOINT_INDEX["left_wrist"]
    assert hidden_joints(joints, np.ones(1))[0, 0, wrist]
    surface = look(joints)
    # The trunk's axis is 3 m away, its front about 0.11 m nearer.
    np.testing.assert_allclose(surface.depth[0, 0, wrist], 2.9, atol=0.02)
    np.testing.assert_allclose(surface.motion[0, 1, wrist], [0.05 / 3.0, 0.0], atol=1e-3)


@pytest.mark.parametrize("scale", [0.6, 1.0])
def test_what_is_seen_moves_as_the_joint_does(standing, scale):
    joints = see(standing, "front", shift=0.05)
    surface = look(joints, thickness=scale)
    moved = np.diff(project(joints), axis=1)
    limbs = list(LEFT + RIGHT)
    np.testing.assert_allclose(surface.motion[:, 1, limbs], moved[:, 0, limbs], atol=5e-4)
    assert not surface.motion[:, 0].any()


@pytest.mark.parametrize("pan", [0.0, 0.01])
def test_beside_the_body_there_is_the_background(standing, pan):
    """It lies where it was said to, stands still, and seems to move to the left as the camera turns to the right."""
    joints = see(standing, "front")
    surface = look(joints, project(joints) + [0.5, 0.0], pan=pan)
    np.testing.assert_allclose(surface.depth, joints[..., 2].max() + 2.0, rtol=1e-6)
    np.testing.assert_allclose(surface.depth, surface.background, rtol=1e-6)
    assert not surface.rim.any()
    np.testing.assert_allclose(surface.motion[:, 1, :, 0], -pan, atol=1e-6 + 0.4 * pan)


def test_a_place_on_another_limb_shows_that_limb(standing):
    """The right wrist is taken to be where the left elbow is."""
    joints = see(standing, "front")
    rays = project(joints)
    wrist, elbow = JOINT_INDEX["right_wrist"], JOINT_INDEX["left_elbow"]
    rays[:, :, wrist] = rays[:, :, elbow]
    depth = look(joints, rays).depth
    np.testing.assert_array_equal(depth[..., wrist], depth[..., elbow])


@pytest.mark.parametrize(("beside", "on_limb", "rim"), [(0.0, True, 0.0), (0.035, True, 0.6), (0.06, False, 0.0)])
def test_limbs_end_a_little_beside_their_flesh(standing, beside, on_limb, rim):
    """A forearm is 4 cm thick about its axis; a patch finds it from 1 cm beside that."""
    joints = see(standing, "front")
    rays = project(joints)
    elbow, wrist = JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]
    middle = 0.5 * (rays[0, 0, elbow] + rays[0, 0, wrist])
    rays[:, :, wrist] = middle + [beside / 3.0, 0.0]
    surface = look(joints, rays)
    assert (surface.depth[0, 0, wrist] < 3.1) == on_limb
    np.testing.assert_allclose(surface.rim[0, 0, wrist], rim, atol=0.15)
