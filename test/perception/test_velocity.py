import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.perception.velocity import JointVelocities

FRAME_NS = 33_333_333


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_steady_motion_is_measured_exactly_at_any_rate(seed):
    rng = np.random.default_rng(seed)
    velocities, speed, place = JointVelocities(), rng.normal(size=(17, 3)), rng.normal(size=(17, 3))
    stamps = np.cumsum(rng.integers(10_000_000, rng.choice([200_000_000, 1_000_000_000]), 12))
    for number, stamp in enumerate(stamps.tolist()):
        found = velocities(stamp, {"p1": place + speed * stamp * 1e-9})["p1"]
        assert found.shape == (17, 3)
        if number:
            np.testing.assert_allclose(found, speed, atol=1e-6)
        else:
            assert np.isnan(found).all()


def test_one_gross_error_does_not_matter():
    velocities = JointVelocities()
    for i in range(8):
        found = velocities(i * FRAME_NS, {"p1": np.full((17, 3), 0.02 * i + (5.0 if i == 4 else 0.0))})
    np.testing.assert_allclose(found["p1"], 0.02 / (FRAME_NS * 1e-9), rtol=0.1)


def test_everybody_has_their_own_and_a_gap_starts_anew():
    velocities = JointVelocities()
    for i in range(3):
        found = velocities(i * FRAME_NS, {"a": np.full((17, 3), 0.1 * i), "b": np.full((17, 3), -0.2 * i)})
    np.testing.assert_allclose(found["a"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(found["b"], -6.0, rtol=1e-6)
    assert np.isnan(velocities(3 * FRAME_NS + 10**9, {"a": np.zeros((17, 3))})["a"]).all()


def test_joints_without_a_place_have_no_velocity():
    velocities = JointVelocities()
    for i in range(3):
        place = np.full((17, 3), 0.1 * i)
        place[4] = np.nan
        found = velocities(i * FRAME_NS, {"p1": place})["p1"]
    assert np.isnan(found[4]).all()
    np.testing.assert_allclose(np.delete(found, 4, axis=0), 3.0, rtol=1e-6)


def test_where_somebody_was_predicted_to_be_tells_nothing_once_they_are_seen_again():
    velocities = JointVelocities()
    walk = [np.full((17, 3), 0.04 * i) for i in range(20)]
    for i in range(6):
        velocities(i * FRAME_NS, {"p1": walk[i]})
    for i in range(6, 16):  # hidden, and taken to have stopped
        found = velocities(i * FRAME_NS, {"p1": walk[5]}, predicted=["p1"])["p1"]
        assert np.linalg.norm(found, axis=1).max() < 2.2
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    assert np.isnan(velocities(16 * FRAME_NS, {"p1": walk[16]})["p1"]).all()
    found = velocities(17 * FRAME_NS, {"p1": walk[17]})["p1"]
    np.testing.assert_allclose(found, 0.04 / (FRAME_NS * 1e-9), rtol=1e-6)
