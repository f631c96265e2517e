"""
What a series was expected to show, judged from its past alone: its season, and the usual value at this place in it.

Everything here is causal: the value at row *t* depends on rows before *t* only, so a series that grows never changes
what was said of its beginning. Missing observations are NaN and count for nothing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SEASONS = 7
"""So many seasons back: with daily seasons a week, so that a weekend is no surprise and one odd day is outvoted."""
GROWTH = 1.3
"""The season is searched for again each time the history has grown by this factor."""
EXACT = 60
STEP = 20
"""Observations between two readings of a running median, where its window is longer than ``EXACT``."""
SHORTEST = 4
"""A season has at least so many observations."""


def baseline(values: Floats, *, period: int | None, window: int, start: int) -> Floats:
    """
    Return the expected value of each observation; NaN where nothing came before.

    Where there is a season it is the level of the last season, and on it the median of how far the observations at the
    same place of the last seven seasons lay from the level of theirs: a trend moves both and cancels, a new level is
    followed within a season. Elsewhere it is the median of the last *window* observations.

    :param period: observations a season; None looks for it.
    :param start: observations before a season is looked for.
    """
    level = running_median(values, window)
    cuts = [0]
    at = float(max(start, 3 * SHORTEST))
    while period is None and at < len(values):
        cuts.append(int(at))
        at *= GROWTH
    expected = level
    known: dict[int, Floats] = {}
    for begin, end in pairwise([*cuts, len(values)]):
        season = period or find_period(values[max(0, begin - 2 * window) : begin])
        if season is None:
            continue
        if season not in known:
            known[season] = _seasonal(values, season)
        part = known[season][begin:end]
        expected[begin:end] = np.where(np.isnan(part), level[begin:end], part)
    return expected


def find_period(values: Floats) -> int | None:
    """
    Return after how many observations *values* repeat, or None when they do not, or not often enough to say.

    It is the shortest lag whose autocorrelation is a peak, nearly as high as the highest and above 0.2; lags before
    the autocorrelation first falls below zero are only slowness. Three seasons must have been seen.
    """
    seen = np.isfinite(values)
    count = len(values)
    if count < 3 * SHORTEST or seen.sum() < count // 2:
        return None
    time = np.arange(count, dtype=np.float64) - count / 2
    filled = np.where(seen, values, np.median(values[seen]))
    scale = float(np.abs(filled).max())
    if float(np.ptp(filled)) <= 1e-9 * scale:
        return None
    flat = filled - filled.mean()
    flat = flat - time * float(time @ flat) / float(time @ time)
    low, high = np.quantile(flat, [0.02, 0.98])
    clipped = np.clip(flat, low, high)
    clipped = clipped - clipped.mean()
    if float(clipped @ clipped) <= count * (1e-9 * scale) ** 2:
        return None
    size = 1 << (2 * count - 1).bit_length()
    spectrum = np.fft.rfft(clipped, size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, size)[: count // 3 + 1] / (count - np.arange(count // 3 + 1))
    correlation /= correlation[0]
    below = np.flatnonzero(correlation < 0)
    if not len(below):
        return None
    lags = np.arange(max(SHORTEST, int(below[0])), len(correlation) - 1)
    here = correlation[lags]
    peaks = lags[(here >= correlation[lags - 1]) & (here >= correlation[lags + 1]) & (here >= 0.2)]
    if not len(peaks):
        return None
    height = correlation[peaks]
    return int(peaks[height >= 0.9 * height.max()][0])


def running_median(values: Floats, window: int) -> Floats:
    """
    Return the median of the *window* observations before each one; NaN at the start.

    A window of more than sixty is read again every twenty observations.
    """
    if window <= EXACT:
        before = np.concatenate([np.full(window, np.nan), values[:-1]])
        return _median(np.lib.stride_tricks.sliding_window_view(before, window)[: len(values)].T)
    result = np.full(len(values), np.nan)
    marks = [*range(1, min(STEP, len(values))), *range(STEP, len(values), STEP)]
    for begin, end in pairwise([*marks, len(values)]):
        past = values[max(0, begin - window) : begin]
        past = past[np.isfinite(past)]
        if len(past):
            result[begin:end] = np.median(past)
    return result


def running_mean(values: Floats, length: int) -> Floats:
    """Return the mean of the last *length* observations, this one included; NaN where half of them are missing."""
    # Summed again for each, not as the difference of two running sums: those never get over one huge value.
    padded = np.concatenate([np.full(length, np.nan), values])
    stretch = np.lib.stride_tricks.sliding_window_view(padded, length)[1:]
    seen = np.isfinite(stretch)
    known = seen.sum(axis=1)
    mean = np.where(seen, stretch, 0.0).sum(axis=1) / np.maximum(known, 1)
    return np.where(2 * known > length, mean, np.nan)


def lagged(values: Floats, lag: int) -> Floats:
    """Return the observation *lag* before each one; NaN where there is none."""
    return np.concatenate([np.full(min(lag, len(values)), np.nan), values[: max(len(values) - lag, 0)]])


def _seasonal(values: Floats, period: int) -> Floats:
    level = running_median(values, period)
    level[:period] = np.nan  # the level of less than a season depends on where in it the series began
    apart = values - level
    return level + _median(np.stack([lagged(apart, period * back) for back in range(1, SEASONS + 1)]))


def _median(rows: Floats) -> Floats:
    """Return the median of each column, of what is there in it: many times faster than numpy's ``nanmedian``."""
    ordered = np.sort(rows, axis=0)  # NaN goes last
    known = np.isfinite(ordered).sum(axis=0)
    column = np.arange(rows.shape[1])
    middle = ordered[np.maximum(known - 1, 0) // 2, column] + ordered[np.minimum(known // 2, len(rows) - 1), column]
    return np.where(known > 0, middle / 2, np.nan)
