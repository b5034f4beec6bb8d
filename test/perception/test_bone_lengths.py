import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambapose_ros.perception.bone_lengths import BoneLengths
from mambapose_ros.skeleton import BONES, FLIP, NUM_JOINTS

PARENTS, JOINTS = np.array(BONES).T


def lengths_of(pose: np.ndarray) -> np.ndarray:
    return np.linalg.norm(pose[JOINTS] - pose[PARENTS], axis=-1)


def random_pose(rng: np.random.Generator, lengths: np.ndarray | None = None) -> np.ndarray:
    directions = rng.standard_normal((len(BONES), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    pose = np.zeros((NUM_JOINTS, 3))
    for (parent, joint), direction, length in zip(
        BONES, directions, rng.uniform(0.1, 0.5, len(BONES)) if lengths is None else lengths, strict=True
    ):
        pose[joint] = pose[parent] + length * direction
    return pose


def symmetric_lengths(rng: np.random.Generator) -> np.ndarray:
    by_joint = rng.uniform(0.1, 0.5, NUM_JOINTS)
    return np.sqrt(by_joint * by_joint[list(FLIP)])[JOINTS]


@given(st.integers(0, 2**32 - 1))
def test_directions_stay_and_sides_become_alike(seed: int) -> None:
    pose = random_pose(np.random.default_rng(seed))
    steadied = BoneLengths()("p1", pose)
    before, after = pose[JOINTS] - pose[PARENTS], steadied[JOINTS] - steadied[PARENTS]
    cosine = (before * after).sum(axis=1) / (lengths_of(pose) * lengths_of(steadied))
    np.testing.assert_allclose(cosine, 1.0, atol=1e-9)
    np.testing.assert_allclose(lengths_of(steadied), lengths_of(steadied[list(FLIP)]), rtol=1e-9)


def test_a_body_of_constant_bones_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    lengths, steady = symmetric_lengths(rng), BoneLengths()
    for _ in range(5):
        pose = random_pose(rng, lengths)
        np.testing.assert_allclose(steady("p1", pose), pose, atol=1e-9)


def test_noise_of_a_tenth_ends_below_a_hundredth() -> None:
    rng = np.random.default_rng(0)
    truth, steady = symmetric_lengths(rng), BoneLengths()
    seen = np.array(
        [
            lengths_of(steady("p1", random_pose(rng, truth * np.exp(0.1 * rng.standard_normal(len(truth))))))
            for _ in range(600)
        ]
    )
    assert (seen[300:].std(axis=0) / seen[300:].mean(axis=0)).max() < 0.01
    np.testing.assert_allclose(seen[-1], truth, rtol=0.03)


def test_uncertain_joints_count_less() -> None:
    rng = np.random.default_rng(0)
    truth, steady = symmetric_lengths(rng), BoneLengths()
    steady("p1", random_pose(rng, truth), np.full(NUM_JOINTS, 0.02**2))
    wrong = steady("p1", random_pose(rng, 2.0 * truth), np.full(NUM_JOINTS, 0.2**2))
    np.testing.assert_allclose(lengths_of(wrong), truth, rtol=0.02)


def test_people_have_their_own_bones_and_are_forgotten() -> None:
    rng = np.random.default_rng(0)
    steady, small, large = BoneLengths(), symmetric_lengths(rng), 1.5 * symmetric_lengths(rng)
    for _ in range(3):
        np.testing.assert_allclose(lengths_of(steady("p1", random_pose(rng, small))), small)
        np.testing.assert_allclose(lengths_of(steady("p2", random_pose(rng, large))), large)
    steady.keep({"p2"})
    np.testing.assert_allclose(lengths_of(steady("p1", random_pose(rng, large))), large)
    half_way = lengths_of(steady("p2", random_pose(rng, small)))
    assert half_way == pytest.approx(np.exp((3 * np.log(large) + np.log(small)) / 4), rel=0.01)
