"""
How rare a value is among those before it, as a probability that goes on where the history ends.

Inside the history it is the share of values at least as high (a conformal p-value). Past its high end, where a share
could only say "none so far", a generalised Pareto tail is fitted to the largest ones (peaks over threshold: Siffer et
al. 2017, "Anomaly Detection in Streams with Extreme Value Theory"), by probability-weighted moments (Hosking and Wallis
1987), which need no search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STEP = 50
"""Observations between two readings of the history."""
SHARE = 0.02
"""Of the history that counts as its tail, but at least ten values."""
FEWEST = 10
ABSURD = 20
"""An excess counts as at most so many times the median one; what even a heavy tail (shape 0.5) hardly reaches."""


def rarity(values: Floats, *, window: int, start: int) -> tuple[Floats, Floats]:
    """
    Return the chance of a value as high, and of one as low, as each of *values*; 1 before *start* and where missing.

    The value at row *t* depends on rows before *t* and on the row itself.

    :param window: values of history that count.
    :param start: values before anything is said.
    """
    high, low = np.ones(len(values)), np.ones(len(values))
    for begin in range(start, len(values), STEP):
        past = values[max(0, begin - window) : begin]
        past = np.sort(past[np.isfinite(past)])
        if len(past) < max(start // 2, FEWEST):
            continue
        here = slice(begin, begin + STEP)
        high[here] = _exceedance(past, values[here])
        low[here] = _exceedance(-past[::-1], -values[here])
    return np.where(np.isfinite(values), high, 1.0), np.where(np.isfinite(values), low, 1.0)


def _exceedance(past: Floats, now: Floats) -> Floats:
    """Return the chance of a value of at least *now*, given a sorted *past*."""
    count = len(past)
    share = np.minimum((count - np.searchsorted(past, now) + 1) / (count + 1), 1.0)
    many = max(int(SHARE * count), FEWEST)
    edge = past[max(count - 1 - many, 0)]
    excess = past[past > edge] - edge
    if len(excess) < 5:
        # A history without a tail: nearly all of it is one value. What goes past its end is as rare as can be said.
        return np.where(now > past[-1], share * 0.01, share)
    # One absurd value would stretch the tail until it left the history, and hide whatever came in between.
    excess = np.minimum(excess, ABSURD * excess[len(excess) // 2])
    weight = np.arange(len(excess) - 1, -1, -1) / (len(excess) - 1)
    mean, weighted = float(excess.mean()), float((weight * excess).mean())
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else 1.0
    # Few values say little about the shape: it is drawn to 0.1, a little heavier than exponential.
    shape = float(np.clip((shape * len(excess) + 0.1 * FEWEST) / (len(excess) + FEWEST), 0.01, 0.9))
    scale = mean * (1 - shape)
    beyond = len(excess) / count * (1 + shape * np.maximum(now - edge, 0) / scale) ** (-1 / shape)
    return np.where(now > edge, np.minimum(beyond, 1.0), share)


def band(values: Floats, *, window: int, start: int) -> tuple[Floats, Floats]:
    """Return between which two values 99 of 100 of the last *window* lay, read as :func:`rarity` reads; else NaN."""
    low, high = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for begin in range(start, len(values), STEP):
        past = values[max(0, begin - window) : begin]
        past = past[np.isfinite(past)]
        if len(past):
            low[begin : begin + STEP], high[begin : begin + STEP] = np.quantile(past, [0.005, 0.995])
    return low, high
