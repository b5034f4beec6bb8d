import numpy as np

from mambapose_ros.training.cameras import CameraRanges, project, random_cameras
from mambapose_ros.training.flow_noise import observe_flow
from mambapose_ros.training.surface import visible_surface


class Seen:
    """Recorded people looked at exactly where their joints are."""

    def __init__(self, motion, moving: float):
        self.cameras = random_cameras(np.random.default_rng(0), CameraRanges(moving=moving), motion)
        joints = self.cameras.view(motion.joints)
        self.rays = project(joints)
        ones = np.ones(len(joints))
        self.surface = visible_surface(self.rays, joints, ones, 2.0 * ones, self.cameras)
        rng = np.random.default_rng(1)
        previous = observe_flow(rng, self.rays, self.surface, self.cameras.pixel, motion.mean_interval)
        self.known = np.isfinite(previous).all(axis=3)
        self.flow = self.rays - previous


def test_it_is_the_motion_of_what_is_seen(recorded_motion):
    """Within 0.7 pixels per axis in the median and two in the 90th percentile."""
    seen = Seen(recorded_motion, moving=0.5)
    error = np.abs(seen.flow - seen.surface.motion).max(axis=3) / seen.cameras.pixel[:, None, None]
    assert np.median(error[seen.known]) < 0.7
    assert np.percentile(error[seen.known], 90) < 2.0


def test_few_samples_are_unknown_and_the_first_frame_is(recorded_motion):
    seen = Seen(recorded_motion, moving=0.5)
    assert not seen.known[:, 0].any()
    assert 0.95 < seen.known[:, 1:].mean() < 1.0
