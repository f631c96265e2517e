"""Whether the season is found and the expected value is the usual one at its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock.domain.facts.baseline import baseline, find_period, lagged, running_mean, running_median

NOISE = np.random.default_rng(0).standard_normal(4000)
TIME = np.arange(4000)


@pytest.mark.parametrize("period", [7, 12, 24, 52, 288])
def test_a_season_is_found(period: int):
    # Not a sine: what repeats once a day at 9 is a season as well.
    wave = 8.0 * (TIME % period < period / 4) + 3 * np.sin(2 * np.pi * TIME / period)

    assert find_period(wave + NOISE + 0.01 * TIME) == pytest.approx(period, abs=1)


def test_noise_drift_and_too_few_seasons_have_no_season():
    assert find_period(NOISE) is None
    assert find_period(np.cumsum(NOISE[:500]) / 1000 + TIME[:500]) is None
    assert find_period(np.sin(2 * np.pi * TIME[:280] / 100)) is None
    assert find_period(np.full(100, 0.1)) is None
    assert find_period(np.full(100, np.nan)) is None


def test_a_trend_and_a_season_are_both_followed():
    truth = 5 * np.sin(2 * np.pi * TIME / 24) + 0.05 * TIME
    expected = baseline(truth, period=24, window=1000, start=50)

    assert np.abs(expected[200:] - truth[200:]).max() < 0.7  # half a season's slope
    assert np.isnan(expected[0])


def test_one_odd_season_does_not_become_the_usual_one():
    wave = 5 * np.sin(2 * np.pi * TIME[:1000] / 24)
    wave[480:504] += 100

    expected = baseline(wave, period=24, window=1000, start=50)

    assert np.abs(expected[552:] - wave[552:]).max() < 0.1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-9, 9).map(float), st.just(float("nan"))), max_size=90),
    st.sampled_from([1, 2, 5, 60, 61, 500]),
)
def test_running_readings_are_what_numpy_says_of_each_stretch(values: list[float], window: int):
    series = np.array(values)
    median, mean = running_median(series, window), running_mean(series, window)

    for at in range(len(values)):
        if window <= 60 or at < 20 or at % 20 == 0:
            past = [v for v in values[max(0, at - window) : at] if v == v]
            assert median[at] == pytest.approx(np.median(past) if past else np.nan, nan_ok=True)
        here = [v for v in values[max(0, at - window + 1) : at + 1] if v == v]
        assert mean[at] == pytest.approx(np.mean(here) if 2 * len(here) > window else np.nan, nan_ok=True, abs=1e-9)


def test_a_lag_longer_than_the_series_leaves_nothing():
    assert np.isnan(lagged(np.ones(3), 5)).all()
    assert lagged(np.array([1.0, 2.0, 3.0]), 1).tolist()[1:] == [1.0, 2.0]
