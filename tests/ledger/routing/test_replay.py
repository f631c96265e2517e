"""Replaying decisions that the in-process workflow really made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from interlock.domain.data.source import SourceRow
from interlock.domain.routing.replay import Comparison
from interlock.engine.approvals import review_action
from interlock.engine.approvals.resubmission import resubmit
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.routing.replay import replay_policy
from interlock.errors import InputError, PolicyError
from interlock.ledger.policy.version import in_force
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import case_secret, decision, payload
from sqlalchemy import delete
from workflows import CONTRACTS, NAME, POLICY, ScriptedAgent, Workflow, rewired, rows, verdict

TEXTS = ("sure=0.95 one", "sure=0.75 surer=0.9", "sure=0.5 surer=0.6", "nothing", "sure=0.85 promise")


def ran(tmp_path: Path, ledger: Ledger, *texts: str, policy: str = POLICY) -> Workflow:
    """A run whose cases went every way."""
    flow = Workflow(tmp_path, ledger, policy=policy)
    given = rows(*texts or TEXTS)
    if not texts:
        for values in ({"refund_id": "P1", "tier": "private"}, {"refund_id": "B1", "amount": 20_000.0}):
            given.append(SourceRow(number=99, values={"text": "sure=0.95 one", **values}))
    flow.up_to("send_signed", given)
    return flow


def proposed(flow: Workflow, *changes: tuple[str, str], last: int = 10_000, **more: Any) -> Comparison:
    """Replay what stands in include after *changes* to the policy's text."""
    text = POLICY
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    flow.write("policy.yaml", text)
    return replay_policy(flow.ledger, read_bundle(flow.include, NAME), last=last, **more)


def test_the_unchanged_policy_reproduces_every_decision(tmp_path: Path, ledger: Ledger):
    flow = ran(tmp_path, ledger)

    found = replay_policy(ledger, in_force(ledger, NAME).bundle)

    by_rules = [row for row in flow.table(decision) if not row["rule"].startswith("failed check")]
    assert (found.replayed, found.flipped, found.other_rule, found.not_replayable) == (len(by_rules), 0, 0, 0)
    assert len(by_rules) == 10
    assert (found.decisions, found.by_checks) == (11, 1)
    assert (found.load.cases, found.load.before, found.load.after) == (7, 4, 4)


def test_a_lower_threshold_lets_go_what_it_says_and_nobody_guesses_the_rest(tmp_path: Path, sqlite_ledger: Ledger):
    flow = ran(tmp_path, sqlite_ledger)

    found = proposed(flow, ("threshold: 0.8", "threshold: 0.55"), minutes_per_review=6)

    assert dict(found.routes) == {("fallback", "auto"): 1, ("review", "auto"): 1}
    named = {flip.case: (flip.before, flip.rule_before, flip.after, flip.rule_after) for flip in found.flips}
    assert named == {
        "R2": ("fallback", "ask again", "auto", "certain enough"),
        "R3": ("review", "no rule fits, the policy's default", "auto", "certain enough"),
    }
    # R2 was automatic in the end anyway; R3 no longer waits for people.
    assert (found.after_a_flip, found.load.before, found.load.after) == (1, 4, 3)
    assert (found.become_automatic.cases, found.become_automatic.expected_errors) == (1, pytest.approx(0.4))
    assert found.load.as_json()["hours"] == {"before": pytest.approx(0.4), "after": pytest.approx(0.3)}


def test_a_stricter_rule_sends_cases_to_people_and_says_what_errors_that_spares(tmp_path: Path, sqlite_ledger: Ledger):
    flow = ran(tmp_path, sqlite_ledger)

    found = proposed(flow, ("'private'", "'standard'"))

    # All standard cases are reviewed now, and the private one is decided by its confidence.
    assert dict(found.routes) == {("auto", "review"): 2, ("fallback", "review"): 3, ("review", "auto"): 1}
    assert found.stop_being_automatic.cases == 2
    assert found.stop_being_automatic.expected_errors == pytest.approx(0.05 + 0.1)
    assert (found.load.before, found.load.after) == (4, 5)


def test_what_the_rules_did_not_read_then_is_taken_from_the_case_and_its_handoffs(tmp_path: Path, ledger: Ledger):
    flow = ran(tmp_path, ledger)

    found = proposed(
        flow,
        ("- {name: certain", "- {name: one, when: \"case.text.endsWith('one')\", route: stop}\n  - {name: certain"),
    )
    assert (dict(found.routes), found.not_replayable) == ({("auto", "stop"): 1}, 0)

    found = proposed(flow, ("rules:", "rules:\n  - {name: odd, when: \"verdict.kind != 'refund'\", route: stop}"))
    assert (found.flipped, found.not_replayable, found.replayed) == (0, 0, 10)
    found = proposed(flow, ("rules:", "rules:\n  - {name: all, when: \"verdict.kind == 'refund'\", route: review}"))
    assert (found.flipped, found.other_rule, found.not_replayable) == (6, 1, 0)
    assert found.replayed + found.after_a_flip == 10
    found = proposed(flow, ("rules:", "rules:\n  - {name: no account, when: \"'account_id' in missing\", route: stop}"))
    assert (found.flipped, found.other_rule, found.not_replayable) == (6, 1, 0)


def test_each_decision_reads_the_handoff_of_its_own_moment(tmp_path: Path, sqlite_ledger: Ledger):
    """Two handoffs are a Verdict: the branch behind the second agent read the second one."""
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("judge", rows("a case"))
    flow.role("judge", agent=ScriptedAgent(lambda one: verdict(one, confidence=0.1, kind="first")))
    flow.branch()
    flow.role("again", agent=ScriptedAgent(lambda one: verdict(one, confidence=0.1, kind="second")))
    flow.branch("route_again")

    first = proposed(flow, ("rules:", "rules:\n  - {name: x, when: \"verdict.kind == 'first'\", route: stop}"))
    second = proposed(flow, ("rules:", "rules:\n  - {name: x, when: \"verdict.kind == 'second'\", route: stop}"))

    assert dict(first.routes) == {("fallback", "stop"): 1}
    assert dict(second.routes) == {("review", "stop"): 1}


def test_a_draft_that_was_not_written_yet_was_known_to_be_absent(tmp_path: Path, sqlite_ledger: Ledger):
    """The branch stands before the draft: a rule that reads it could not have been evaluated."""
    flow = ran(tmp_path, sqlite_ledger, "sure=0.95")

    found = proposed(flow, ("rules:", 'rules:\n  - {name: x, when: "letter.amount > 1.0", route: stop}'))

    assert (dict(found.routes), found.unevaluated_after) == ({("auto", "review"): 1}, 1)
    assert found.flips[0].error_after == "there is no letter.amount"


def test_a_field_that_no_contract_had_then_makes_a_decision_not_replayable(tmp_path: Path, sqlite_ledger: Ledger):
    flow = ran(tmp_path, sqlite_ledger, "sure=0.95", "sure=0.9")
    contracts = CONTRACTS.replace("tier: str", "colour: str | None = None\n    tier: str")
    newer = Workflow(tmp_path, sqlite_ledger, contracts=contracts)
    flow.include = newer.include

    found = proposed(flow, ("rules:", "rules:\n  - {name: x, when: \"case.colour == 'red'\", route: stop}"))
    assert (found.replayed, found.not_replayable, dict(found.unknown_variables)) == (0, 2, {"case.colour": 2})
    found = proposed(flow, ("rules:", "rules:\n  - {name: x, when: \"'colour' in missing\", route: stop}"))
    assert (found.replayed, dict(found.unknown_variables)) == (0, {"missing": 2})
    assert proposed(flow).replayed == 2


def test_a_case_whose_content_may_have_changed_since_fills_nothing_in(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("draft", rows("sure=0.9 corrected", amount=20_000.0))
    resubmit(sqlite_ledger, "R1", person="lea", changes={"text": "sure=0.9 again"}, include=flow.include)

    found = proposed(flow, ("case.amount > 10000.0", "case.text.contains('corrected')"))

    assert (found.replayed, dict(found.unknown_variables)) == (0, {"case.text": 1})
    assert proposed(flow).replayed == 1


def test_a_forgotten_case_is_not_replayable(tmp_path: Path, sqlite_ledger: Ledger):
    flow = ran(tmp_path, sqlite_ledger, "sure=0.95", "sure=0.9")
    case_id = flow.cases()["R1"]["id"]
    with sqlite_ledger.engine.begin() as connection:
        for table in (payload, case_secret):
            connection.execute(delete(table).where(table.c.case_id == case_id))

    found = proposed(flow)

    assert (found.replayed, dict(found.unknown_variables)) == (1, {"(forgotten)": 1})


def test_people_are_counted_and_not_replayed(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("send", rows("sure=0.95", "sure=0.9"))
    review_action.request_review(sqlite_ledger, "R1", person="lea", reason="I know this one")

    found = proposed(flow)

    assert (found.decisions, found.by_people, found.replayed, found.flipped) == (3, 1, 2, 0)
    assert (found.load.before, found.load.after) == (1, 1)


def test_a_threshold_by_training_error_is_that_of_the_agent_that_was_decided_on(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("judge", rows("sure=0.65", "sure=0.5"))
    curve = [{"threshold": 0.6, "coverage": 0.8, "error": 0.02}, {"threshold": 0.4, "coverage": 1.0, "error": 0.2}]
    sure = {"sure=0.65": 0.65, "sure=0.5": 0.5}
    agent = ScriptedAgent(lambda one: verdict(one, confidence=sure[one.case["text"]]), report={"curve": curve})
    flow.role("judge", agent=agent)
    flow.branch()

    found = proposed(flow, ("threshold: 0.8", "threshold: {training_error: 0.05}"))
    assert {flip.case for flip in found.flips} == {"R1"}
    found = proposed(flow, ("threshold: 0.8", "threshold: {training_error: 0.01}"))
    assert found.flipped == 0, "no threshold keeps that error"


def test_a_route_that_the_dag_of_then_does_not_serve_is_held_back_and_one_that_the_new_dag_serves_is_not(
    tmp_path: Path, sqlite_ledger: Ledger
):
    flow = ran(tmp_path, sqlite_ledger, "sure=0.95")
    legal = ("rules:", 'rules:\n  - {name: x, when: "true", route: legal}')
    gate = ("routes: [review]", "routes: [review, legal]")

    assert dict(proposed(flow, legal, gate).routes) == {("auto", "review"): 1}
    served = rewired(route={"branches": {"legal": "draft"}})
    assert dict(proposed(flow, legal, gate, wiring=served).routes) == {("auto", "legal"): 1}


def test_a_decision_that_the_branch_held_back_is_reproduced(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.wiring = rewired(route={"branches": {"review": "draft"}})
    flow.version = flow.publish()
    from interlock.ledger.policy.company import company_in_force
    from interlock.ledger.runs.run import start_run
    from interlock.ledger.store.transaction import Actor

    start_run(
        sqlite_ledger,
        version=flow.version,
        company=company_in_force(sqlite_ledger),
        dag_id=NAME,
        run_id="r1",
        wiring=flow.wiring,
        triggered_by=None,
        is_resume=False,
        actor=Actor("task", "intake"),
    )
    flow.up_to("again", rows("sure=0.95", "sure=0.1"))
    assert {row["route"] for row in flow.table(decision)} == {"review"}

    found = replay_policy(sqlite_ledger, in_force(sqlite_ledger, NAME).bundle)

    assert (found.replayed, found.flipped, found.unevaluated_before, found.unevaluated_after) == (2, 0, 2, 2)


def test_only_the_last_decisions_of_the_workflow_and_the_environment_are_taken(tmp_path: Path, sqlite_ledger: Ledger):
    flow = ran(tmp_path, sqlite_ledger)

    assert proposed(flow, last=3).decisions == 3
    elsewhere = Ledger(sqlite_ledger.engine, "production")
    assert replay_policy(elsewhere, read_bundle(flow.include, NAME)).decisions == 0
    with pytest.raises(InputError, match="cannot replay 0 decisions"):
        proposed(flow, last=0)


def test_a_proposal_that_does_not_compile_is_told(tmp_path: Path, sqlite_ledger: Ledger):
    flow = ran(tmp_path, sqlite_ledger, "sure=0.95")

    with pytest.raises(PolicyError, match=r"undeclared reference to 'case.tyer'. Did you mean 'case.tier'"):
        proposed(flow, ("case.tier", "case.tyer"))
