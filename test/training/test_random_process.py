import numpy as np
import pytest

from mambapose_ros.training.random_process import log_uniform, runs, slow_noise


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("rate", [10.0, 30.0, 120.0])
def test_slow_noise_is_stationary_and_correlated_in_seconds(rate):
    """Variance within 5 %; correlation that of Matérn 3/2 within 0.03 where the rate resolves it."""
    time_scale = 0.1
    noise = slow_noise(rng(), np.full(4000, 1.0 / rate), 40, 1, time_scale)[..., 0]
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise[:, [0, 1, 20, 39]].var(axis=0), 1.0, atol=0.08)
    for lag in (1, 3, 10):
        t = lag / rate / time_scale
        measured = (noise[:, lag:] * noise[:, :-lag]).mean()
        assert measured == pytest.approx((1.0 + t) * np.exp(-t), abs=0.03 if rate > 20 else 0.12)


def test_runs_start_as_often_and_last_as_long_as_asked():
    """Within 10 %."""
    interval, rate, duration = np.full(400, 1 / 30), 0.5, 0.4
    state = runs(rng(), interval, np.full((400, 300, 1), rate, np.float32), duration)[..., 0]
    starts = (state[:, 1:] & ~state[:, :-1]).sum()
    seconds_without = (~state[:, :-1]).sum() / 30
    assert starts / seconds_without == pytest.approx(rate, rel=0.1)
    assert state.sum() / 30 / starts == pytest.approx(duration, rel=0.1)


def test_log_uniform_has_its_median_in_the_geometric_middle():
    values = log_uniform(rng(), (1.0, 100.0), 10000)
    assert 1.0 <= values.min() < values.max() <= 100.0
    assert np.median(values) == pytest.approx(10.0, rel=0.05)
