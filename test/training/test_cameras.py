import numpy as np
import pytest

from mambapose_ros.training.cameras import NEAREST_M, CameraRanges, Cameras, project, random_cameras
from mambapose_ros.training.motion import Motion, MotionLibrary

STEADY = CameraRanges(moving=0.0)


@pytest.fixture(scope="module")
def motion(walkers) -> Motion:
    """500 people who stand; a moment of the walker, held."""
    still = MotionLibrary(walkers).read(np.zeros(500, dtype=int), np.zeros((500, 6)), np.full((500, 6), 1 / 30))
    return Motion(still.joints - [0.0, 0.0, 0.02], still.head_forward, still.interval)


def cameras(ranges: CameraRanges, motion: Motion) -> Cameras:
    return random_cameras(np.random.default_rng(0), ranges, motion)


def test_they_are_within_their_ranges(motion):
    made = cameras(STEADY, motion)
    eye = made.rotation @ made.rotation.swapaxes(2, 3)
    np.testing.assert_allclose(eye, np.broadcast_to(np.eye(3), eye.shape), atol=1e-5)
    fov = 2.0 * np.degrees(np.arctan(made.half_extent[:, 0]))
    assert 40.0 <= fov.min() < 45.0
    assert 95.0 < fov.max() <= 100.0
    distance = np.linalg.norm(motion.joints[:, 0, 0] - made.position[:, 0], axis=1)
    assert 0.99 <= distance.min() < 1.3
    assert 7.5 < distance.max() <= 8.01
    height = made.position[:, 0, 2]
    roomy = distance > 1.5  # Closer cameras may have been moved back, along a slope.
    assert height[roomy].min() > 0.25
    assert height[roomy].max() < 2.55
    roll = np.degrees(np.arcsin(made.rotation[:, 0, 0, 2]))
    assert np.abs(roll).max() <= 10.01
    assert np.abs(roll).mean() > 2.0


def test_everybody_is_in_front_and_some_are_cut_off(motion):
    made = cameras(CameraRanges(), motion)
    seen = made.view(motion.joints)
    assert seen[..., 2].min() >= NEAREST_M - 1e-4
    inside = (np.abs(project(seen)) <= made.half_extent[:, None, None]).all(axis=3)
    share = inside.mean(axis=(1, 2))
    assert 0.1 < ((share > 0.05) & (share < 0.95)).mean() < 0.6
    assert (share == 1.0).mean() > 0.3
    centre = project(seen)[:, :, 0] / made.half_extent[:, None]
    assert np.abs(centre).mean() > 0.25  # Off centre.


def test_they_look_from_all_sides(motion):
    ahead = cameras(STEADY, motion).rotation[:, 0, 2, :2]
    sides = np.histogram(np.arctan2(ahead[:, 1], ahead[:, 0]), bins=4, range=(-np.pi, np.pi))[0]
    assert sides.min() > 0.15 * len(ahead)


def test_steady_and_moving_cameras(motion):
    made = cameras(CameraRanges(moving=0.5), motion)
    travel = np.linalg.norm(made.position[:, -1] - made.position[:, 0], axis=1)
    turned = np.abs(made.rotation[:, -1] - made.rotation[:, 0]).max(axis=(1, 2))
    steady = (travel < 1e-5) & (turned < 1e-6)
    assert 0.4 < steady.mean() < 0.6


def test_earlier_is_where_still_points_were(motion):
    made = cameras(CameraRanges(moving=1.0), motion)
    still = np.repeat(motion.joints[:, :1], 6, axis=1)
    seen = made.view(still)
    np.testing.assert_allclose(made.earlier(seen)[:, 1:], seen[:, :-1], atol=1e-4)
