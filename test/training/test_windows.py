from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.evidence import NUM_CHANNELS, Channel
from mambapose_ros.training.cameras import CameraRanges
from mambapose_ros.training.mocap import select_split
from mambapose_ros.training.simulation import DepthKind
from mambapose_ros.training.windows import SamplerConfig, WindowSampler, evaluation_subjects, evaluation_windows

PLAIN = SamplerConfig(recombined=0.0, postured=0.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_batches_are_finite_and_of_the_asked_size(walkers, seed, size, frames):
    batch = WindowSampler(walkers, SamplerConfig(), seed).batch(size, frames)
    assert batch.evidence.shape == (size, frames, 17, NUM_CHANNELS)
    assert batch.target.shape == (size, frames, 17, 3)
    assert batch.root.shape == (size, frames, 3)
    assert batch.evidence.dtype == batch.target.dtype == batch.root.dtype == np.float32
    assert all(np.isfinite(array).all() for array in (batch.evidence, batch.target, batch.root))
    assert not batch.target[:, :, 0].any()


def test_the_same_seed_gives_the_same_windows(walkers):
    first, second = (WindowSampler(walkers, SamplerConfig(), seed=7) for _ in range(2))
    for _ in range(2):
        a, b = first.batch(8, 9), second.batch(8, 9)
        np.testing.assert_array_equal(a.evidence, b.evidence)
        np.testing.assert_array_equal(a.target, b.target)
    other = WindowSampler(walkers, SamplerConfig(), seed=8).batch(8, 9)
    assert not np.array_equal(other.target, a.target)


def test_shares_of_what_is_observed(walkers):
    """Within 5 percentage points, where people are near enough for any sensor."""
    config = SamplerConfig(cameras=CameraRanges(distance=(2.0, 3.5)))
    batch = WindowSampler(walkers, config, seed=2).batch(1000, 5)
    valid = (batch.evidence > 0).any(axis=(1, 2))
    assert valid[:, Channel.FLOW_VALID].mean() == pytest.approx(config.flow, abs=0.05)
    assert valid[:, Channel.DEPTH_METRIC].mean() == pytest.approx(config.depth[DepthKind.SENSOR], abs=0.05)
    with_depth = valid[:, Channel.DEPTH_VALID].mean()
    assert with_depth == pytest.approx(1.0 - config.depth[DepthKind.NONE], abs=0.05)
    interval = batch.observations.interval
    rate = 1.0 / interval.min(axis=1)
    assert 10.0 <= rate.min() < 12.0
    assert 50.0 < rate.max() <= 60.0
    doubled = interval[:, 1:] > 1.5 * interval.min(axis=1, keepdims=True)
    assert doubled.mean() == pytest.approx(config.dropped, abs=0.02)


def test_some_people_arrive_late(walkers):
    batch = WindowSampler(walkers, replace(PLAIN, arriving=1.0), seed=3).batch(64, 12)
    present = batch.evidence[..., Channel.PRESENT].any(axis=2)
    assert not present[:, 0].any()
    assert 0.2 < present.mean() < 0.8
    assert present.any(axis=1).all()  # in the last frame at the latest: of nobody there is nothing to learn


def test_evaluation_is_the_same_every_time_and_for_every_modality(walkers):
    def windows(flow, depth):
        return list(evaluation_windows(walkers, 27, 9, flow, depth, seed=5, batch=8))

    plain, again, rich = windows(False, DepthKind.NONE), windows(False, DepthKind.NONE), windows(True, DepthKind.SENSOR)
    for a, b, c in zip(plain, again, rich, strict=True):
        np.testing.assert_array_equal(a.evidence, b.evidence)
        np.testing.assert_array_equal(a.target, c.target)
        keypoints = slice(Channel.X, Channel.FLOW_X)
        np.testing.assert_array_equal(a.evidence[..., keypoints], c.evidence[..., keypoints])
        assert not a.evidence[..., [Channel.FLOW_VALID, Channel.DEPTH_VALID]].any()
        assert c.evidence[..., Channel.FLOW_VALID].mean() > 0.5


def test_evaluation_visits_every_window_once(walkers):
    """40 and 200 frames: windows of 27 every 9 frames start at 0 and 9, and at 0, 9 ... 171; of 81, one and 14."""
    for frames, count, long in ((27, 2 + 20, 20), (81, 1 + 14, 14)):
        batches = evaluation_windows(walkers, frames, 9, False, DepthKind.NONE, batch=8)
        assert sum(len(batch.target) for batch in batches) == count
        assert Counter(evaluation_subjects(walkers, frames, 9)) == {"short": count - long, "long": long}


def test_recorded_people_have_human_size_in_every_augmentation(recorded):
    """Trunks of 0.2-0.8 m and thighs of 0.12-0.7 m; a child's to a tall adult's."""
    sampler = WindowSampler(select_split(recorded, "train"), SamplerConfig(), seed=4)
    target = sampler.batch(256, 9).target
    trunk = np.linalg.norm(target[:, :, 8], axis=-1)
    thigh = np.linalg.norm(target[:, :, 2] - target[:, :, 1], axis=-1)
    assert 0.2 < trunk.min() < trunk.max() < 0.85
    assert 0.12 < thigh.min() < thigh.max() < 0.7
