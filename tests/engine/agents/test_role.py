from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from interlock.domain.agents.agent_protocol import Answer, Failure, Usage
from interlock.domain.base.contract import Contract
from interlock.domain.cases.case import CaseState
from interlock.engine.agents.role import Role, run_role
from interlock.errors import (
    AgentRefused,
    AgentTimeout,
    AgentUnavailable,
    ConfigurationError,
    ContractChanged,
    Stopped,
    Superseded,
)
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import move
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import handoff
from workflows import CONTRACTS, ScriptedAgent, Workflow, rows, verdict


def used(outcome: str = "ok") -> tuple[Usage, ...]:
    return (Usage(model="m", seconds=0.0, outcome=outcome),)


@pytest.fixture
def flow(tmp_path: Path, sqlite_ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, sqlite_ledger)


def send_back(flow: Workflow, key: str = "R1", task: str = "judge", **change: Any) -> None:
    with flow.session("intake").write() as tx:
        move(tx, [(flow.case_records()[key], CaseChange(task=task, **change))], kind="case.sent_back")


def breaks_after(answers: int, error: BaseException) -> ScriptedAgent:
    agent = ScriptedAgent(lambda one: verdict(one))

    def say(one: Any) -> Answer:
        if len(agent.asked) > answers:
            raise error
        return verdict(one)

    agent.say = say
    return agent


def test_answers_become_handoffs_and_cases_go_on(flow: Workflow):
    flow.intake(rows("a", "b"))

    assert flow.role("judge", agent=ScriptedAgent(lambda one: verdict(one, confidence=0.5))) == {"done": 2}

    made = flow.table(handoff)
    assert [(row["contract"], row["confidence"]) for row in made] == [("Verdict@1", 0.5)] * 2
    assert {row["task"] for row in flow.cases().values()} == {"route"}
    assert {row["handoff_id"] for row in flow.cases().values()} == {row["id"] for row in made}


@pytest.mark.parametrize("error", [RuntimeError("broke"), KeyboardInterrupt(), ConfigurationError("no such model")])
def test_a_role_that_broke_off_asks_again_only_for_what_is_missing(
    tmp_path: Path, ledger: Ledger, error: BaseException
):
    flow = Workflow(tmp_path, ledger)
    flow.intake(rows(*"abcdefghij"))

    with pytest.raises(type(error)):
        flow.role("judge", agent=breaks_after(6, error))
    assert len(flow.table(handoff)) == 6, "what was answered is kept"

    again = ScriptedAgent(verdict)
    assert flow.role("judge", agent=again) == {"done": 4}
    assert len(again.asked) == 4
    assert len(flow.table(handoff)) == 10
    assert {row["task"] for row in flow.cases().values()} == {"route"}
    assert verify(ledger).problems == []


def test_a_role_over_several_groups_asks_each_case_once(flow: Workflow):
    flow.intake(rows(*[f"text {number}" for number in range(1100)]))
    agent = ScriptedAgent(verdict)

    assert flow.role("judge", agent=agent) == {"done": 1100}
    assert len(set(agent.asked)) == len(agent.asked) == 1100


def test_a_repeated_task_with_nothing_left_asks_nothing(flow: Workflow):
    flow.intake(rows("a"))
    flow.role("judge", agent=ScriptedAgent(verdict))
    agent = ScriptedAgent(verdict)

    assert flow.role("judge", agent=agent) == {}
    assert agent.asked == []


def test_the_same_question_again_is_answered_from_the_ledger(flow: Workflow):
    flow.intake(rows("a"))
    flow.role("judge", agent=ScriptedAgent(verdict))
    send_back(flow)
    agent = ScriptedAgent(verdict)

    assert flow.role("judge", agent=agent) == {"done": 1, "done_before": 1}
    assert agent.asked == []
    assert len(flow.table(handoff)) == 1
    assert flow.cases()["R1"]["task"] == "route"


def test_a_changed_agent_gives_a_new_answer(flow: Workflow):
    flow.intake(rows("a"))
    flow.role("judge", agent=ScriptedAgent(verdict))
    send_back(flow)
    changed = ScriptedAgent(lambda one: verdict(one, kind="complaint"), digest="1" * 64)

    assert flow.role("judge", agent=changed) == {"done": 1}
    assert len(changed.asked) == 1
    assert len(flow.table(handoff)) == 2
    current = flow.cases()["R1"]["handoff_id"]
    assert [row["agent_digest"] for row in flow.table(handoff) if row["id"] == current] == ["1" * 64]


def test_an_answer_that_breaks_its_contract_is_asked_again_and_then_a_dead_letter(flow: Workflow):
    flow.intake(rows("good", "bad"))
    bad = next(row["id"] for key, row in flow.cases().items() if key == "R2")
    agent = ScriptedAgent(
        lambda one: Answer(
            case_id=one.case_id, payload={"kind": "x"} if one.case_id != bad else {"sort": "secret"}, usage=used()
        )
    )

    assert flow.role("judge", agent=agent) == {"done": 1, "failed": 1, "repeated": 1}

    assert agent.asked.count(bad) == 2, "once, and once again by the runbook"
    row = flow.cases()["R2"]
    assert (row["state"], row["task"]) == ("dead", "judge")
    assert "MalformedOutput at judge" in row["reason"]
    assert "kind: Field required" in row["reason"]
    assert "secret" not in row["reason"], "reasons hold no values"
    assert sorted((u["case_id"] == bad, u["attempt"]) for u in flow.calls()) == [(False, 1), (True, 1), (True, 2)]


def test_an_answer_that_is_good_at_the_second_time_counts(flow: Workflow):
    flow.intake(rows("a"))
    agent = ScriptedAgent(verdict)
    agent.say = lambda one: verdict(one) if len(agent.asked) > 1 else verdict(one, kind="")

    assert flow.role("judge", agent=agent) == {"repeated": 1, "done": 1}


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_outside_of_nought_to_one_is_no_answer(flow: Workflow, confidence: float):
    flow.intake(rows("a"))

    flow.role("judge", agent=ScriptedAgent(lambda one: verdict(one, confidence=confidence)))

    assert flow.states() == {"R1": "dead"}


def test_a_refusal_is_not_repeated_and_goes_to_people_when_the_runbook_says_so(flow: Workflow):
    flow.intake(rows("a"))
    agent = ScriptedAgent(
        lambda one: Failure(case_id=one.case_id, error=AgentRefused("no"), usage=used("AgentRefused"))
    )

    assert flow.role("judge", agent=agent) == {"uncertain": 1}

    assert len(agent.asked) == 1
    row = flow.cases()["R1"]
    assert (row["state"], row["task"], row["handoff_id"]) == ("open", "route", None)
    flow.branch()
    assert flow.cases()["R1"]["route"] == "fallback", "no confidence is uncertain"


def test_a_service_that_is_down_fails_the_task_and_leaves_the_cases_where_they_stand(flow: Workflow):
    flow.intake(rows("a", "b"))
    before = flow.cases()
    agent = ScriptedAgent(lambda one: Failure(case_id=one.case_id, error=AgentUnavailable("503"), usage=used("down")))

    with pytest.raises(AgentUnavailable, match="answered none of 2 cases: 503"):
        flow.role("judge", agent=agent)

    assert len(agent.asked) == 6, "twice again by the runbook"
    assert flow.cases() == before
    assert flow.role("judge", agent=ScriptedAgent(verdict)) == {"done": 2}


def test_a_service_that_is_down_for_some_costs_only_those(flow: Workflow):
    flow.intake(rows("a", "b", "c"))
    down = next(row["id"] for key, row in flow.cases().items() if key == "R2")
    agent = ScriptedAgent(
        lambda one: (
            verdict(one)
            if one.case_id != down
            else Failure(case_id=one.case_id, error=AgentUnavailable("503"), usage=())
        )
    )

    flow.role("judge", agent=agent)

    assert flow.states() == {"R1": "open", "R2": "dead", "R3": "open"}


def test_one_case_that_fails_by_itself_does_not_hide_that_the_service_is_down(flow: Workflow):
    """Else every case of the group would become a dead letter with it."""
    flow.intake(rows("a", "b", "c"))
    slow = next(row["id"] for key, row in flow.cases().items() if key == "R2")
    agent = ScriptedAgent(
        lambda one: Failure(
            case_id=one.case_id, error=AgentTimeout("slow") if one.case_id == slow else AgentUnavailable("503")
        )
    )

    with pytest.raises(AgentUnavailable, match="answered none of 2 cases"):
        flow.role("judge", agent=agent)

    assert flow.states() == {"R1": "open", "R2": "dead", "R3": "open"}


def test_a_case_that_the_agent_passes_over_is_no_silent_loss(flow: Workflow):
    flow.intake(rows("a", "b"))

    class Forgetful(ScriptedAgent):
        def answer(self, work: Any, contract: Any) -> Any:
            yield from super().answer(work[:1], contract)

    flow.role("judge", agent=Forgetful(verdict))

    assert sorted(flow.states().values()) == ["dead", "open"]
    assert any("gave no answer for the case" in (row["reason"] or "") for row in flow.cases().values())


@pytest.mark.parametrize(("cases", "failing", "stops"), [(40, 21, True), (40, 20, False), (19, 19, False)])
def test_a_task_stops_when_more_cases_fail_than_the_policy_lets_pass(
    flow: Workflow, cases: int, failing: int, stops: bool
):
    flow.intake(rows(*["x"] * cases))
    agent = ScriptedAgent(verdict)
    agent.say = lambda one: (
        verdict(one) if len(agent.asked) > failing else Failure(case_id=one.case_id, error=AgentTimeoutOnce("x"))
    )

    if stops:
        with pytest.raises(Stopped, match=f"{failing} of {cases} cases failed at 'judge'"):
            flow.role("judge", agent=agent)
    else:
        flow.role("judge", agent=agent)

    assert list(flow.states().values()).count("dead") == failing


def test_a_task_stops_too_when_the_cases_that_an_agent_fails_on_go_to_people(flow: Workflow):
    flow.intake(rows(*["x"] * 40))
    refuse = ScriptedAgent(lambda one: Failure(case_id=one.case_id, error=AgentRefused("no")))

    with pytest.raises(Stopped, match="40 of 40 cases failed at 'judge'"):
        flow.role("judge", agent=refuse)

    assert set(flow.states().values()) == {"open"}


class AgentTimeoutOnce(AgentTimeout):
    """Not repeated, so that each case is asked once."""

    retryable = False


def test_a_contract_that_changed_since_it_was_published_is_refused(flow: Workflow, tmp_path: Path):
    flow.intake(rows("a"))
    newer = Workflow(tmp_path, Ledger(flow.ledger.engine, "elsewhere"), contracts=CONTRACTS + "    note: str = ''\n")
    flow.include = newer.include

    with pytest.raises(ContractChanged, match="Letter@1 is not the one that was published"):
        flow.role("draft", agent=ScriptedAgent(verdict))


def test_a_contract_that_is_no_part_of_the_version_is_refused(flow: Workflow, tmp_path: Path):
    flow.intake(rows("a"))

    class Other(Contract):
        x: int

    with pytest.raises(ContractChanged, match="'Other' is not part of the published version"):
        run_role(flow.session("judge"), ScriptedAgent(verdict), Role("reasoning", Other))


def test_a_case_without_the_handoff_that_the_role_reads_does_not_go_on_by_itself(flow: Workflow):
    flow.intake(rows("a"))
    send_back(flow, task="draft", route="auto")
    agent = ScriptedAgent(verdict)

    flow.role("draft", agent=agent)

    assert agent.asked == []
    case = flow.cases()["R1"]
    assert (case["route"], case["reason"]) == ("review", "draft was left out: there is no Verdict")


def test_a_superseded_attempt_writes_nothing_of_what_it_was_told(flow: Workflow):
    flow.intake(rows("a"))
    old = flow.session("judge")
    agent = ScriptedAgent(verdict)

    def say(one: Any) -> Answer:
        flow.session("judge")
        return verdict(one)

    agent.say = say

    with pytest.raises(Superseded):
        flow.role("judge", agent=agent, session=old)

    assert flow.table(handoff) == []
    assert flow.cases()["R1"]["task"] == "judge"


def test_a_case_that_a_person_changed_meanwhile_is_left_to_them(flow: Workflow):
    flow.intake(rows("a", "b"))
    theirs = next(row["id"] for key, row in flow.cases().items() if key == "R1")

    def say(one: Any) -> Answer:
        if one.case_id == theirs:
            send_back(flow, state=CaseState.DEAD, reason="a person stopped it")
        return verdict(one)

    assert flow.role("judge", agent=ScriptedAgent(say)) == {"changed_meanwhile": 1, "done": 1}

    assert flow.cases()["R1"]["reason"] == "a person stopped it"
    assert flow.cases()["R1"]["state"] == "dead"


def test_an_agent_answers_in_any_order(flow: Workflow):
    flow.intake(rows(*"abcd"))

    class Backwards(ScriptedAgent):
        def answer(self, work: Any, contract: Any) -> Any:
            yield from super().answer(list(reversed(work)), contract)

    assert flow.role("judge", agent=Backwards(verdict)) == {"done": 4}
