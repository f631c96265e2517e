"""
What a run will cost, how long it will take and how many reviews it will ask, from what earlier runs did.

Each estimate has a 90 % prediction interval: in nine of ten such runs the figure should lie in it. The interval holds
what cases differ in, and what runs differ in as far as there are several; a history that is too short gives none.

- Reviews: a run of the past is drawn, then how likely a review is (the Beta posterior of its cases, Jeffreys' prior),
  then how many of the new cases ask one (binomial). With one run this is the beta-binomial.
- What single cases cost: a run is drawn, then the mix of its cases (the Bayesian bootstrap: Rubin, *Annals of
  Statistics* 9, 1981), then the new cases from that mix.
- Time of tasks: a regression of log time on log cases, whose slope lies between 0 (all of it is set-up) and 1 (all of
  it is work), with the usual interval of Student's t for one more run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

COVERAGE = 0.9
_LOW, _HIGH = (1 - COVERAGE) / 2, (1 + COVERAGE) / 2
DRAWS = 2000
BINS = 400
"""Amounts that are distinguished."""
FEWEST_CASES = 20
"""Cases of the past below which nothing is said: an interval from fewer would be a guess."""
FEWEST_RUNS = 3
"""Runs of the past below which nobody knows how much the time of a run varies."""


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """What a run did, as far as a quote asks."""

    cases: int
    """Taken in."""
    reviewed: int
    """Of these, those that people were asked about."""
    costs: Mapping[float, int]
    """US dollars that a case of its own cost, to how many cases did; those that cost nothing too."""
    seconds: float
    """Of its tasks."""


@dataclass(frozen=True)
class Estimate:
    """A figure of a run that has not been."""

    middle: float | None
    """The median; None: not known."""
    low: float | None = None
    high: float | None = None
    """The ends of the interval; None: how much it varies is not known."""
    why: str = ""
    """Why something is not known."""

    def holds(self, actual: float) -> bool | None:
        """Return whether *actual* lies in the interval, to a millionth of it; None when there is none."""
        if self.low is None or self.high is None:
            return None
        slack = 1e-6 * max(abs(self.low), abs(self.high), 1e-9)
        return self.low - slack <= actual <= self.high + slack

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"middle": self.middle, "low": self.low, "high": self.high, "why": self.why}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Estimate:
        """Return what :meth:`to_json` gave."""
        return cls(document["middle"], document["low"], document["high"], document["why"])


def estimate(
    history: Sequence[PastRun], cases: int, *, machine_per_hour: Decimal, rng: np.random.Generator
) -> dict[str, Estimate]:
    """
    Return the estimates ``reviews``, ``seconds`` and ``usd`` of a run over *cases* new cases.

    :param history: the runs of the past that took cases in, the newest last.
    :param machine_per_hour: what the time of tasks costs now, in US dollars.
    """
    runs = [run for run in history if run.cases]
    known = sum(run.cases for run in runs)
    if known < FEWEST_CASES:
        why = f"only {known} cases are known from {len(runs)} runs; {FEWEST_CASES} are needed"
        return {name: Estimate(None, why=why) for name in ("reviews", "seconds", "usd")}
    seconds = _time(runs, cases)
    reviews, spent = _draw(runs, cases, rng)
    why = "all of it from one run: how much runs differ is not in it" if len(runs) == 1 else ""
    rate = float(machine_per_hour) / 3600
    if rate and seconds.middle is None:
        usd = Estimate(None, why=seconds.why)
    elif rate and (seconds.low is None or seconds.high is None):
        usd = Estimate(float(_quantile(spent, 0.5)) + rate * float(seconds.middle or 0.0), why=seconds.why)
    else:
        usd = _with_time(spent, seconds, rate, rng, why)
    return {"reviews": _summed_up(reviews, why), "seconds": seconds, "usd": usd}


def _draw(runs: Sequence[PastRun], cases: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return draws of the reviews asked and of what the cases of a run cost."""
    import numpy as np

    reviews, spent = [], []
    for run, times in zip(runs, np.bincount(rng.integers(len(runs), size=DRAWS), minlength=len(runs)), strict=True):
        chances = rng.beta(run.reviewed + 0.5, run.cases - run.reviewed + 0.5, size=times)
        reviews.append(rng.binomial(cases, chances))
        values, counts = _in_bins(run.costs)
        mixes = rng.dirichlet(counts, size=times) if values.size else np.zeros((times, 0))
        spent.append(rng.multinomial(cases, mixes) @ values if values.size else np.zeros(times))
    return rng.permutation(np.concatenate(reviews)), rng.permutation(np.concatenate(spent))


def _in_bins(costs: Mapping[float, int]) -> tuple[Any, Any]:
    """Return amounts and how many cases had each; where there are many, neighbours share their mean."""
    import numpy as np

    values = np.array(sorted(costs), dtype=float)
    counts = np.array([costs[value] for value in sorted(costs)], dtype=float)
    if len(values) <= BINS:
        return values, counts
    place = (np.cumsum(counts) - counts) * BINS // counts.sum()
    groups = place.astype(int)
    total = np.bincount(groups, weights=counts, minlength=BINS)
    sums = np.bincount(groups, weights=counts * values, minlength=BINS)
    return sums[total > 0] / total[total > 0], total[total > 0]


def _with_time(spent: Any, seconds: Estimate, rate: float, rng: np.random.Generator, why: str) -> Estimate:
    """Add what the time costs: its logarithm is drawn so that its interval is the one of *seconds*."""
    import numpy as np

    if not rate or seconds.middle is None or seconds.low is None or seconds.high is None or seconds.middle <= 0:
        return _summed_up(spent, why)
    spread = (math.log(seconds.high) - math.log(seconds.low)) / (2 * _NORMAL)
    return _summed_up(spent + rate * np.exp(rng.normal(math.log(seconds.middle), spread, size=DRAWS)), why)


_NORMAL = 1.6448536269514722
"""The 95 % quantile of the normal distribution."""


def _summed_up(draws: Any, why: str) -> Estimate:
    return Estimate(_quantile(draws, 0.5), _quantile(draws, _LOW), _quantile(draws, _HIGH), why)


def _quantile(draws: Any, share: float) -> float:
    import numpy as np

    way = "lower" if share < 0.5 else "higher" if share > 0.5 else "linear"
    return float(np.quantile(draws, share, method=way))  # type: ignore[call-overload]  # a name, as numpy's own


def _time(runs: Sequence[PastRun], cases: int) -> Estimate:
    """Return the estimate of the seconds that tasks take together."""
    import numpy as np

    timed = [run for run in runs if run.seconds > 0]
    if not timed:
        return Estimate(None, why="no earlier run recorded the time of its tasks")
    if not cases:
        return Estimate(None, why="a run without a new case is not like those of the past")
    x = np.log([run.cases for run in timed])
    y = np.log([run.seconds for run in timed])
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 1.0
    slope = min(max(slope, 0.0), 1.0)
    far = math.log(cases) - float(x.mean())
    middle = float(y.mean()) + slope * far
    if len(timed) < FEWEST_RUNS:
        why = f"the time of {len(timed)} earlier runs is known; {FEWEST_RUNS} are needed to say how much it varies"
        return Estimate(math.exp(middle), why=why)
    left = max(len(timed) - (2 if spread > 0 else 1), 1)
    scatter = math.sqrt(float(((y - y.mean() - slope * (x - x.mean())) ** 2).sum()) / left)
    wide = math.sqrt(1 + 1 / len(timed) + (far**2 / spread if spread > 0 else 0.0))
    half = _student(left) * scatter * wide
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def _student(degrees: int) -> float:
    """Return the 95 % quantile of Student's t distribution."""
    table = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
    return table[degrees - 1] if degrees <= len(table) else _NORMAL + 1.52 / degrees
