import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.perception.fusion import sample_depth, sample_flow, sample_radius
from mambapose_ros.skeleton import JOINT_INDEX, JOINT_RADIUS_M
from mambapose_ros.synthetic import SyntheticScene
from mambapose_ros.types import DepthMap

SCENES = [SyntheticScene(motion=motion, seed=seed) for motion, seed in (("walk", 0), ("wave", 1), ("squat", 2))]
LIMBS = [JOINT_INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("knee", "ankle", "elbow", "wrist")]


def metric(values) -> DepthMap:
    return DepthMap(np.asarray(values, np.float32), True, "sensor")


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_flow_that_is_linear_in_the_image_is_read_exactly(seed):
    rng = np.random.default_rng(seed)
    width, height = (int(n) for n in rng.integers(12, 60, 2))
    slope, offset = rng.normal(size=(2, 2)), rng.normal(size=2)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    xy = rng.uniform((4, 4), (width - 5, height - 5), (17, 2))
    sampled = sample_flow(grid @ slope + offset, xy, rng.uniform(1.0, 4.0))
    np.testing.assert_allclose(sampled, xy @ slope + offset, atol=1e-9)


def test_a_few_wrong_pixels_do_not_change_the_flow():
    flow = np.full((40, 40, 2), (3.0, -2.0))
    flow[20:, 22:] = 90.0
    flow[17, 17] = np.nan
    np.testing.assert_array_equal(sample_flow(flow, np.array([[20.0, 20.0]]), 4.0), [[3.0, -2.0]])


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_what_is_read_is_unknown_or_was_there(seed):
    """Whatever is missing: depth is one of the image's valid values, and flow lies within their range."""
    rng = np.random.default_rng(seed)
    width, height = (int(n) for n in rng.integers(1, 20, 2))
    values = rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.5, 3.0, 7.25], (height, width))
    xy = rng.uniform(-3, 22, (17, 2))
    xy[rng.random(17) < 0.2] = np.nan
    outside = ~((xy >= -0.5) & (xy < (width - 0.5, height - 0.5))).all(axis=1)
    radius = rng.uniform(1.0, 5.0)

    depth = sample_depth(metric(values), xy, radius)
    assert set(depth[np.isfinite(depth)]) <= {1.5, 3.0, 7.25}
    assert np.isnan(depth[outside]).all()
    relative = sample_depth(DepthMap(values.astype(np.float32), False, "network"), xy, radius)
    assert set(relative[np.isfinite(relative)]) <= {0.0, -1.0, 1.5, 3.0, 7.25}

    field = np.where(rng.random((height, width, 1)) < 0.3, np.nan, rng.uniform(-5, 5, (height, width, 2)))
    flow = sample_flow(field, xy, radius)
    assert np.isnan(flow[outside]).all()
    assert (np.abs(flow[np.isfinite(flow)]) <= 5).all()


@given(st.integers(0, 10_000), st.floats(0.4, 0.9))
@settings(max_examples=60, deadline=None)
def test_beside_an_edge_depth_is_the_limbs_and_never_between(seed, share):
    """A limb that fills 40 % of the patch or more is found, whatever stands behind it."""
    rng = np.random.default_rng(seed)
    limb, background = rng.uniform(1, 4), rng.uniform(5, 9)
    xy, radius = np.array([[30.3, 29.6]]), 6.0
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.arange(60), np.arange(60))
    along = (x - xy[0, 0]) * np.cos(angle) + (y - xy[0, 1]) * np.sin(angle)
    values = np.where(along < radius * (share - 0.5) * 1.6, limb, background).astype(np.float32)
    assert sample_depth(metric(values), xy, radius) == np.float32(limb)
    inverse = DepthMap(1.0 / values, False, "network")
    assert sample_depth(inverse, xy, radius) == np.float32(1.0) / np.float32(limb)


def test_zeros_negatives_and_holes_are_no_depth():
    for hole in (0.0, -2.0, np.nan, np.inf):
        values = np.full((9, 9), hole)
        assert np.isnan(sample_depth(metric(values), np.array([[4.0, 4.0]]), 2.0)).all()
        values[4, 5] = 2.5
        assert sample_depth(metric(values), np.array([[4.0, 4.0]]), 2.0) == 2.5


@pytest.mark.parametrize("scene", SCENES)
def test_true_depth_at_seen_joints_is_their_skin(scene):
    """What is seen at a joint is its own flesh, but where a limb that points at the camera hides its far end."""
    errors = []
    for index in (0, 15, 40):
        truth = scene.render(index)
        xy, joints, seen = truth.keypoints[0], truth.joints[0], truth.visibility[0]
        depth = sample_depth(metric(truth.depth), xy, sample_radius(xy))
        errors.append(np.abs(joints[:, 2] - depth - JOINT_RADIUS_M)[seen])
    assert np.quantile(np.concatenate(errors), 0.9) < 0.07
    assert np.median(np.concatenate(errors)) < 0.04


@pytest.mark.parametrize("scene", SCENES)
def test_true_flow_at_seen_joints_is_their_motion(scene):
    """Skin moves as the joint under it does, but for what the limb turns about its own axis."""
    errors = []
    for index in (10, 11, 25, 40):
        before, now = scene.render(index - 1), scene.render(index)
        motion = now.keypoints[0] - before.keypoints[0]
        flow = sample_flow(now.flow, now.keypoints[0], sample_radius(now.keypoints[0]))
        errors.append(np.linalg.norm(flow - motion, axis=1)[LIMBS][now.visibility[0][LIMBS]])
        assert np.median(np.linalg.norm(motion[LIMBS], axis=1)) > 0.0
    assert np.median(np.concatenate(errors)) < 0.5


def test_the_patch_grows_with_the_person():
    truth = SCENES[0].render(0)
    xy = truth.keypoints[0]
    metres = truth.joints[0, :, 2].mean() / truth.camera.K[0, 0]
    assert sample_radius(xy) * metres == pytest.approx(0.025, rel=0.3)
    assert sample_radius(3.0 * xy) == pytest.approx(3.0 * sample_radius(xy))
    assert sample_radius(np.full((17, 2), np.nan)) == 1.0
    xy[3:] = np.nan
    assert sample_radius(0.01 * xy) == 1.0
