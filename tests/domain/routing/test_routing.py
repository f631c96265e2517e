from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.contract import Contract
from interlock.domain.base.expression import variable_types
from interlock.domain.policy.policy import parse_policy
from interlock.domain.routing.routing import NEVER, Router, uncertain_if_unknown
from interlock.errors import PolicyError


class Ticket(Contract):
    text: str = ""
    tier: str | None = None


TYPES = variable_types({"Ticket": Ticket.model_json_schema()}, "Ticket")


def router(*rules: tuple[str, str], default: str = "review", checks: list[dict[str, str]] | None = None) -> Router:
    written = [{"name": f"rule {n}", "when": when, "route": route} for n, (when, route) in enumerate(rules, 1)]
    return Router(
        parse_policy(
            {"policy": "p", "contract": "Ticket", "rules": written, "default": default, "checks": checks or []}
        ),
        TYPES,
    )


def test_the_first_rule_that_matches_decides():
    said = router(("attempt == 2", "stop"), ("attempt == 1", "auto"), ("true", "legal")).decide({"attempt": 1})

    assert (said.rule, said.route, said.error) == ("rule 2", "auto", None)


def test_when_no_rule_matches_the_default_decides():
    said = router(("attempt == 2", "auto")).decide({"attempt": 1})

    assert (said.rule, said.route) == ("no rule fits, the policy's default", "review")


def test_a_decision_records_what_was_read_up_to_the_rule_that_matched():
    rules = router(("case.text == 'x'", "stop"), ("attempt == 1", "auto"), ("confidence > 0.5", "legal"))

    assert rules.decide({"case.text": "y", "attempt": 1, "confidence": 0.9}).inputs == {"case.text": "y", "attempt": 1}


def test_a_rule_that_cannot_be_evaluated_holds_the_case_back():
    said = router(("case.tier == 'private'", "stop"), ("true", "auto")).decide({"case.tier": None})

    assert (said.rule, said.route, said.error) == ("rule 1", "review", "there is no case.tier")


@pytest.mark.parametrize("confidence", [{}, {"confidence": None}])
def test_no_confidence_counts_as_uncertain(confidence: dict[str, Any]):
    held = router(("confidence < 0.9", "review"), ("true", "auto"))
    certain = router(("confidence >= threshold", "auto"))

    assert held.decide(confidence).rule == "rule 1"
    assert certain.decide({**confidence, "threshold": 0.1}).route == "review"
    assert certain.decide({**confidence, "threshold": None}).route == "review"
    assert held.decide(confidence).inputs == {"confidence": None}, "what was unknown is recorded as unknown"


@given(st.floats(0, 1))
def test_no_confidence_reaches_a_threshold_that_is_not_known(confidence: float):
    assert router(("confidence >= threshold", "auto")).decide({"confidence": confidence}).route == "review"


def test_never_is_above_every_confidence():
    assert NEVER > 1.0
    assert uncertain_if_unknown({"confidence": None}) == {"confidence": 0.0, "threshold": NEVER}
    assert uncertain_if_unknown({"confidence": 0.4, "threshold": 0.2}) == {"confidence": 0.4, "threshold": 0.2}


@given(st.none() | st.floats(0, 1), st.none() | st.floats(0, 1.01), st.integers(1, 3), st.none() | st.text())
def test_a_decision_can_be_replayed_from_what_it_recorded(confidence, threshold, attempt, tier):
    rules = router(
        ("attempt == 3", "stop"), ("confidence >= threshold", "auto"), ("case.tier == 'x'", "legal"), default="fallback"
    )
    said = rules.decide({"confidence": confidence, "threshold": threshold, "attempt": attempt, "case.tier": tier})

    assert rules.decide(said.inputs) == said


def test_checks_that_fail_or_cannot_be_evaluated_are_told():
    rules = router(
        checks=[
            {"name": "short", "that": "size(case.text) < 3"},
            {"name": "tiered", "that": "case.tier != ''"},
            {"name": "fine", "that": "true"},
        ]
    )

    assert [(check.name, error) for check, error in rules.failed_checks({"case.text": "long"})] == [
        ("short", None),
        ("tiered", "there is no case.tier"),
    ]


def test_a_rule_that_does_not_compile_is_refused():
    with pytest.raises(PolicyError, match=r"case.txt"):
        router(("case.txt == ''", "auto"))
