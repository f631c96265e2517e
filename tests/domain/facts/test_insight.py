from __future__ import annotations

from typing import Any

import pytest
from interlock.domain.facts.insight import History, InsightRule, parse_insights, record_of
from interlock.errors import ConfigurationError, PolicyError


def a_rule(**changes: Any) -> InsightRule:
    given = {"name": "high", "indicators": ["x"], "when": "value > target", "title": "t", "recommendation": "r"}
    return InsightRule.model_validate(given | changes)


def test_a_record_counts_earlier_periods_whose_next_is_known():
    """The present period (the last) is what the record is for, so it is not part of it."""
    history = History(indicator="x", values=[1, 9, 9, 1, 9, 1, 9], target=5.0)
    record = record_of(a_rule(holds_when="next > target"), history)

    assert (record.fired, record.held) == (3, 1)


def test_a_rule_that_applied_seldom_has_no_confidence():
    record = record_of(a_rule(holds_when="next > target"), History(indicator="x", values=[1, 9, 9, 9], target=5.0))

    assert record.confidence is None
    assert "too few" in record.basis("week")


def test_confidence_is_never_certain():
    history = History(indicator="x", values=[9.0] * 30, target=5.0)
    record = record_of(a_rule(holds_when="next > target"), history)

    assert record.fired == record.held == 28
    assert record.confidence == 29 / 30


def test_a_rule_without_a_claim_keeps_no_record():
    assert record_of(a_rule(), History(indicator="x", values=[9.0] * 30, target=5.0)).confidence is None


def test_what_is_not_known_is_left_out():
    history = History(indicator="x", values=[None, 3.0, 0.0, 2.0])

    assert "previous" not in history.at(1)
    assert "change_percent" not in history.at(3)  # a change from zero is no percentage
    assert "target" not in history.at(3)


def test_a_rule_whose_number_is_missing_does_not_apply():
    assert a_rule().fires.evaluate(History(indicator="x", values=[9.0]).at(0)).value is None


def test_a_misspelt_variable_is_refused_with_what_was_meant():
    document = {"kpis": ["k"], "insights": [a_rule(when="valeu > 1.0").model_dump()]}

    with pytest.raises(PolicyError, match="Did you mean 'value'"):
        parse_insights(document)


def test_only_what_holds_afterwards_may_look_ahead():
    with pytest.raises(PolicyError, match="undeclared reference to 'next'"):
        parse_insights({"kpis": ["k"], "insights": [a_rule(when="next > 1.0").model_dump()]})


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="two insights are called 'high'"):
        parse_insights({"kpis": ["k"], "insights": [a_rule().model_dump(), a_rule().model_dump()]})
