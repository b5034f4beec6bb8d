"""Ray casting against geometry worked out in another way."""

import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.synthetic.quadrics import Quadrics, ellipsoid, limb
from mambapose_ros.synthetic.renderer import cast

CAMERA = Camera.from_fov(160, 120)
FAR = np.full((120, 160), 50.0, np.float32)
PIXELS = np.stack(np.meshgrid(np.arange(160.0), np.arange(120.0)), axis=-1)


def seen_points(shapes) -> tuple[np.ndarray, np.ndarray]:
    """Points (m, 3) in the optical frame where rays hit, and the mask (H, W) of these rays."""
    hits = cast(Quadrics.of(shapes), np.eye(4)[None], CAMERA, FAR)
    mask = hits.surface >= 0
    rays = np.concatenate([CAMERA.rays(PIXELS), np.ones((120, 160, 1))], axis=-1)
    return (rays * hits.depth[..., None])[mask], mask


def distance_to_hull(points: np.ndarray, a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """Signed distance to the hull of two spheres: over finely sampled spheres between them."""
    s = np.linspace(0.0, 1.0, 801)[:, None]
    centres, radii = a + s * (b - a), ra + s[:, 0] * (rb - ra)
    return (np.linalg.norm(points[:, None] - centres, axis=2) - radii).min(axis=1)


@pytest.mark.parametrize("seed", range(4))
def test_limb_is_the_hull_of_two_spheres(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-0.6, 0.6, (2, 3)) + np.array([0.0, 0.0, 3.0])
    ra, rb = rng.uniform(0.05, 0.25, 2)
    points, mask = seen_points([limb(0, a, b, (ra, rb), 0)])
    assert len(points) > 100
    np.testing.assert_allclose(distance_to_hull(points[::5], a, b, ra, rb), 0.0, atol=1e-3)
    # No ray that misses comes near.
    rays = np.concatenate([CAMERA.rays(PIXELS[~mask]), np.ones((np.count_nonzero(~mask), 1))], axis=-1)[::29]
    along = np.linspace(2.0, 4.0, 20)
    gaps = np.stack([distance_to_hull(rays * z, a, b, ra, rb) for z in along])
    assert gaps.min() > -1e-3


def test_limb_towards_the_camera():
    points, _ = seen_points([limb(0, (0.02, 0.01, 2.0), (0.05, 0.0, 3.0), (0.06, 0.12), 0)])
    a, b = np.array([0.02, 0.01, 2.0]), np.array([0.05, 0.0, 3.0])
    np.testing.assert_allclose(distance_to_hull(points, a, b, 0.06, 0.12), 0.0, atol=1e-3)


def test_ellipsoid_and_its_outline():
    centre, axes = np.array([0.3, -0.2, 2.5]), np.array([0.3, 0.1, 0.2])
    points, mask = seen_points([ellipsoid(0, centre, axes, 0)])
    np.testing.assert_allclose((((points - centre) / axes) ** 2).sum(axis=1), 1.0, atol=1e-3)
    # Every ray whose closest approach is inside hits: nothing is cut off by the bounding box.
    rays = np.concatenate([CAMERA.rays(PIXELS), np.ones((120, 160, 1))], axis=-1) / axes
    origin = -centre / axes
    nearest = origin - rays * ((rays @ origin) / (rays**2).sum(axis=-1))[..., None]
    np.testing.assert_array_equal(
        np.linalg.norm(nearest, axis=-1) < 0.999, mask & (np.linalg.norm(nearest, axis=-1) < 0.999)
    )
    assert not mask[np.linalg.norm(nearest, axis=-1) > 1.001].any()


def test_the_nearest_surface_wins_and_moves_with_its_segment():
    near, far = ellipsoid(0, (0, 0, 0), (0.1, 0.1, 0.1), 0), ellipsoid(0, (0, 0, 1.0), (0.5, 0.5, 0.5), 1)
    to_camera = np.eye(4)
    to_camera[2, 3] = 2.0
    hits = cast(Quadrics.of([far, near]), to_camera[None], CAMERA, FAR)
    assert hits.surface[60, 80] == 1
    assert hits.depth[60, 80] == pytest.approx(1.9, abs=1e-3)
    assert hits.surface[60, 95] == 0
    assert hits.surface[0, 0] == -1
    assert hits.depth[0, 0] == 50.0


def test_shapes_behind_the_camera_or_outside_the_image_are_not_seen():
    shapes = [ellipsoid(0, (0, 0, -2.0), (0.5, 0.5, 0.5), 0), ellipsoid(0, (9.0, 0, 2.0), (0.5, 0.5, 0.5), 0)]
    assert (cast(Quadrics.of(shapes), np.eye(4)[None], CAMERA, FAR).surface == -1).all()
