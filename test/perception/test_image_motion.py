import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mambapose_ros.perception.image_motion import ImageMotion
from mambapose_ros.types import PersonKeypoints

BODY = np.random.default_rng(0).uniform((0, 0), (40, 100), (17, 2))


def person(x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> PersonKeypoints:
    middle = BODY.mean(axis=0)
    return PersonKeypoints(middle + (x, y) + scale * (BODY - middle), np.full(17, 0.9))


def followed(positions, interval: float = 1 / 30) -> ImageMotion:
    motion = ImageMotion.start(positions[0])
    for position in positions[1:]:
        motion = motion.seen(position, interval)
    return motion


@pytest.mark.parametrize("rate", [5.0, 30.0, 60.0])
def test_somebody_walking_on_is_where_expected(rate):
    speed = 70.0  # px/s, of somebody 100 px tall: a person walking
    motion = followed([person(speed * i / rate) for i in range(round(2 * rate))], 1 / rate)
    np.testing.assert_allclose(motion.state[:2, 1], [speed, 0.0], atol=2.0)
    last = speed * (round(2 * rate) - 1) / rate
    np.testing.assert_allclose(motion.expect(1.0).person.xy, person(last + speed).xy, atol=4.0)


def test_somebody_coming_nearer_grows():
    motion = followed([person(scale=np.exp(0.2 * i / 30)) for i in range(60)])
    expected = motion.expect(0.5).person.xy
    grown = np.ptp(expected, axis=0) / np.ptp(motion.person.xy, axis=0)
    np.testing.assert_allclose(grown, np.exp(0.1), rtol=0.02)


def test_somebody_turning_round_goes_on_turning():
    times = np.arange(60) / 30
    motion = followed([person(100.0 * t - 30.0 * t**2) for t in times])
    straight = motion.person.xy[:, 0].mean() + motion.state[0, 1] * 0.5
    truth = person(100.0 * (times[-1] + 0.5) - 30.0 * (times[-1] + 0.5) ** 2).xy[:, 0].mean()
    turned = motion.expect(0.5).person.xy[:, 0].mean()
    assert abs(turned - truth) < 0.5 * abs(straight - truth)


def test_irregular_stamps_tell_the_same_velocity():
    rng = np.random.default_rng(1)
    steps = rng.uniform(0.01, 0.15, 60)
    motion, x = ImageMotion.start(person()), 0.0
    for seconds in steps:
        x += 70.0 * seconds
        motion = motion.seen(person(x), seconds)
    assert motion.state[0, 1] == pytest.approx(70.0, abs=2.0)


def test_where_somebody_is_gets_the_less_certain_the_longer_they_are_hidden():
    motion = followed([person(2.0 * i) for i in range(30)])
    spread = np.sqrt([motion.expect(seconds).variance[0] for seconds in (0.0, 0.1, 0.5, 1.0, 2.0)])
    assert (np.diff(spread) > 0).all()
    assert spread[1] < 3.0
    assert 10.0 < spread[3] < 40.0


def test_joints_that_come_and_go_are_no_movement():
    motion = ImageMotion.start(person())
    for i in range(30):
        seen = person().xy
        seen[i % 2 :: 2] = np.nan
        seen[:3] = person().xy[:3]
        motion = motion.seen(PersonKeypoints(seen, np.full(17, 0.9)), 1 / 30)
    np.testing.assert_allclose(motion.state, 0.0, atol=1e-9)


def test_no_common_joints_are_no_movement():
    upper, lower = person().xy, person(5.0).xy
    upper[:8], lower[8:] = np.nan, np.nan
    motion = ImageMotion.start(PersonKeypoints(upper, np.ones(17))).seen(PersonKeypoints(lower, np.ones(17)), 0.1)
    np.testing.assert_allclose(motion.state, 0.0, atol=1e-9)


def test_flow_is_compared_with_where_the_person_was():
    motion = followed([person(2.0 * i) for i in range(30)])
    np.testing.assert_array_equal(motion.expect_flow().person.xy, motion.person.xy)


steps = st.tuples(st.floats(0.0, 2.0), st.floats(-500.0, 500.0), st.floats(-500.0, 500.0), st.floats(0.2, 5.0))


@settings(deadline=None, max_examples=40)
@given(st.lists(steps, max_size=30))
def test_the_filter_stays_sane_whatever_comes(sightings):
    motion = ImageMotion.start(person())
    for seconds, x, y, scale in sightings:
        motion = motion.seen(person(x, y, scale), seconds)
    assert np.isfinite(motion.state).all()
    eigenvalues = np.linalg.eigvalsh(motion.covariance)
    assert (eigenvalues > -1e-9 * np.abs(eigenvalues).max()).all()
    np.testing.assert_allclose(motion.covariance, motion.covariance.swapaxes(1, 2), atol=1e-9)
