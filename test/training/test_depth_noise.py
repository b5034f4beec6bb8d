from dataclasses import replace

import numpy as np
import pytest

from mambapose_ros.training.cameras import CameraRanges, project, random_cameras
from mambapose_ros.training.depth_noise import relative_depth, sensor_depth
from mambapose_ros.training.surface import visible_surface


class Seen:
    """Recorded people looked at exactly where their joints are, or that many metres beside."""

    def __init__(self, motion, beside: float = 0.0, distance: tuple[float, float] = (1.5, 6.0)):
        cameras = random_cameras(np.random.default_rng(0), CameraRanges(distance=distance), motion)
        joints = cameras.view(motion.joints)
        people = len(joints)
        self.interval = motion.mean_interval
        self.rays = project(joints) + beside / joints[..., 2:]
        self.surface = visible_surface(self.rays, joints, np.ones(people), np.full(people, 2.0), cameras)

    def relative(self, seed: int = 1) -> np.ndarray:
        return relative_depth(np.random.default_rng(seed), self.rays, self.surface, self.interval)

    def sensed(self) -> np.ndarray:
        return sensor_depth(np.random.default_rng(1), self.surface)


def shape_error(depth: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(B, F) metres of root mean square error after the best scale and shift of each frame."""
    depth, truth = (values - values.mean(axis=2, keepdims=True) for values in (depth, truth))
    scale = (depth * truth).sum(axis=2) / (depth**2).sum(axis=2)
    return np.sqrt(((scale[..., None] * depth - truth) ** 2).mean(axis=2))


def test_relative_depth_has_the_bodys_shape(recorded_motion):
    """Up to scale and shift, within 3-9 cm (median), of inverse depth taken as linear across a body."""
    seen = Seen(recorded_motion)
    error = shape_error(seen.relative(), 1.0 / seen.surface.depth)
    metres = error * (seen.surface.depth.mean(axis=2) ** 2)
    assert 0.03 < np.median(metres) < 0.09


def test_scale_and_shift_of_relative_depth_drift_slowly(recorded_motion):
    """Mean inverse depth changes by under 2 % of its spread over windows from frame to frame."""
    middle = Seen(recorded_motion).relative().mean(axis=2)
    assert np.median(np.abs(np.diff(middle, axis=1))) < 0.02 * middle.std()
    assert middle.std() > 0.5


def test_sensor_error_grows_with_the_square_of_distance(recorded_motion):
    """Under 1 cm at 1-2 m, over 3 cm beyond 5 m (median absolute error; calibration included)."""
    for distance, least, most in (((1.2, 1.8), 0.001, 0.02), ((5.0, 6.0), 0.03, 0.15)):
        seen = Seen(recorded_motion, distance=distance)
        error = np.abs(seen.sensed() - seen.surface.depth)
        assert least < np.nanmedian(error) < most


def test_sensors_have_holes_and_a_range(recorded_motion):
    near, far = (np.isnan(Seen(recorded_motion, distance=d).sensed()).mean() for d in ((1.5, 2.5), (7.0, 8.0)))
    assert 0.01 < near < 0.15
    assert far > 0.5


@pytest.mark.parametrize("kind", ["relative", "sensed"])
def test_beside_the_body_it_is_the_backgrounds(recorded_motion, kind):
    on, off = (getattr(Seen(recorded_motion, b), kind)() for b in (0.0, 1.0))
    farther = np.nanmedian(off - on)
    assert farther > 1.0 if kind == "sensed" else farther < -0.02


def test_toward_the_edge_of_a_limb_a_network_bleeds_and_a_sensor_has_holes(recorded_motion):
    seen = Seen(recorded_motion)
    edge = seen.surface.rim > 0.9
    assert 0.005 < edge.mean() < 0.3
    middle = seen.surface.rim == 0.0
    holes = np.isnan(seen.sensed())
    assert holes[edge].mean() > holes[middle].mean() + 0.3
    gentle = replace(seen.surface, rim=np.zeros_like(seen.surface.rim))
    clean = relative_depth(np.random.default_rng(1), seen.rays, gentle, seen.interval)
    change = seen.relative() - clean
    assert (change[edge] < 0).all()
    assert not change[middle].any()
