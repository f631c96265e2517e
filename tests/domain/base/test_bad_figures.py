"""Figures that cannot be meant, in the files that hold them: each is refused where it stands, with what is wrong."""

from __future__ import annotations

import pytest
from interlock.domain.agents.rate_limit import parse_limits
from interlock.domain.cost.budget import Budget, contradictions, parse_budgets
from interlock.domain.cost.price import parse_prices
from interlock.domain.policy.policy import parse_policy
from interlock.errors import ConfigurationError, PolicyError


def a_price(**said):
    return {"models": [{"model": "ours", "from": "2026-01-01", "input": 1, "output": 2} | said]}


@pytest.mark.parametrize("free", [{"input": 0, "output": 0}, {"input": 0}, {"output": 0}])
def test_a_price_of_zero_needs_a_reason(free):
    told = ["prices.yaml: model 'ours' from 2026-01-01 costs nothing. Write a price, or say why under free"]

    assert parse_prices(a_price(**free)).problems() == told
    assert parse_prices(a_price(**free, free="our own machine")).problems() == []


def test_a_negative_price_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"prices.yaml cannot be used: models.0.input: .*greater than or equal"
    ):
        parse_prices(a_price(input=-1))


def test_two_prices_of_one_day_are_refused():
    twice = {"models": a_price()["models"] * 2}

    assert parse_prices(twice).problems() == ["prices.yaml: model 'ours' has two prices from 2026-01-01"]


@pytest.mark.parametrize("limit", [0, -5])
def test_a_budget_of_nothing_or_less_is_refused_in_either_file(limit):
    with pytest.raises(ConfigurationError, match=r"budgets.yaml cannot be used: budgets.0.limit: .*greater than 0"):
        parse_budgets({"budgets": [{"per": "company", "every": "day", "limit": limit}]})
    with pytest.raises(PolicyError, match=r"policy.yaml cannot be used: budgets.0.limit: .*greater than 0"):
        parse_policy({"policy": "p", "contract": "C", "budgets": [{"per": "run", "limit": limit}]})


def test_a_negative_limit_of_a_connection_is_refused():
    bad = {"limits": {"llm": {"in_flight": -1, "requests_per_minute": 0}}}

    with pytest.raises(ConfigurationError, match=r"llm.requests_per_minute: .*greater than 0; llm.in_flight: "):
        parse_limits(bad)


def test_two_budgets_that_contradict_each_other_are_told_with_both():
    day, run = Budget(per="workflow", every="day", limit=6), Budget(per="run", limit=10)

    assert contradictions([day, day.model_copy(update={"limit": 7})], where="policy.yaml") == [
        "policy.yaml: 6 USD per workflow and day and 7 USD per workflow and day contradict each other. Keep one"
    ]
    assert contradictions([run, day], where="policy.yaml") == [
        "policy.yaml: 10 USD per run can never be used up, because 6 USD per workflow and day ends before. "
        "Lower the first"
    ]
    assert contradictions([run.model_copy(update={"limit": 5}), day], where="policy.yaml") == []
