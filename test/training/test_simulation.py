import numpy as np
import pytest

from mambapose_ros.evidence import Channel
from mambapose_ros.evidence.channels import TYPICAL_EXTENT_M
from mambapose_ros.training.cameras import CameraRanges, project, random_cameras
from mambapose_ros.training.simulation import DepthKind, Modalities, TrainingBatch, simulate

PEOPLE = 64


def see(motion, flow: bool, depth: DepthKind, arrival: int = 0) -> TrainingBatch:
    modalities = Modalities.same(PEOPLE, flow, depth)
    return simulate(np.random.default_rng(0), motion, CameraRanges(), modalities, np.full(PEOPLE, arrival))


def test_a_motion_has_one_frame_more_than_its_window(recorded_motion):
    batch = see(recorded_motion, True, DepthKind.RELATIVE)
    assert batch.evidence.shape[:3] == (PEOPLE, 119, 17)
    assert batch.evidence[:, 0, :, Channel.FLOW_VALID].mean() > 0.5


def test_keypoints_lie_where_the_target_is_seen(recorded_motion):
    """Turned back and put at the root, it projects onto them: within 0.15 of the person's angular size, as a median,
    whatever the detector's definitions; a body is about 3.5 such units tall."""
    batch = see(recorded_motion, False, DepthKind.NONE)
    joints = batch.virtual_camera.to_camera(batch.target) + batch.root[:, :, None]
    off = np.linalg.norm(project(joints) - batch.observations.rays, axis=3) / batch.virtual_camera.size[:, None, None]
    assert np.median(off[batch.evidence[..., Channel.PRESENT] > 0]) < 0.15


def test_depth_of_a_sensor_is_that_of_the_target(recorded_motion):
    """Within 7 cm (median), of which flesh is 3-11 cm and sensor noise some centimetres at 6 m."""
    batch = see(recorded_motion, False, DepthKind.SENSOR)
    unit = TYPICAL_EXTENT_M * np.exp(batch.evidence[..., Channel.EXTENT])
    valid = batch.evidence[..., Channel.DEPTH_VALID] > 0
    measured = np.where(valid, batch.evidence[..., Channel.DEPTH] * unit, np.nan)
    off = (measured - batch.target[..., 2])[valid.all(axis=2)]
    assert np.median(np.abs(off - np.median(off, axis=1, keepdims=True))) < 0.07


def test_relative_depth_tells_the_depth_of_the_target(recorded_motion):
    """Together with the plane's, after the best linear fit of each window: median correlation above 0.75."""
    batch = see(recorded_motion, False, DepthKind.RELATIVE)
    correlations = []
    for evidence, target in zip(batch.evidence[:, -1], batch.target[:, -1], strict=True):
        valid = (evidence[:, Channel.DEPTH_VALID] > 0) & (evidence[:, Channel.CONFIDENCE] > 0.7)
        if valid.sum() > 8:
            known = np.column_stack([evidence[valid][:, [Channel.DEPTH, Channel.PLANE_DEPTH]], np.ones(valid.sum())])
            truth = target[valid, 2]
            fitted = known @ np.linalg.lstsq(known, truth, rcond=None)[0]
            correlations.append(np.corrcoef(fitted, truth)[0, 1])
    assert np.median(correlations) > 0.75


@pytest.mark.parametrize(
    ("flow", "depth"), [(True, DepthKind.NONE), (False, DepthKind.RELATIVE), (True, DepthKind.SENSOR)]
)
def test_what_is_observed_does_not_change_what_is_there(recorded_motion, flow, depth):
    plain, rich = see(recorded_motion, False, DepthKind.NONE), see(recorded_motion, flow, depth)
    np.testing.assert_array_equal(plain.target, rich.target)
    keypoints = slice(Channel.X, Channel.FLOW_X)
    np.testing.assert_array_equal(plain.evidence[..., keypoints], rich.evidence[..., keypoints])
    assert rich.evidence[..., Channel.FLOW_VALID].any() == flow
    assert rich.evidence[..., Channel.DEPTH_VALID].any() == (depth is not DepthKind.NONE)
    assert rich.evidence[..., Channel.DEPTH_METRIC].any() == (depth is DepthKind.SENSOR)


def test_nobody_is_seen_before_they_arrive(recorded_motion):
    present = see(recorded_motion, True, DepthKind.SENSOR, arrival=50).evidence[..., Channel.PRESENT]
    assert not present[:, :50].any()
    assert present[:, 50].mean() > 0.5


def test_nothing_is_read_outside_the_image(recorded_motion):
    """Where a detector guesses a joint outside, there is neither flow nor depth; inside there mostly is."""
    motion, seed = recorded_motion, 0
    batch = see(motion, True, DepthKind.RELATIVE)
    cameras = random_cameras(np.random.default_rng(seed), CameraRanges(), motion)
    seen = batch.observations
    outside = (np.abs(seen.rays) > cameras.half_extent[:, None, None]).any(axis=3)
    assert 0.02 < outside.mean() < 0.5
    assert np.isnan(seen.depth[outside]).all()
    assert np.isnan(seen.previous_rays[outside]).all()
    assert np.isfinite(seen.depth[~outside]).all()
