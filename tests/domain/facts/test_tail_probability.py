"""Whether a p-value is uniform where nothing is wrong, and goes on where the history ends."""

from __future__ import annotations

import numpy as np
import pytest
from interlock.domain.facts.tail_probability import band, rarity

DRAWN = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy": lambda rng, n: rng.standard_t(3, n),
    "skewed": lambda rng, n: np.exp(rng.standard_normal(n)),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
}


@pytest.mark.parametrize("kind", sorted(DRAWN))
def test_a_chance_of_one_in_so_many_comes_no_more_often(kind: str):
    rng = np.random.default_rng(11)
    high, low = rarity(DRAWN[kind](rng, 100_000), window=4000, start=1000)

    for chance in (0.1, 0.01, 0.001):
        for side in (high, low):
            expected = chance * 99_000
            assert (side[1000:] <= chance).sum() <= 1.25 * expected + 3 * expected**0.5


def test_what_was_never_seen_is_rarer_the_farther_it_is():
    rng = np.random.default_rng(12)
    series = rng.standard_normal(2000)
    chances = []
    for far in (4, 5, 6, 9):
        series[1990] = far
        chances.append(rarity(series, window=4000, start=100)[0][1990])

    assert chances == sorted(chances, reverse=True)
    assert 1e-6 < chances[0] < 1e-3
    assert chances[-1] < 1e-5


def test_before_the_start_and_where_nothing_is_there_nothing_is_rare():
    series = np.concatenate([np.arange(60.0), [np.nan, 1e9]])
    high, low = rarity(series, window=4000, start=50)

    assert (high[:50] == 1).all()
    assert (high[60], low[60]) == (1, 1)
    assert high[61] < 0.1


def test_a_band_holds_99_of_100():
    series = np.random.default_rng(13).standard_normal(20_000)
    low, high = band(series, window=4000, start=100)
    judged = slice(4000, None)

    assert ((series >= low) & (series <= high))[judged].mean() == pytest.approx(0.99, abs=0.003)
