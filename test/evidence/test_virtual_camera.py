import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.evidence import aim
from mambapose_ros.geometry import Camera

SEEDS = st.integers(0, 2**32 - 1)


def people(seed: int, count: int = 3, frames: int = 9) -> np.ndarray:
    """(count, frames, 17, 3) joints that wander about, 2-6 m in front of a camera."""
    rng = np.random.default_rng(seed)
    body = rng.normal(0.0, [0.2, 0.5, 0.2], (count, 1, 17, 3))
    path = rng.normal(0.0, 0.02, (count, frames, 1, 3)).cumsum(axis=1)
    return body + path + [0.0, 0.0, 1.0] * rng.uniform(2.5, 6.0, (count, 1, 1, 1))


def rays_of(points: np.ndarray) -> np.ndarray:
    return points[..., :2] / points[..., 2:]


def pan(degrees: float) -> np.ndarray:
    """Rotation about the camera's vertical axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_rotation_is_one_and_its_inverse_takes_poses_back(seed):
    points = people(seed)
    camera = aim(rays_of(points), np.ones(points.shape[:3]))
    eye = camera.rotation @ camera.rotation.swapaxes(1, 2)
    np.testing.assert_allclose(eye, np.broadcast_to(np.eye(3), eye.shape), atol=1e-5)
    assert (np.linalg.det(camera.rotation) > 0).all()
    poses = (points - points[:, :, :1]).astype(np.float32)
    np.testing.assert_allclose(camera.to_camera(camera.to_virtual(poses)), poses, atol=1e-5)


@given(SEEDS, st.floats(-35.0, 35.0))
@settings(max_examples=30, deadline=None)
def test_panning_the_camera_changes_nothing(seed, degrees):
    points = people(seed)
    turn = pan(degrees)
    turned = points @ turn.T
    confidence = np.random.default_rng(seed).uniform(0.1, 1.0, points.shape[:3])
    first, second = aim(rays_of(points), confidence), aim(rays_of(turned), confidence)
    np.testing.assert_allclose(second.size, first.size, rtol=1e-3)
    np.testing.assert_allclose(second.normalize(rays_of(turned)), first.normalize(rays_of(points)), atol=3e-3)
    poses = points - points[:, :, :1]
    seen = first.to_virtual(poses), second.to_virtual(poses @ turn.T)
    np.testing.assert_allclose(*seen, atol=1e-3)  # Metres.


def test_person_comes_to_the_middle_and_to_unit_size():
    points = people(0) @ pan(30.0).T
    rays = rays_of(points)
    camera = aim(rays, np.ones(points.shape[:3]))
    xy = camera.normalize(rays)
    np.testing.assert_allclose(xy.mean(axis=(1, 2)), 0.0, atol=0.3)
    spread = np.sqrt(((xy - xy.mean(axis=2, keepdims=True)) ** 2).sum(axis=3).mean(axis=(1, 2)))
    np.testing.assert_allclose(spread, 1.0, atol=0.2)


def test_gross_errors_hardly_turn_it():
    points = people(1)
    clean = rays_of(points)
    wrong = clean.copy()
    wrong[:, 3:6, 4] += 2.0
    ones = np.ones(points.shape[:3])
    first, second = aim(clean, ones), aim(wrong, ones)
    angle = np.degrees(np.arccos(np.einsum("pc,pc->p", first.rotation[:, 2], second.rotation[:, 2]).clip(-1, 1)))
    assert angle.max() < 1.0
    # Their share of the joints is 2 %; unweighted, they would triple the size.
    np.testing.assert_allclose(second.size, first.size, rtol=0.25)


@pytest.mark.parametrize(("width", "height", "fov"), [(320, 240, 40.0), (1920, 1080, 60.0), (480, 640, 100.0)])
def test_intrinsics_drop_out(width, height, fov):
    points = people(2)
    camera = Camera.from_fov(width, height, np.radians(fov))
    rays = camera.rays(camera.project(points))
    np.testing.assert_allclose(
        aim(rays, np.ones(points.shape[:3])).size, aim(rays_of(points), np.ones(points.shape[:3])).size
    )


def test_nobody_there_looks_straight_ahead():
    camera = aim(np.full((2, 5, 17, 2), np.nan), np.zeros((2, 5, 17)))
    np.testing.assert_array_equal(camera.rotation, np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert np.isfinite(camera.size).all()
