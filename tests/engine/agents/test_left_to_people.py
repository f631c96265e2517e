"""A case whose role failed where the runbook says ``then: review``: people do what the agent could not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.agents.agent_protocol import Failure, Work
from interlock.domain.approvals.access import Identity
from interlock.domain.cases.wiring import Wiring
from interlock.engine.approvals import review_action
from interlock.engine.approvals.break_glass import break_glass
from interlock.engine.approvals.gate import answer_listed
from interlock.errors import AgentRefused, InputError
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from workflows import POLICY, ScriptedAgent, Workflow, rewired, rows, verdict

LEA, LEO = Identity("lea"), Identity("leo")
STOPPED = POLICY.replace("then: review}", "then: stop}")
WITHOUT_PEOPLE = """
policy: refunds
contract: Refund
rules:
  - {name: all of them, when: "true", route: auto}
default: stop
autonomy: {payout: automatic}
runbook: {AgentRefused: {retries: 0, then: review}}
"""
SMALL = """{name: nobody looks at so little, when: "case.amount < 20.0", route: auto}"""
LETTER = {"text": "We are sorry", "amount": 10}


def refuse(one: Work) -> Failure:
    return Failure(case_id=one.case_id, error=AgentRefused("I would rather not."))


def refusing(name: str) -> ScriptedAgent:
    return ScriptedAgent(refuse, name=name)


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, ledger)


def judged_by_nobody(flow: Workflow) -> Workflow:
    """One case that its judge refused, up to the gate."""
    flow.intake(rows("sure=0.95", tier="private"))
    flow.role("judge", agent=refusing("judge"))
    flow.branch()
    return flow


def seen(flow: Workflow, **given: Any) -> dict[str, Any]:
    return review_action.see(flow.ledger, "R1", **given)


def write(flow: Workflow, person: Identity = LEA, **changes: Any) -> dict[str, Any]:
    return review_action.edit(
        flow.ledger,
        "R1",
        person=person,
        changes={**LETTER, **changes},
        seen_digest=seen(flow)["digest"],
        include=flow.include,
    )


def was_taken_to_people(flow: Workflow, *, why: str, rule: str) -> None:
    """Go on to the gate, and see that the case came to it by a decision of the runbook."""
    flow.validate()
    flow.gate()
    assert flow.cases()["R1"]["route"] == "review"
    assert seen(flow)["why"] == f"{why}: I would rather not."
    last = show_case(flow.ledger, "R1")["decisions"][-1]
    assert (last["rule"], last["route"], last["task"]) == (rule, "review", "draft")
    assert verify(flow.ledger).problems == []


def test_a_role_that_lacks_what_it_reads_is_left_out_and_people_get_the_case(flow: Workflow):
    judged_by_nobody(flow)
    asked: list[str] = []
    writer = ScriptedAgent(lambda one: asked.append(one.case_id) or verdict(one), name="writer")

    assert flow.role("draft", agent=writer) == {"left_to_people": 1}
    assert flow.validate() == {"without_draft": 1}
    flow.gate()

    assert asked == []
    assert flow.states() == {"R1": "waiting"}
    shown = seen(flow, person=LEA)
    assert shown["why"] == "private banking has a person; AgentRefused at judge: I would rather not."
    assert (shown["execute"], shown["unwritten"]) == ({}, "Letter")
    assert set(shown["draft_schema"]["properties"]) == {"text", "amount"}
    assert shown["barred_from"].startswith("there is nothing to send for the case yet")
    validation = next(h for h in show_case(flow.ledger, "R1")["handoffs"] if h["contract"].startswith("Validation"))
    assert validation["payload"] == {"passed": False, "failed": ["there is no draft"]}


def test_nobody_can_approve_what_is_not_written_whichever_way(flow: Workflow):
    judged_by_nobody(flow)
    flow.role("draft")
    flow.validate()
    flow.gate()
    digest = seen(flow)["digest"]

    with pytest.raises(InputError, match="there is nothing to send for the case yet"):
        review_action.vote(flow.ledger, "R1", person=LEA, answer="approve", seen_digest=digest)
    with pytest.raises(InputError, match="there is nothing to send for the case yet"):
        break_glass(flow.ledger, "R1", person=Identity("otto"), reason="it burns", seen_digest=digest)
    everybody = flow.session("sign_off")
    assert answer_listed(everybody, person=LEA, answer="approve", reason=None) == 0  # Airflow's Required Actions
    flow.execute("send_signed")
    assert flow.sent() == []
    assert show_case(flow.ledger, "R1")["votes"] == []


def test_a_person_writes_it_another_approves_and_exactly_that_is_sent_once(flow: Workflow):
    judged_by_nobody(flow)
    flow.role("draft")
    flow.validate()
    flow.gate()

    assert write(flow) == {"case": "R1", "state": "open", "warnings": []}

    after = seen(flow)
    assert after["execute"] == {"text": "We are sorry", "amount": 10.0}
    assert after["unwritten"] == ""
    assert "edited the draft" in seen(flow, person=LEA)["barred_from"]
    review_action.vote(flow.ledger, "R1", person=LEO, answer="approve", seen_digest=after["digest"])
    flow.execute("send_signed")
    flow.execute("send_signed")
    assert [json.loads(one.read_text())["payload"] for one in flow.sent()] == [{"text": "We are sorry", "amount": 10.0}]
    assert verify(flow.ledger).problems == []


def test_a_half_written_draft_is_refused_and_a_rejection_ends_the_case(flow: Workflow):
    judged_by_nobody(flow)
    flow.role("draft")
    flow.validate()
    flow.gate()

    with pytest.raises(InputError, match="amount"):
        review_action.edit(
            flow.ledger,
            "R1",
            person=LEA,
            changes={"text": "We are sorry"},
            seen_digest=seen(flow)["digest"],
            include=flow.include,
        )
    review_action.vote(
        flow.ledger, "R1", person=LEA, answer="reject", reason="not ours", seen_digest=seen(flow)["digest"]
    )
    assert flow.states() == {"R1": "rejected"}


def test_a_draft_that_fails_takes_a_case_off_the_automatic_route(flow: Workflow):
    flow.intake(rows("sure=0.95"))
    flow.role("judge")
    flow.branch()
    assert flow.cases()["R1"]["route"] == "auto"

    assert flow.role("draft", agent=refusing("writer")) == {"left_to_people": 1}
    was_taken_to_people(flow, why="AgentRefused at draft", rule="runbook: AgentRefused at draft")


def test_a_role_that_lacks_what_it_reads_takes_a_case_off_the_automatic_route(tmp_path: Path, ledger: Ledger):
    """The rules let it go on although nobody judged it, and nobody can write a letter about what was not judged."""
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace("rules:\n", f"rules:\n  - {SMALL}\n"))
    judged_by_nobody(flow)
    assert flow.cases()["R1"]["route"] == "auto"

    assert flow.role("draft") == {"left_to_people": 1}
    was_taken_to_people(flow, why="AgentRefused at judge", rule="runbook: no Verdict at draft")


@pytest.mark.parametrize(
    ("who", "why"), [("writer", "I would rather not"), ("judge", "no handoff of the case is a Verdict")]
)
def test_where_no_gate_can_be_reached_it_stays_a_dead_letter(tmp_path: Path, sqlite_ledger: Ledger, who: str, why: str):
    flow = Workflow(tmp_path, sqlite_ledger, policy=WITHOUT_PEOPLE)
    alone = rewired(
        route={"downstream": ("draft",), "branches": {"auto": "draft"}}, validate={"downstream": ("send",)}
    ).tasks
    flow.wiring = Wiring(
        {name: alone[name] for name in ("intake", "judge", "route", "draft", "validate", "send", "report")}
    )
    refusing_at = {who: refusing(who)}
    flow.intake(rows("sure=0.95"))
    flow.role("judge", agent=refusing_at.get("judge"))
    flow.branch()

    assert flow.role("draft", agent=refusing_at.get("writer")) == {"failed": 1}
    case = flow.cases()["R1"]
    assert case["state"] == "dead"
    assert why in case["reason"]


def test_what_the_runbook_stops_is_stopped(tmp_path: Path, sqlite_ledger: Ledger):
    assert STOPPED != POLICY
    flow = Workflow(tmp_path, sqlite_ledger, policy=STOPPED)
    flow.intake(rows("sure=0.95", tier="private"))
    flow.role("judge")
    flow.branch()

    assert flow.role("draft", agent=refusing("writer")) == {"failed": 1}
