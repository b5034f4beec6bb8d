import numpy as np
import pytest

from mambapose_ros.skeleton import JOINT_INDEX, JOINT_RADIUS_M, LEFT, RIGHT
from mambapose_ros.training.cameras import project
from mambapose_ros.training.surface import visible_surface

TO_CAMERA = {
    "front": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]),
    "left": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]),
}
"""World axes to those of a camera that stands there; the person faces along x, left is y."""


def see(standing: np.ndarray, side: str, shift: float = 0.0) -> np.ndarray:
    """(1, 2, 17, 3) from 3 m, moving sideways by ``shift`` metres."""
    seen = (standing - [0.0, 0.0, 1.0]) @ TO_CAMERA[side].T + [0.0, 0.0, 3.0]
    return np.stack([seen, seen + [shift, 0.0, 0.0]])[None]


def test_limbs_are_seen_from_the_front(standing):
    joints = see(standing, "front")
    surface = visible_surface(joints, np.ones(1))
    assert not surface.occluded[..., LEFT + RIGHT].any()
    expected = joints[..., 2] - JOINT_RADIUS_M
    np.testing.assert_allclose(surface.depth[..., LEFT + RIGHT], expected[..., LEFT + RIGHT], atol=1e-5)


def test_the_far_side_is_hidden_in_profile(standing):
    surface = visible_surface(see(standing, "left"), np.ones(1))
    far = [JOINT_INDEX[f"right_{part}"] for part in ("hip", "knee", "ankle", "shoulder")]
    assert surface.occluded[0, 0, far].all()
    assert not surface.occluded[0, 0, [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_knee"]]].any()


def test_a_hand_behind_the_back_is_hidden_by_the_trunk(standing):
    standing = standing.copy()
    standing[JOINT_INDEX["left_wrist"]] = [-0.2, 0.08, 1.2]
    joints = see(standing, "front", shift=0.05)
    surface = visible_surface(joints, np.ones(1))
    wrist = JOINT_INDEX["left_wrist"]
    assert surface.occluded[0, 0, wrist]
    # The trunk's axis is 3 m away, its front about 0.11 m nearer.
    np.testing.assert_allclose(surface.depth[0, 0, wrist], 2.9, atol=0.02)
    np.testing.assert_allclose(surface.motion[0, 1, wrist], [0.05 / 3.0, 0.0], atol=1e-3)


@pytest.mark.parametrize("scale", [0.6, 1.0])
def test_what_is_seen_moves_as_the_joint_does(standing, scale):
    joints = see(standing, "front", shift=0.05)
    surface = visible_surface(joints, np.full(1, scale))
    moved = np.diff(project(joints), axis=1)
    visible = ~surface.occluded[:, 1]
    np.testing.assert_allclose(surface.motion[:, 1][visible], moved[:, 0][visible], atol=1e-6)
    assert not surface.motion[:, 0].any()
