"""Estimates before a run: wide where little is known, none where nothing is, and right as often as they say."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from interlock.domain.reports.quote import Estimate, PastRun, estimate

FREE = Decimal(0)


def a_run(cases: int = 100, *, reviewed: int = 20, each: float = 0.01, seconds: float = 60.0) -> PastRun:
    return PastRun(cases=cases, reviewed=reviewed, costs={each: cases}, seconds=seconds)


def of(history, cases=100, *, rate=FREE, seed=1):
    return estimate(history, cases, machine_per_hour=rate, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("history", [[], [a_run(19, reviewed=3)], [a_run(0, reviewed=0)] * 5])
def test_nothing_is_said_from_fewer_than_twenty_cases(history):
    found = of(history)

    assert {one.middle for one in found.values()} == {None}
    assert all("cases are known from" in one.why for one in found.values())


def test_from_one_run_the_reviews_have_the_interval_of_the_beta_binomial():
    """Its ends, by summing the exact distribution for 20 of 100 seen and 100 to come: 11 and 31."""
    found = of([a_run()])["reviews"]

    assert (found.low, found.high) == (pytest.approx(11, abs=1), pytest.approx(31, abs=1))
    assert found.why == "all of it from one run: how much runs differ is not in it"


def test_no_review_in_the_past_is_no_promise_that_there_will_be_none():
    found = of([a_run(20, reviewed=0)])["reviews"]

    assert found.low == 0
    assert found.high is not None
    assert found.high >= 5


def test_an_interval_is_wider_where_fewer_cases_are_known_and_where_runs_differ():
    def width(history):
        found = of(history, 1000)["reviews"]
        return found.high - found.low

    few, many = [a_run(50, reviewed=10)], [a_run(5000, reviewed=1000)]
    assert width(few) > 2 * width(many)
    assert width([a_run(5000, reviewed=500), a_run(5000, reviewed=1500)]) > 3 * width(many)


def test_the_time_has_an_interval_from_three_runs_on_and_says_so_before():
    two, three = [a_run(seconds=50), a_run(seconds=60)], [a_run(seconds=s) for s in (50, 60, 70)]

    assert of(two)["seconds"].middle == pytest.approx(54.8, abs=0.1)
    assert (of(two)["seconds"].low, "2 earlier runs" in of(two)["seconds"].why) == (None, True)
    found = of(three)["seconds"]
    assert found.low < 50 < 70 < found.high


def test_time_grows_with_cases_as_it_did_and_never_faster():
    runs = [a_run(n, seconds=30 + n * 0.1) for n in (100, 1000, 10_000)]

    small, large = of(runs, 100)["seconds"].middle, of(runs, 10_000)["seconds"].middle
    assert 10 < large / small < 100
    assert of([a_run(n, seconds=60) for n in (30, 100, 1000)], 10**6)["seconds"].middle == pytest.approx(60)


def test_the_cost_adds_what_cases_and_what_the_time_of_tasks_cost():
    runs = [a_run(each=0.02, seconds=s) for s in (3590, 3600, 3610)]

    assert of(runs)["usd"].middle == pytest.approx(2.0)
    assert of(runs, rate=Decimal(5))["usd"].middle == pytest.approx(7.0, abs=0.1)
    unknown = of([a_run(each=0.02, seconds=3600)], rate=Decimal(5))["usd"]
    assert (unknown.middle, unknown.low) == (pytest.approx(7.0, abs=0.1), None)


@pytest.mark.parametrize("n_runs", [1, 6])
def test_nine_of_ten_intervals_hold_what_comes(n_runs):
    """Simulated: cases of one kind, costs of three sizes, times that scatter; both ends together miss one in ten."""
    rng, held = np.random.default_rng(7), {"reviews": 0, "usd": 0, "seconds": 0}

    def simulated(cases: int) -> PastRun:
        spent = rng.choice([0.0, 0.01, 0.3], p=[0.5, 0.4, 0.1], size=cases)
        values, counts = np.unique(spent, return_counts=True)
        seconds = 0.1 * cases * float(np.exp(rng.normal(0, 0.3)))
        costs = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return PastRun(cases=cases, reviewed=int(rng.binomial(cases, 0.2)), costs=costs, seconds=seconds)

    trials = 120
    for _ in range(trials):
        said = estimate([simulated(200) for _ in range(n_runs)], 150, machine_per_hour=FREE, rng=rng)
        run = simulated(150)
        came = {"reviews": run.reviewed, "seconds": run.seconds, "usd": sum(c * n for c, n in run.costs.items())}
        for name, value in came.items():
            held[name] += said[name].holds(value) is True

    assert held["reviews"] / trials > 0.82
    assert held["usd"] / trials > 0.82
    assert held["seconds"] / trials > 0.82 or n_runs == 1


def test_what_has_no_interval_neither_holds_nor_fails():
    assert Estimate(5.0).holds(5.0) is None
    assert Estimate.from_json(Estimate(1.0, 0.5, 2.0, "why").to_json()) == Estimate(1.0, 0.5, 2.0, "why")
