"""
Alarms in a series of a KPI or a metric, from its past alone.

Seven signs are read from each observation: how far it lies from its baseline and from the level, how far it jumped, how
far the last few and the last many lie from their baseline, how the last many compare with as many before, and how
restless they are. Each becomes a p-value among the same sign's own history
(:mod:`interlock.domain.facts.tail_probability`), and the
*geometric mean* of the seven is what is judged: several signs that are each a little rare count for more than one that
is very rare, and however they depend on each other, e times that mean is still a p-value (Vovk and Wang 2020,
"Combining p-values via averaging"). The threshold follows from a budget of false alarms.

Everything is causal: a row never depends on later ones. What a reader would get wrong: a baseline that follows a new
level is meant to. An alarm says that something changed, not that it is still changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from interlock.domain.facts.baseline import Floats, baseline, lagged, running_mean, running_median
from interlock.domain.facts.tail_probability import band, rarity
from interlock.errors import InputError

FEW, MANY = 6, 24
"""Observations that a sustained change is looked for in."""
REACH = (1, 1, 1, FEW, MANY, 2 * MANY, MANY)
"""Observations that each sign is read from. It is judged after ten times as many, when it has a history to speak of."""
RAREST = 8.0
"""A sign is never rarer than 10 to the minus this: a p-value that small rests on the fitted tail alone."""
CAUTION = 40
"""Surprise shrinks by n / (n + 40) where n observations came before, because few make a poor picture of what is usual.
That keeps the false alarms of white noise at the same rate from the 50th observation to the 20,000th."""
REFRACTORY_SHARE, REFRACTORY_MOST = 20, 100


class Detector(BaseModel):
    """How a series is watched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    period: Annotated[int, Field(ge=2)] | None = None
    """Observations a season: 288 for five-minute data with a daily rhythm. Default: it is found from the data."""
    window: Annotated[int, Field(ge=40)] = 4000
    """Observations of history that count. A quarter of them make up the level."""
    false_alarms: Annotated[float, Field(ge=0.1, le=5)] = 1.0
    """Alarms per 1,000 observations that are accepted where nothing is wrong."""
    refractory: Annotated[int, Field(ge=0)] | None = None
    """
    An alarm goes on until so many observations in a row give no cause for it, and only then may another begin. Left
    out, it is a twentieth of the history so far, at most 100.
    """
    direction: Literal["both", "up", "down"] = "both"
    """Which departures count: "down" for sales, "up" for errors."""
    min_history: Annotated[int, Field(ge=20)] = 50
    """Observations before anything is judged."""

    @model_validator(mode="after")
    def _fits(self) -> Detector:
        if self.min_history > self.window:
            raise ValueError(
                f"'min_history' is {self.min_history} and 'window' is {self.window}: history that does not count is "
                "never enough. Raise 'window' or lower 'min_history'."
            )
        return self


SIGNS = {
    "season": "it is far from what this place of the season usually shows",
    "level": "it is far from the level of the series",
    "jump": "it is far from the observation before",
    "lasting": f"the last {FEW} are far from what was expected",
    "persistent": f"the last {MANY} are far from what was expected",
    "shift": f"the last {MANY} are far from the {MANY} before them",
    "restless": f"the last {MANY} move more, or less, than they used to",
}
"""What an alarm can rest on, in words."""
NAMES = tuple(SIGNS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What is said of each observation."""

    values: Floats
    expected: Floats
    """NaN where nothing came before."""
    low: Floats
    high: Floats
    """99 of 100 past observations lay so close to what was expected of them. NaN before ``min_history``."""
    score: Floats
    """0 to 1: 1 less the geometric mean of the signs' p-values. 0 where nothing is judged."""
    sign: npt.NDArray[np.int64]
    """The rarest sign, as a place in :data:`NAMES`."""
    threshold: float
    """A score at or above this is cause for an alarm."""
    judged: int
    """Observations that were judged: 0 means that there is not enough history."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alarm, however many observations gave cause for it."""

    index: int
    """Where it began."""
    value: float
    expected: float
    low: float
    high: float
    score: float
    sign: str
    """The rarest sign when it began; :data:`SIGNS` has the words."""
    last: int
    """The last observation that gave cause for it. Alone of all fields it grows as the series does."""


def detect(values: Sequence[float] | Floats, detector: Detector) -> list[Alarm]:
    """
    Return the alarms in *values*, oldest first. There is none before ``min_history`` observations.

    :param values: evenly spaced, oldest first; NaN where one is missing.
    :raises InputError: *values* is not one row of numbers.
    """
    return alarms_of(score(values, detector), detector)


def score(values: Sequence[float] | Floats, detector: Detector) -> Scored:
    """
    Return what is said of each of *values*, as :func:`detect` judges them.

    :raises InputError: *values* is not one row of numbers.
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise InputError(f"values of shape {series.shape} are not one series. Give one row of numbers, oldest first.")
    series = np.where(np.isfinite(series), series, np.nan)
    start = detector.min_history
    expected = baseline(series, period=detector.period, window=max(detector.window // 4, 10), start=start)
    rarest, total, signs = np.zeros(len(series)), np.zeros(len(series)), np.zeros(len(series))
    sign = np.zeros(len(series), dtype=np.int64)
    for number, (reading, two_sided) in enumerate(_readings(series, expected, detector)):
        begin = max(start, 10 * REACH[number])
        high, low = rarity(reading, window=detector.window, start=begin)
        if two_sided:
            chance = np.minimum(2 * np.minimum(high, low), 1.0)
        else:
            chance = high if detector.direction == "up" else low
        surprise = np.minimum(-np.log10(np.maximum(chance, 10**-RAREST)), RAREST)
        total += surprise
        signs[begin:] += 1
        sign[surprise > rarest] = number
        rarest = np.maximum(rarest, surprise)
    seen = np.cumsum(np.isfinite(series))
    believed = total / np.maximum(signs, 1) * seen / (seen + CAUTION)
    judged = np.isfinite(series) & (np.arange(len(series)) >= start)
    low, high = band(series - expected, window=detector.window, start=start)
    return Scored(
        values=series,
        expected=expected,
        low=expected + low,
        high=expected + high,
        score=np.where(judged, 1 - 10**-believed, 0.0),
        sign=sign,
        threshold=_threshold(detector),
        judged=int(judged.sum()),
    )


def alarms_of(scored: Scored, detector: Detector) -> list[Alarm]:
    """Return the alarms in what :func:`score` said, oldest first."""
    found: list[tuple[int, int]] = []
    for index in np.flatnonzero(scored.score >= scored.threshold).tolist():
        quiet = detector.refractory
        if quiet is None:
            quiet = min(index // REFRACTORY_SHARE, REFRACTORY_MOST)
        if found and index - found[-1][1] <= quiet:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return [
        Alarm(
            index=first,
            value=float(scored.values[first]),
            expected=float(scored.expected[first]),
            low=float(scored.low[first]),
            high=float(scored.high[first]),
            score=float(scored.score[first]),
            sign=NAMES[scored.sign[first]],
            last=last,
        )
        for first, last in found
    ]


def _readings(series: Floats, expected: Floats, detector: Detector) -> list[tuple[Floats, bool]]:
    """Return the signs in the order of :data:`NAMES`, and whether each is read at both ends."""
    apart = series - expected
    step = series - lagged(series, 1)
    many = running_mean(series, MANY)
    # Subtracting leaves a residue: what is smaller than any real difference of this series is none.
    nothing = 1e-12 * np.maximum.accumulate(np.nan_to_num(np.abs(series)))
    signs = [
        apart,
        series - running_median(series, max(detector.window // 4, 10)),
        step,
        running_mean(apart, FEW),
        running_mean(apart, MANY),
        many - lagged(many, MANY),
    ]
    both = detector.direction == "both"
    read = [(np.where(np.abs(sign) <= nothing, 0.0, sign), both) for sign in signs]
    if both:  # unrest has no direction
        read.append((running_mean(np.abs(read[2][0]), MANY), True))
    return read


def _threshold(detector: Detector) -> float:
    """
    Return the score that keeps the budget of false alarms.

    Because p-values are judged, one line serves every series. It was read off simulations of white, autoregressive,
    seasonal and counted noise of 2,000 to 20,000 observations, for budgets from 0.1 to 4 in a thousand.
    """
    certain = 1.7 if detector.direction == "both" else 1.9  # the signs of one direction agree more often by chance
    return float(1 - 10 ** -(certain - 0.9 * np.log10(detector.false_alarms)))
