import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.geometry import Camera
from mambapose_ros.perception.placement import place_body
from mambapose_ros.skeleton import JOINT_RADIUS_M
from mambapose_ros.synthetic import SyntheticScene

CAMERA = Camera.from_fov(640, 480)
JOINTS = SyntheticScene(motion="walk", seed=0).render(0).joints[0]
POSE = JOINTS - JOINTS[0]


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_measured_depth_overrules_the_size_of_the_body_and_the_pelvis_stays_on_its_ray(seed):
    """A body taken for 0.7 to 1.4 times its size is as far away as measured, though a third of the joints is not."""
    rng = np.random.default_rng(seed)
    root = rng.uniform((-1.0, -0.5, 2.0), (1.0, 0.5, 7.0))
    size = rng.uniform(0.7, 1.4)
    xy, depth = CAMERA.project(POSE + root), POSE[:, 2] + root[2] - JOINT_RADIUS_M
    alone = place_body(CAMERA, xy, size * POSE, np.ones(17)).root
    np.testing.assert_allclose(alone, size * root, rtol=0.1, atol=0.05)
    depth[rng.choice(17, 5, replace=False)] = rng.choice([np.nan, 0.5, 9.0])
    measured = place_body(CAMERA, xy, size * POSE, np.ones(17), depth).root
    assert measured[2] == pytest.approx(root[2], abs=0.12)
    np.testing.assert_allclose(measured[:2] / measured[2], alone[:2] / alone[2])


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_of_somebody_near_whose_hips_are_out_of_view_the_joints_that_are_seen_stay_on_their_rays(seed):
    rng = np.random.default_rng(seed)
    root = np.array([rng.uniform(-0.2, 0.2), 0.7, rng.uniform(0.9, 1.4)])  # the upper body, before the camera
    weights = (POSE[:, 1] < -0.3).astype(float)
    lifted = 1.1 * POSE + rng.normal(0.0, 0.03, POSE.shape)  # too large, and not quite the pose
    lifted[0] = 0.0
    depth = POSE[:, 2] + root[2] - JOINT_RADIUS_M
    placed = place_body(CAMERA, CAMERA.project(POSE + root), lifted, weights, depth)
    assert placed.by_depth
    off = np.linalg.norm((lifted + placed.root - POSE - root)[weights > 0], axis=1)
    assert np.median(off) < 0.09  # with the pelvis slid along its ray up to 0.18


@pytest.mark.parametrize("hips_seen", [True, False])
def test_remembered_depth_puts_people_where_measured_depth_did(hips_seen):
    root = np.array([0.1, 0.3, 2.5])
    weights = np.ones(17) if hips_seen else (POSE[:, 1] < -0.3).astype(float)
    xy, depth = CAMERA.project(POSE + root), POSE[:, 2] + root[2] - JOINT_RADIUS_M
    measured = place_body(CAMERA, xy, 0.9 * POSE, weights, depth)
    remembered = place_body(CAMERA, xy, 0.9 * POSE, weights, usual_ratio=measured.ratio)
    np.testing.assert_allclose(remembered.root, measured.root, atol=1e-9)
    assert remembered.by_depth
    assert np.isnan(remembered.ratio)  # it was not measured again


def test_too_few_measurements_count_for_nothing():
    root = np.array([0.2, 0.1, 4.0])
    xy, depth = CAMERA.project(POSE + root), np.full(17, np.nan)
    depth[:2] = 1.0
    placed = place_body(CAMERA, xy, POSE, np.ones(17), depth)
    np.testing.assert_allclose(placed.root, root, atol=1e-4)
    assert not placed.by_depth
    depth[:] = 1.0
    weights = np.r_[np.zeros(8), np.ones(9)]
    depth[8:] = np.nan  # measured only where nothing was seen
    placed = place_body(CAMERA, xy, POSE, weights, depth)
    np.testing.assert_allclose(placed.root, root, atol=1e-4)
    assert not placed.by_depth


def test_a_measurement_that_puts_the_body_into_the_camera_is_not_believed():
    root = np.array([0.0, 0.0, 3.0])
    xy = CAMERA.project(POSE + root)
    placed = place_body(CAMERA, xy, POSE, np.ones(17), np.full(17, 0.05))
    np.testing.assert_allclose(placed.root, root, atol=1e-4)
    assert not placed.by_depth


def test_who_cannot_be_placed_is_nowhere():
    placed = place_body(CAMERA, np.full((17, 2), np.nan), POSE, np.ones(17), np.full(17, 2.0))
    assert np.isnan(placed.root).all()
    assert placed.problem == "fewer than two joints are seen"
