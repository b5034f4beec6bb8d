import numpy as np
import pytest

from mambapose_ros.training.cameras import CameraRanges, project, random_cameras
from mambapose_ros.training.detector_noise import Detections
from mambapose_ros.training.flow_noise import observe_flow
from mambapose_ros.training.surface import visible_surface


class Seen:
    """Recorded people found exactly, or 0.3 m beside themselves."""

    def __init__(self, motion, moving: float, beside: float = 0.0):
        self.cameras = random_cameras(np.random.default_rng(0), CameraRanges(moving=moving), motion)
        joints = self.cameras.view(motion.joints)
        self.rays = project(joints)
        self.scale = np.ones(len(joints))
        self.surface = visible_surface(joints, self.scale)
        found = Detections(self.rays, np.ones(self.rays.shape[:3]), np.full(self.rays.shape[:3], beside, np.float32))
        rng = np.random.default_rng(1)
        previous = observe_flow(rng, found, self.surface, self.cameras, self.scale, motion.mean_interval)
        self.known = np.isfinite(previous).all(axis=3)
        self.flow = self.rays - previous


def test_it_is_the_motion_of_what_is_seen(recorded_motion):
    """Within 0.7 pixels per axis in the median and two in the 90th percentile, of what is visible."""
    seen = Seen(recorded_motion, moving=0.5)
    visible = seen.known & ~seen.surface.occluded
    error = np.abs(seen.flow - seen.surface.motion).max(axis=3) / seen.cameras.pixel[:, None, None]
    assert np.median(error[visible]) < 0.7
    assert np.percentile(error[visible], 90) < 2.0


def test_few_samples_are_unknown_and_the_first_frame_is(recorded_motion):
    seen = Seen(recorded_motion, moving=0.5)
    assert not seen.known[:, 0].any()
    assert 0.95 < seen.known[:, 1:].mean() < 1.0


@pytest.mark.parametrize("moving", [0.0, 1.0])
def test_beside_the_body_it_is_the_backgrounds(recorded_motion, moving):
    """Which stands still, as seen by a steady camera, and moves with a moving one."""
    seen = Seen(recorded_motion, moving, beside=0.3)
    pixels = np.abs(seen.flow[seen.known]).max(axis=1) / seen.cameras.pixel.mean()
    assert np.median(pixels) > 1.3 if moving else np.median(pixels) < 0.7
