from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from interlock.domain.policy.policy import Policy, Recovery, TrainingThreshold, parse_policy
from interlock.errors import AgentTimeout, AgentUnavailable, ConnectorUnavailable, PolicyError

RULE = {"name": "a", "when": "true", "route": "auto"}
GATE = {"routes": ["review"], "voters": "leads"}


def policy(**more: Any) -> Policy:
    return parse_policy({"policy": "p", "contract": "Ticket", **more})


def test_what_is_left_out_is_closed():
    said = policy()

    assert (said.default, said.threshold, said.rules, said.gates) == ("review", None, (), {})
    assert (said.stop_when.failed_share, said.stop_when.at_least) == (0.5, 20)


def test_a_gates_wait_and_votes_are_read():
    gate = policy(gates={"leads": {**GATE, "release_after": "1h30m", "votes": 2}}).gates["leads"]

    assert (gate.release_after, gate.votes) == (timedelta(minutes=90), 2)
    assert policy(threshold={"training_error": 0.03}).threshold == TrainingThreshold(training_error=0.03)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, r"\(whole\): Input should be a valid dictionary"),
        ([], r"\(whole\): Input should be"),
        ({"rules": [{**RULE, "wen": "x"}]}, "rules.0.wen: Extra inputs are not permitted"),
        ({"rules": [{"name": "a", "route": "auto"}]}, "rules.0.when: Field required"),
        ({"rules": [RULE, RULE]}, "two rules are named 'a'"),
        ({"checks": [{"name": "c", "that": "true"}] * 2}, "two checks are named 'c'"),
        ({"checks": [{"name": "c", "that": "true", "on_failure": "auto"}]}, "checks.0.on_failure: Input should be"),
        ({"gates": {"a": GATE, "b": GATE}}, "route 'review' is served by two gates"),
        ({"gates": {"a": {**GATE, "routes": ["auto"]}}}, "a gate lists route 'auto', which means that nobody is asked"),
        ({"gates": {"a": {**GATE, "votes": 0}}}, "gates.a.votes: Input should be greater than or equal to 1"),
        ({"gates": {"a": {**GATE, "routes": []}}}, "gates.a.routes: Tuple should have at least 1 item"),
        ({"gates": {"a": {**GATE, "release_after": "8"}}}, "gates.a.release_after: .*write 90s, 15m, 8h or 2d"),
        ({"gates": {"a": {**GATE, "release_after": "9999999999999d"}}}, "gates.a.release_after: .*longer than can be"),
        ({"threshold": "high"}, "threshold"),
        ({"threshold": {"training_error": 1.5}}, "training_error: Input should be less than 1"),
        ({"stop_when": {"failed_share": 0}}, "stop_when.failed_share: Input should be greater than 0"),
        ({"runbook": {"default": {"then": "auto"}}}, "runbook.default.then: Input should be"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(document: Any, told: str):
    whole = {"policy": "p", "contract": "Ticket", **document} if isinstance(document, dict) else document
    with pytest.raises(PolicyError, match=f"policy.yaml cannot be used: .*{told}"):
        parse_policy(whole)


def test_all_problems_are_told_at_once():
    with pytest.raises(PolicyError, match=r"threshold.*rules.0.when.*gates.g.voters"):
        policy(rules=[{"name": "a", "route": "b"}], threshold="x", gates={"g": {"routes": ["review"]}})


def test_the_runbook_answers_by_class_then_by_base_then_by_default():
    said = policy(
        runbook={
            "AgentUnavailable": {"retries": 4},
            "AgentError": {"retries": 3},
            "default": {"retries": 1},
        }
    )

    assert said.recovery(AgentUnavailable("x")).retries == 4
    assert said.recovery(AgentTimeout("x")).retries == 3
    assert said.recovery(ConnectorUnavailable("x")).retries == 1
    assert policy().recovery(AgentTimeout("x")) == Recovery()


def test_routes_are_those_of_rules_default_and_checks():
    said = policy(
        rules=[RULE], default="legal", checks=[{"name": "c", "that": "true", "on_failure": "stop"}], gates={"g": GATE}
    )

    assert said.routes() == {"auto", "legal", "stop"}
    assert (said.gate_for("review"), said.gate_for("legal")) == ("g", None)
