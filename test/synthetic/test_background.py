"""The room, its texture and the shadow on its floor."""

import numpy as np
import pytest

from mambapose_ros.geometry import Camera
from mambapose_ros.synthetic.background import TEXELS_PER_METRE, Room
from mambapose_ros.synthetic.body import rotation
from mambapose_ros.synthetic.quadrics import Quadrics, ellipsoid
from mambapose_ros.synthetic.shadow import darken_floor

CAMERA = Camera.from_fov(160, 120)
LOW, HIGH = np.array([-1.5, -3.0, 0.0]), np.array([6.0, 3.5, 2.8])
ROOM = Room.random(LOW, HIGH, np.random.default_rng(0))
OPTICAL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
PIXELS = np.stack(np.meshgrid(np.arange(160.0), np.arange(120.0)), axis=-1)


def pose(position, **turn) -> np.ndarray:
    to_camera = np.eye(4)
    to_camera[:3, :3] = OPTICAL @ rotation(**turn).T
    to_camera[:3, 3] = -to_camera[:3, :3] @ position
    return to_camera


@pytest.mark.parametrize("yaw", [0.0, 70.0, 180.0, 250.0])
def test_every_pixel_lies_on_the_nearest_wall(yaw):
    to_camera = pose((1.0, 0.5, 1.2), yaw=yaw, pitch=10.0, roll=5.0)
    view = ROOM.render(CAMERA, to_camera)
    rays = np.concatenate([CAMERA.rays(PIXELS), np.ones((120, 160, 1))], axis=-1)
    points = (rays * view.depth[..., None] - to_camera[:3, 3]) @ to_camera[:3, :3]
    assert (points > LOW - 1e-3).all()
    assert (points < HIGH + 1e-3).all()
    on_a_wall = np.minimum(np.abs(points - LOW), np.abs(points - HIGH)).min(axis=-1)
    np.testing.assert_allclose(on_a_wall, 0.0, atol=1e-3)
    assert ((view.floor == 1) == (points[..., 2] < 1e-3)).mean() > 0.999  # But for the edge of the floor.


def test_the_texture_stays_where_it_is_when_the_camera_moves():
    """A texel's colour is found where that point of the floor is projected to."""
    floor = ROOM.planes[0]
    rows, columns = np.array([100, 180, 260]), np.array([200, 260, 300])
    texels = np.stack([columns, rows], axis=-1) + 0.5
    points = floor.origin + (texels[:, :1] * floor.right + texels[:, 1:] * floor.down) / TEXELS_PER_METRE
    camera = Camera.from_fov(1280, 960)
    for position in ((0.5, 0.0, 1.2), (0.2, 0.3, 1.0)):
        to_camera = pose(position, pitch=30.0)
        pixels = np.round(camera.project(points @ to_camera[:3, :3].T + to_camera[:3, 3])).astype(int)
        colors = ROOM.render(camera, to_camera).image[pixels[:, 1], pixels[:, 0]]
        np.testing.assert_allclose(colors, floor.texture[rows, columns], atol=25)


def test_shadow_falls_away_from_the_lamp_and_only_on_the_floor():
    to_camera = pose((0.0, 0.0, 1.5), pitch=25.0)
    view = ROOM.render(CAMERA, to_camera)
    to_world = np.eye(4)
    to_world[:3, 3] = (3.0, 0.0, 0.5)
    lamp = np.array([0.0, 0.6, 0.8])
    image = view.image.copy()
    ball = Quadrics.of([ellipsoid(0, (0, 0, 0), (0.2, 0.2, 0.2), 0)])
    darken_floor(image, view.floor, ball, to_world[None], to_camera, CAMERA, lamp)
    darker = (image < view.image).any(axis=-1)
    assert not darker[view.floor == 0].any()
    rows, columns = np.nonzero(darker)
    expected = CAMERA.project(to_camera[:3, :3] @ (3.0, -0.375, 0.0) + to_camera[:3, 3])
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=2.0)
