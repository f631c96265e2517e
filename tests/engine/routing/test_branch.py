from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.cases.case import CaseState
from interlock.domain.routing.routing import Router
from interlock.errors import Superseded
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import decision, payload
from workflows import POLICY, ScriptedAgent, Workflow, rewired, rows, verdict


def routed(tmp_path: Path, ledger: Ledger, *texts: str, policy: str = POLICY, **fields: object) -> Workflow:
    flow = Workflow(tmp_path, ledger, policy=policy)
    flow.up_to("route", rows(*texts, **fields))
    return flow


def test_each_case_goes_its_own_way(tmp_path: Path, ledger: Ledger):
    flow = routed(tmp_path, ledger, "sure=0.8", "sure=0.79", "nothing")

    assert flow.branch() == {"auto": 1, "fallback": 2}

    places = {key: (row["state"], row["route"], row["task"], row["attempt"]) for key, row in flow.cases().items()}
    assert places == {
        "R1": ("routed", "auto", "draft", 1),
        "R2": ("routed", "fallback", "again", 1),
        "R3": ("routed", "fallback", "again", 1),
    }
    assert verify(ledger).problems == []


def test_a_decision_keeps_the_rule_the_version_and_all_that_was_read(tmp_path: Path, sqlite_ledger: Ledger):
    flow = routed(tmp_path, sqlite_ledger, "sure=0.95", tier="standard", amount=3.0)
    flow.branch()

    [made] = flow.table(decision)
    assert (made["rule"], made["route"], made["confidence"], made["threshold"], made["decided_by"]) == (
        "certain enough",
        "auto",
        0.95,
        0.8,
        "policy:1",
    )
    inputs = next(body["body"] for body in flow.table(payload) if body["digest"] == made["inputs_digest"])
    assert inputs == {"case.amount": 3.0, "case.tier": "standard", "confidence": 0.95, "threshold": 0.8}
    assert Router.of(flow.version.bundle).decide(inputs).route == made["route"], "it can be replayed"


def test_the_second_branch_knows_that_it_is_the_second(tmp_path: Path, sqlite_ledger: Ledger):
    flow = routed(tmp_path, sqlite_ledger, "sure=0.5 surer=0.9", "sure=0.5 surer=0.6")
    flow.branch()
    flow.role("again")

    assert flow.branch("route_again") == {"auto": 1, "review": 1}
    assert {row["attempt"] for row in flow.cases().values()} == {2}


def test_a_stop_is_a_dead_letter_with_the_rule(tmp_path: Path, sqlite_ledger: Ledger):
    flow = routed(tmp_path, sqlite_ledger, "sure=0.99", amount=20000.0)

    assert flow.branch() == {"stop": 1}
    assert (flow.cases()["R1"]["state"], flow.cases()["R1"]["reason"]) == ("dead", "rule 'far too much' stops it")


def test_a_rule_that_cannot_be_evaluated_sends_the_case_to_people(tmp_path: Path, sqlite_ledger: Ledger):
    policy = POLICY.replace("case.tier == 'private'", "case.account_id.startsWith('X')")
    flow = routed(tmp_path, sqlite_ledger, "sure=0.99", policy=policy)

    assert flow.branch() == {"review": 1}
    [made] = flow.table(decision)
    assert (made["rule"], made["error"]) == ("private banking has a person", "there is no case.account_id")


def test_a_route_that_no_task_of_this_branch_serves_goes_to_people(tmp_path: Path, sqlite_ledger: Ledger):
    """The first branch serves ``fallback``, the second does not, and a policy may lead there twice."""
    policy = POLICY.replace('when: "attempt == 1"', 'when: "attempt <= 2"')
    flow = routed(tmp_path, sqlite_ledger, "sure=0.5 surer=0.5", policy=policy)
    flow.branch()
    flow.role("again")

    assert flow.branch("route_again") == {"review": 1}

    second = next(row for row in flow.table(decision) if row["task"] == "route_again")
    assert (second["rule"], second["route"]) == ("ask again", "review")
    assert "branch 'route_again' sends route 'fallback' nowhere" in second["error"]
    assert (flow.cases()["R1"]["route"], flow.cases()["R1"]["task"]) == ("review", "draft")


def test_when_not_even_people_are_served_the_case_stops(tmp_path: Path, sqlite_ledger: Ledger):
    policy = """
policy: refunds
contract: Refund
rules: [{name: cannot be told, when: "case.account_id == 'x'", route: auto}]
default: auto
gates: {leads: {routes: [review], voters: leads}}
"""
    flow = Workflow(tmp_path, sqlite_ledger, policy=policy)
    flow.wiring = rewired(route={"branches": {"auto": "draft"}}, route_again={"branches": {"auto": "draft"}})
    flow.up_to("route", rows("a"))

    assert flow.branch() == {"stop": 1}
    row = flow.cases()["R1"]
    assert (row["state"], row["route"]) == ("dead", "stop")
    assert "sends route 'review' nowhere" in row["reason"]


def test_without_a_curve_a_threshold_by_training_error_lets_nothing_go(tmp_path: Path, sqlite_ledger: Ledger):
    policy = POLICY.replace("threshold: 0.8", "threshold: {training_error: 0.03}")
    flow = routed(tmp_path, sqlite_ledger, "sure=1.0", policy=policy)

    assert flow.branch() == {"fallback": 1}
    assert [row["threshold"] for row in flow.table(decision)] == [1.01]


def test_the_threshold_comes_from_the_report_of_the_agent_that_answered(tmp_path: Path, sqlite_ledger: Ledger):
    policy = POLICY.replace("threshold: 0.8", "threshold: {training_error: 0.05}")
    flow = Workflow(tmp_path, sqlite_ledger, policy=policy)
    flow.intake(rows("sure=0.7", "sure=0.4"))
    curve = [
        {"threshold": 0.9, "coverage": 0.2, "error": 0.0},
        {"threshold": 0.6, "coverage": 0.5, "error": 0.04},
        {"threshold": 0.3, "coverage": 0.9, "error": 0.2},
    ]
    agent = ScriptedAgent(
        lambda one: verdict(one, confidence=0.7 if "0.7" in one.case["text"] else 0.4), report={"curve": curve}
    )
    flow.role("judge", agent=agent)

    assert flow.branch() == {"auto": 1, "fallback": 1}
    assert {row["threshold"] for row in flow.table(decision)} == {0.6}


def test_a_repeated_branch_decides_nothing_twice(tmp_path: Path, sqlite_ledger: Ledger):
    flow = routed(tmp_path, sqlite_ledger, "sure=0.9")
    flow.branch()

    assert flow.branch() == {}
    assert len(flow.table(decision)) == 1


def test_a_branch_that_was_superseded_decides_nothing(tmp_path: Path, sqlite_ledger: Ledger):
    from interlock.engine.routing.branch import route_cases

    flow = routed(tmp_path, sqlite_ledger, "sure=0.9")
    old = flow.session("route")
    flow.session("route")

    with pytest.raises(Superseded):
        route_cases(old)
    assert flow.table(decision) == []
    assert flow.states() == {"R1": CaseState.OPEN}
