from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.evidence import NUM_CHANNELS, Channel, Observations, build_evidence, mirror_evidence
from mambapose_ros.evidence.channels import TYPICAL_EXTENT_M, TYPICAL_INTERVAL_S
from mambapose_ros.geometry import Camera
from mambapose_ros.skeleton import FLIP

SEEDS = st.integers(0, 2**32 - 1)


def person(seed: int, frames: int = 9) -> np.ndarray:
    """(1, frames + 1, 17, 3) moving joints, metres, optical frame."""
    rng = np.random.default_rng(seed)
    body = rng.normal(0.0, [0.2, 0.5, 0.2], (1, 1, 17, 3))
    return body + rng.normal(0.0, 0.02, (1, frames + 1, 17, 3)).cumsum(axis=1) + [0.3, 0.1, rng.uniform(2.5, 6.0)]


def observe(points: np.ndarray, metric: bool) -> Observations:
    """Exactly, with flow and depth."""
    rays = points[..., :2] / points[..., 2:]
    depth = points[:, 1:, :, 2] if metric else 1.0 / points[:, 1:, :, 2]
    return Observations(
        rays=rays[:, 1:],
        confidence=np.full(depth.shape, 0.9),
        interval=np.full(depth.shape[:2], 1 / 30),
        previous_rays=rays[:, :-1],
        depth=depth,
        metric=np.array([metric]),
    )


def test_channels_are_numbered_without_gaps():
    assert [int(channel) for channel in Channel] == list(range(NUM_CHANNELS))


@pytest.mark.parametrize(("seconds", "told"), [(1e-6, 1 / 240), (1 / 60, 1 / 60), (0.2, 0.2), (0.9, 0.25)])
def test_intervals_are_told_as_far_as_training_knows_them(seconds, told):
    seen = observe(person(0), metric=True)
    evidence, _ = build_evidence(replace(seen, interval=np.full(seen.interval.shape, seconds)))
    np.testing.assert_allclose(evidence[..., Channel.INTERVAL], np.log(told / TYPICAL_INTERVAL_S), rtol=1e-5, atol=1e-6)


@given(SEEDS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_never_nan_and_missing_values_are_zero(seed, metric):
    rng = np.random.default_rng(seed)
    seen = observe(person(seed), metric)

    def holes(values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(values.shape) < rng.random(), rng.choice([np.nan, np.inf]), values)

    seen = replace(
        seen,
        rays=holes(seen.rays),
        confidence=seen.confidence * (rng.random(seen.confidence.shape) < 0.7),
        previous_rays=holes(seen.previous_rays),
        depth=holes(seen.depth) if rng.random() < 0.7 else np.full(seen.depth.shape, np.nan),
    )
    evidence, camera = build_evidence(seen)
    assert evidence.dtype == np.float32
    assert np.isfinite(evidence).all()
    assert np.isfinite(camera.rotation).all()
    for validity, channels in (
        (Channel.PRESENT, [Channel.X, Channel.Y, Channel.CONFIDENCE, Channel.FLOW_VALID, Channel.DEPTH_VALID]),
        (Channel.FLOW_VALID, [Channel.FLOW_X, Channel.FLOW_Y]),
        (Channel.DEPTH_VALID, [Channel.DEPTH]),
    ):
        assert not evidence[evidence[..., validity] == 0][:, channels].any()


def test_flow_is_the_difference_of_positions():
    points = person(1)
    evidence, _ = build_evidence(observe(points, metric=True))
    moved = np.diff(evidence[0, :, :, [Channel.X, Channel.Y]], axis=1)
    np.testing.assert_allclose(evidence[0, 1:, :, [Channel.FLOW_X, Channel.FLOW_Y]], moved, atol=1e-4)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_metric_depth_restores_the_pose(seed):
    """x, y, depth and extent together are the body in metres, along the virtual axes."""
    points = person(seed)
    evidence, camera = build_evidence(observe(points, metric=True))
    truth = camera.to_virtual((points[:, 1:] - points[:, 1:].mean(axis=2, keepdims=True)).astype(np.float32))
    unit = TYPICAL_EXTENT_M * np.exp(evidence[..., Channel.EXTENT])
    depth = evidence[..., Channel.DEPTH] * unit
    depth -= depth.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(depth, truth[..., 2], atol=2e-3)


@given(SEEDS, st.floats(0.01, 100.0), st.floats(-10.0, 10.0))
@settings(max_examples=30, deadline=None)
def test_scale_and_shift_of_relative_depth_drop_out(seed, scale, shift):
    seen = observe(person(seed), metric=False)
    drift = np.random.default_rng(seed).normal(shift, 0.1, (1, seen.depth.shape[1], 1))
    evidence, _ = build_evidence(seen)
    other, _ = build_evidence(replace(seen, depth=scale * (seen.depth + drift)))
    np.testing.assert_allclose(other, evidence, atol=5e-3)


def test_relative_depth_is_larger_for_what_is_farther():
    points = person(3)
    evidence, _ = build_evidence(observe(points, metric=False))
    depth = evidence[0, -1, :, Channel.DEPTH]
    assert np.argmax(depth) == np.argmax(points[0, -1, :, 2])
    assert not evidence[..., [Channel.DEPTH_METRIC, Channel.EXTENT]].any()


def test_relative_depth_beside_the_image_centre_is_that_of_the_pose_and_the_plane():
    """Depth along the virtual axis is a combination of the two channels: within 2 cm for a body 8 m away, where inverse
    depth is nearly linear."""
    pose = person(6) - person(6).mean(axis=(1, 2))
    points = pose + [6.0, 1.0, 8.0]
    evidence, camera = build_evidence(observe(points, metric=False))
    truth = camera.to_virtual(pose[:, 1:])[0, -1, :, 2]
    channels = evidence[0, -1][:, [Channel.DEPTH, Channel.PLANE_DEPTH]]
    alone, both = (np.column_stack([columns, np.ones(17)]) for columns in (channels[:, :1], channels))
    residual = [np.std(truth - a @ np.linalg.lstsq(a, truth, rcond=None)[0]) for a in (alone, both)]
    assert residual[1] < 0.02 < residual[0]


def test_without_flow_and_depth_their_channels_are_empty():
    seen = replace(observe(person(4), metric=True), previous_rays=None, depth=None, metric=None)
    evidence, _ = build_evidence(seen)
    assert not evidence[..., Channel.FLOW_X : Channel.SIZE].any()


def test_intrinsics_image_size_and_place_drop_out():
    """The same motion through other cameras, one of them panned by 25 degrees: same evidence within 0.005 units, which
    are about 3 mm on an adult."""
    points = person(5)
    c, s = np.cos(np.radians(25.0)), np.sin(np.radians(25.0))
    panned = points @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]).T
    results = []
    for width, height, fov, seen in ((640, 480, 60, points), (1920, 1080, 90, panned), (480, 640, 75, points)):
        camera = Camera.from_fov(width, height, np.radians(fov))
        pixels = camera.project(seen)
        rays = camera.rays(pixels[:, 1:])
        previous = camera.rays(pixels[:, 1:] - np.diff(pixels, axis=1))
        observations = replace(
            observe(seen, metric=True),
            rays=rays,
            previous_rays=previous,
            depth=seen[:, 1:, :, 2],
            metric=np.array([True]),
        )
        results.append(build_evidence(observations)[0])
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=5e-3)


@given(SEEDS, st.booleans())
@settings(max_examples=20, deadline=None)
def test_mirrored_evidence_is_that_of_the_mirrored_scene(seed, metric):
    points = person(seed)
    mirrored = points[:, :, list(FLIP)] * [-1.0, 1.0, 1.0]
    expected, _ = build_evidence(observe(mirrored, metric))
    evidence, _ = build_evidence(observe(points, metric))
    np.testing.assert_allclose(mirror_evidence(evidence), expected, atol=2e-3)


def test_a_person_costs_under_a_millisecond():
    points = np.concatenate([person(seed, frames=81) for seed in range(4)])
    seen = replace(observe(points, metric=True), metric=np.array([True, False, True, False]))
    build_evidence(seen)
    spent = []
    for _ in range(20):
        start = perf_counter()
        build_evidence(seen)
        spent.append(perf_counter() - start)
    assert min(spent) / len(points) < 1e-3
