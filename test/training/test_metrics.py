import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mambapose_ros.training.metrics import bone_variation, difference_error, mpjpe, n_mpjpe, pa_mpjpe

POSES = np.random.default_rng(0).normal(0, 0.4, (6, 17, 3))
POSES -= POSES[:, :1]


def test_mpjpe_is_the_mean_distance_in_millimetres():
    np.testing.assert_allclose(mpjpe(POSES + (0.003, 0.0, 0.004), POSES), 5.0)


@given(st.floats(0.2, 5.0))
def test_scale_does_not_count_in_n_mpjpe(scale):
    np.testing.assert_allclose(n_mpjpe(scale * POSES, POSES), 0.0, atol=1e-9)
    assert (mpjpe(scale * POSES, POSES) > 0).all() == (scale != 1.0)


@given(st.floats(0.2, 5.0), st.integers(0, 1000))
def test_similarity_transforms_do_not_count_in_pa_mpjpe(scale, seed):
    turn = Rotation.random(random_state=seed).as_matrix()
    moved = scale * POSES @ turn.T + (0.3, -2.0, 1.0)
    np.testing.assert_allclose(pa_mpjpe(moved, POSES), 0.0, atol=1e-6)


def test_mirror_images_count_in_pa_mpjpe():
    assert (pa_mpjpe(POSES * (-1, 1, 1), POSES) > 50).all()


def test_pa_mpjpe_is_at_most_the_best_rigid_fit():
    noisy = POSES + np.random.default_rng(1).normal(0, 0.02, POSES.shape)
    centred = [poses - poses.mean(axis=1, keepdims=True) for poses in (noisy, POSES)]
    for a, b, error in zip(*centred, pa_mpjpe(noisy, POSES), strict=True):
        turn, _ = Rotation.align_vectors(b, a)
        assert error <= mpjpe(turn.apply(a), b) + 0.5


@pytest.mark.parametrize("order", [1, 2])
def test_differences_over_time(order):
    time = np.arange(6.0)[:, None, None]
    drift = 0.001 * time**order * np.array([1.0, 0.0, 0.0])
    expected = {1: 1.0, 2: 2.0}[order]
    assert difference_error(POSES + drift, POSES, order) == pytest.approx(expected)


def test_bones_that_keep_their_length_do_not_vary():
    turned = np.stack([Rotation.from_euler("z", angle).apply(POSES[0]) for angle in range(5)])
    assert bone_variation(turned) == pytest.approx(0.0, abs=1e-12)
    breathing = turned * np.array([0.9, 1.1, 0.9, 1.1, 1.0])[:, None, None]
    assert bone_variation(breathing) == pytest.approx(np.std([0.9, 1.1, 0.9, 1.1, 1.0]))
