"""The renderer's depth, made affine-ambiguous inverse depth, comes back in metres."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.perception.depth_alignment import FARTHEST_M, DepthAligner
from mambapose_ros.synthetic import SyntheticFrame, SyntheticScene
from mambapose_ros.types import DepthMap, Skeleton3D

JOINT_ERROR_M = 0.05  # of each coordinate of each joint


@lru_cache
def frames(motion: str, people: int, seed: int) -> tuple[SyntheticFrame, ...]:
    """Three a second for four seconds: long enough to walk nearer and away."""
    scene = SyntheticScene(motion, people=people, seed=seed)
    return tuple(scene.render(index) for index in range(0, 120, 10))


def relative(frame: SyntheticFrame, scale: float = 0.01, shift: float = 0.0, noise: float = 0.0) -> DepthMap:
    rng = np.random.default_rng(frame.stamp_ns)
    values = (1.0 / frame.depth - shift) / scale * (1.0 + noise * rng.standard_normal(frame.depth.shape))
    return DepthMap(values.astype(np.float32), metric=False, source="network")


def skeletons(frame: SyntheticFrame, error: float = JOINT_ERROR_M) -> list[Skeleton3D]:
    rng = np.random.default_rng(frame.stamp_ns)
    joints = frame.joints + error * rng.standard_normal(frame.joints.shape)
    return [Skeleton3D(f"p{i}", person, np.ones(17), "learned") for i, person in enumerate(joints)]


def error_at_joints(found: np.ndarray, frame: SyntheticFrame) -> float:
    """Median over the joints in view, metres."""
    x, y = np.round(frame.keypoints[frame.visibility]).astype(int).T
    return float(np.median(np.abs(found - frame.depth)[y, x]))


def error_everywhere(found: np.ndarray, frame: SyntheticFrame) -> float:
    """Median over the image, of its share of the depth."""
    return float(np.nanmedian(np.abs(found / frame.depth - 1.0)))


@pytest.mark.parametrize(
    ("motion", "people", "seed", "scale", "shift"),
    [
        ("walk", 1, 0, 0.01, 0.05),
        ("walk", 1, 0, 0.01, -0.05),
        ("walk", 2, 4, 0.2, 0.1),
        ("squat", 2, 3, 3.0, 0.03),
        ("walk", 3, 2, 0.2, 0.03),
    ],
)
def test_people_seen_at_several_distances_make_metres_everywhere(motion, people, seed, scale, shift):
    """Measured after 4 s, with 2 % noise on the map and 5 cm on joints: 0.04 to 0.10 m at joints, 1 to 3 % overall."""
    aligner = DepthAligner()
    for frame in frames(motion, people, seed):
        found = aligner(relative(frame, scale, shift, noise=0.02), skeletons(frame), frame.camera)
    assert found.shape == (480, 640)
    assert found.dtype == np.float32
    assert error_at_joints(found, frame) < 0.12
    assert error_everywhere(found, frame) < 0.05


def test_one_person_who_stands_still_makes_metres_about_them():
    aligner, frame = DepthAligner(), frames("wave", 1, 1)[0]
    found = aligner(relative(frame, shift=0.03), skeletons(frame), frame.camera)
    assert error_at_joints(found, frame) < 0.1
    assert error_everywhere(found, frame) < 0.15  # the shift cannot be known, and is taken to be small


def test_what_is_learned_grows_over_time():
    aligner = DepthAligner()
    errors = [
        error_everywhere(aligner(relative(frame, shift=0.05), skeletons(frame), frame.camera), frame)
        for frame in frames("walk", 1, 0)
    ]
    assert errors[0] > 0.15
    assert errors[-1] < 0.05


def test_flicker_of_the_network_is_smoothed():
    """Its scale jumps by 5 % from frame to frame; the fit to a person who stands still hardly follows."""
    rng, aligner, errors = np.random.default_rng(0), DepthAligner(), []
    for _ in range(4):
        for frame in frames("wave", 1, 1):
            jump = 1.0 + 0.05 * rng.standard_normal()
            found = aligner(relative(frame, scale=0.01 * jump), skeletons(frame), frame.camera)
            errors.append(float(np.nanmedian(found / frame.depth)) / jump - 1.0)
    assert np.std(errors[24:]) < 0.015
    assert abs(np.mean(errors[24:])) < 0.03
    assert error_everywhere(found / jump, frame) < 0.05


@given(factor=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_relative_depth_does_not_matter(factor):
    frame = frames("walk", 2, 4)[0]
    first, second = (
        DepthAligner()(relative(frame, scale), skeletons(frame), frame.camera) for scale in (0.01, 0.01 * factor)
    )
    np.testing.assert_allclose(second, first, rtol=1e-4)


def test_hidden_joints_do_not_matter():
    """A third of the joints behind something near: the median passes them over."""
    frame = frames("wave", 1, 1)[0]
    depth = relative(frame)
    clear = DepthAligner()(depth, skeletons(frame, 0.0), frame.camera)
    values = depth.values.copy()
    for x, y in np.round(frame.keypoints[0, [1, 2, 3, 4, 5]]).astype(int):
        values[y - 15 : y + 16, x - 15 : x + 16] = 1.0 / 1.0 / 0.01  # 1 m away
    found = DepthAligner()(replace(depth, values=values), skeletons(frame, 0.0), frame.camera)
    at = tuple(np.round(frame.keypoints[0, 8][::-1]).astype(int))
    assert found[at] == pytest.approx(clear[at], rel=0.03)


def test_what_is_unknown_is_nan():
    frame = frames("walk", 1, 0)[0]
    depth = relative(frame)
    values = depth.values.copy()
    values[:10], values[10:20], values[20:30] = np.nan, -5.0, 1.0 / (2 * FARTHEST_M) / 0.01
    found = DepthAligner()(replace(depth, values=values), skeletons(frame), frame.camera)
    assert np.isnan(found[:30]).all()
    assert np.isfinite(found[30:]).all()
    assert found[30:].min() > 0.0


def test_people_whose_distance_is_not_measured_are_not_used():
    frame = frames("walk", 1, 0)[0]
    depth, (person,) = relative(frame), skeletons(frame)
    few = np.where(np.arange(17) < 5, 1.0, 0.1)
    for unusable in (
        [],
        [replace(person, scale_source="none")],
        [replace(person, state="predicted")],
        [replace(person, state="lost")],
        [replace(person, confidence=few)],
        [replace(person, joints=np.full((17, 3), np.nan))],
        [replace(person, joints=person.joints + [50.0, 0.0, 0.0])],  # outside the image
        [replace(person, joints=person.joints * [1.0, 1.0, -1.0])],  # behind the camera
    ):
        assert DepthAligner()(depth, unusable, frame.camera) is None
    assert DepthAligner()(depth, [person], frame.camera) is not None


def test_depth_that_contradicts_the_people_is_not_aligned():
    """On the maps the farther of two people has by far the larger value, or nobody has one above zero."""
    frame = frames("walk", 2, 4)[0]
    near, far = sorted(person[:, 2].mean() for person in frame.joints)
    assert far > 1.2 * near
    upside_down = np.where(frame.depth < far + 0.3, frame.depth**6, 0.0).astype(np.float32)
    for values in (upside_down, np.zeros_like(frame.depth), -frame.depth):
        assert DepthAligner()(DepthMap(values, False, "network"), skeletons(frame), frame.camera) is None


def test_what_was_learned_is_kept_while_nobody_is_there_and_forgotten_on_reset():
    aligner, (frame, other) = DepthAligner(), frames("walk", 1, 0)[:2]
    aligner(relative(frame), skeletons(frame), frame.camera)
    assert aligner(relative(other), [], other.camera) is not None
    assert aligner(replace(relative(other), source="another"), [], other.camera) is None
    aligner(relative(frame), skeletons(frame), frame.camera)
    aligner.reset()
    assert aligner(relative(other), [], other.camera) is None


def test_metric_depth_is_passed_on_with_nan_where_invalid():
    frame = frames("walk", 1, 0)[0]
    values = frame.depth.copy()
    values[0, :3] = 0.0, -1.0, np.inf
    found = DepthAligner()(DepthMap(values, True, "sensor"), [], frame.camera)
    assert np.isnan(found[0, :3]).all()
    np.testing.assert_array_equal(found[1:], frame.depth[1:])
