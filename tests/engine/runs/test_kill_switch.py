"""What a thrown kill switch stops, task by task, and what goes on after it was thrown back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.agents.agent_protocol import Answer, Usage, Work
from interlock.domain.approvals.access import Identity
from interlock.domain.effects.connector import EffectRequest, Receipt
from interlock.engine.agents.result_writer import FLUSH_CASES
from interlock.engine.approvals import review_action
from interlock.engine.approvals.gate import answer_listed, open_gate
from interlock.engine.cases.intake import take_up
from interlock.engine.effects.execution import GROUP, execute_cases
from interlock.engine.runs.kill_switch import switches, throw
from interlock.errors import InputError, SwitchedOff, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import effect, handoff, incident, kill_switch, notice, vote, workflow_run
from workflows import NAME, ScriptedAgent, Workflow, rows, verdict

WORKFLOW, AGENT, CONNECTOR = ("workflow", NAME), ("agent", f"{NAME}/judge"), ("connector", "payout")


def off(flow: Workflow, switch: tuple[str, str] = WORKFLOW, reason: str = "it writes nonsense") -> dict[str, Any]:
    return throw(flow.ledger, kind=switch[0], name=switch[1], off=True, person="cleo", reason=reason)


def on(flow: Workflow, switch: tuple[str, str] = WORKFLOW) -> dict[str, Any]:
    return throw(flow.ledger, kind=switch[0], name=switch[1], off=False, person="ben", reason="mended")


def resumed(flow: Workflow, *, over: str = "r1", run: str = "r2") -> dict[str, int]:
    """Take the waiting cases up in a new run; Airflow says that *over* is over."""
    session = flow.session("intake", run=run, is_resume=True)
    session.finished_runs = lambda runs: [ledger_id for ledger_id, _, run_id in runs if run_id == over]
    return take_up(session)


class Watched:
    """The outbox, which calls *then* after it has sent so many effects."""

    def __init__(self, flow: Workflow, after: int, then: Callable[[], object]) -> None:
        self._outbox, self._after, self._then = flow.outbox(), after, then
        self.name, self.timeout_seconds = self._outbox.name, self._outbox.timeout_seconds
        self.sent = 0

    def look(self, request: EffectRequest) -> Receipt | None:
        return self._outbox.look(request)

    def send(self, request: EffectRequest) -> Receipt:
        receipt = self._outbox.send(request)
        self.sent += 1
        if self.sent == self._after:
            self._then()
        return receipt


@pytest.fixture
def flow(tmp_path: Path, sqlite_ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, sqlite_ledger)


# --- what it stops ---


def test_a_switch_thrown_between_two_groups_leaves_the_second_where_it_stands(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
):
    """The first 200 answers are written; those that come after the switch was thrown are not taken."""
    monkeypatch.setattr("interlock.engine.agents.result_writer.FLUSH_SECONDS", 60.0)  # a slow machine writes no group earlier
    flow = Workflow(tmp_path, ledger)
    flow.intake(rows(*["x"] * (FLUSH_CASES + 60)))
    asked = 0

    def say(one: Work) -> Answer:
        nonlocal asked
        asked += 1
        if asked == FLUSH_CASES + 10:
            off(flow, AGENT)
        return verdict(one)

    with pytest.raises(SwitchedOff, match=r"agent 'refunds/judge' was switched off by person:cleo at .*'it writes non"):
        flow.role("judge", agent=ScriptedAgent(say))

    places = [row["task"] for row in flow.cases().values()]
    assert (places.count("route"), places.count("judge")) == (FLUSH_CASES, 60)
    assert len(flow.table(handoff)) == FLUSH_CASES
    assert verify(ledger).problems == []

    on(flow, AGENT)
    assert resumed(flow) == {"taken_up": FLUSH_CASES + 60}
    assert flow.role("judge", run="r2") == {"done": 60}
    assert {row["task"] for row in flow.cases().values()} == {"route"}


def test_the_calls_whose_answers_are_not_taken_are_still_paid_for(flow: Workflow):
    flow.intake(rows("one", "two"))

    def say(one: Work) -> Answer:
        if not flow.table(kill_switch):
            off(flow)
        called = Usage(model="m", seconds=0.1, outcome="ok", input_tokens=7)
        return Answer(case_id=one.case_id, payload={"kind": "refund"}, confidence=0.9, usage=(called,))

    with pytest.raises(SwitchedOff):
        flow.role("judge", agent=ScriptedAgent(say))

    assert [row["input_tokens"] for row in flow.calls()] == [7, 7]
    assert flow.table(handoff) == []


@pytest.mark.parametrize("switch", [WORKFLOW, AGENT])
def test_an_agent_that_is_off_is_not_asked_at_all(flow: Workflow, switch: tuple[str, str]):
    flow.intake(rows("one"))
    off(flow, switch)
    agent = ScriptedAgent(verdict)

    with pytest.raises(SwitchedOff):
        flow.role("judge", agent=agent)

    assert agent.asked == []


def test_another_agent_of_the_workflow_goes_on(flow: Workflow):
    flow.up_to("again", rows("sure=0.1 surer=0.9"))
    off(flow, AGENT)

    assert flow.role("again") == {"done": 1}


@pytest.mark.parametrize("switch", [WORKFLOW, CONNECTOR])
def test_nothing_is_sent_after_it_was_thrown(tmp_path: Path, ledger: Ledger, switch: tuple[str, str]):
    """Thrown while a group is being sent: what was sent is recorded, and not one effect follows."""
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send", rows(*["sure=0.95"] * (GROUP + 4)))
    watched = Watched(flow, 3, lambda: off(flow, switch))

    with pytest.raises(SwitchedOff):
        flow.execute(connector=watched)

    assert (watched.sent, len(flow.sent())) == (3, 3)
    states = list(flow.states().values())
    assert (states.count("executed"), states.count("authorised")) == (3, GROUP + 1)
    assert sorted(row["state"] for row in flow.table(effect)) == ["committed"] * 3 + ["intended"] * (GROUP - 3)
    with pytest.raises(SwitchedOff):
        flow.execute(connector=watched)
    assert len(flow.sent()) == 3
    assert verify(ledger).problems == []

    on(flow, switch)
    assert resumed(flow) == {"taken_up": GROUP + 1}
    assert flow.execute(run="r2") == {"sent": GROUP + 1}
    keys = [json.loads(path.read_text())["business_key"] for path in flow.sent()]
    assert sorted(keys) == sorted(flow.cases())
    assert set(flow.states().values()) == {"executed"}


def test_a_repeat_of_an_effect_is_not_sent_either(flow: Workflow):
    flow.up_to("send", rows("sure=0.95"))

    class Failing(Watched):
        def send(self, request: EffectRequest) -> Receipt:
            from interlock.errors import ConnectorUnavailable

            self.sent += 1
            off(flow, CONNECTOR)
            raise ConnectorUnavailable("nobody answers")

    failing = Failing(flow, 0, lambda: None)

    with pytest.raises(SwitchedOff):
        flow.execute(connector=failing)

    assert failing.sent == 1
    assert flow.states() == {"R1": "authorised"}
    on(flow, CONNECTOR)
    assert flow.execute() == {"sent": 1}


def test_a_connector_that_is_off_stops_no_other_task(flow: Workflow):
    off(flow, CONNECTOR)

    flow.up_to("send", rows("sure=0.95", "nothing"))

    assert flow.states() == {"R1": "authorised", "R2": "waiting"}
    with pytest.raises(SwitchedOff):
        flow.execute()


def test_the_intake_takes_nothing_more_in(flow: Workflow):
    session = flow.session("intake")
    off(flow)

    from interlock.engine.cases.intake import take_in_rows

    with pytest.raises(SwitchedOff, match="airflow interlock switch on workflow refunds"):
        take_in_rows(session, rows("one"), contract=flow.contract("Refund"), source="inbox.csv")

    assert flow.cases() == {}


def test_no_run_begins_and_no_resume_run_either(flow: Workflow):
    flow.intake(rows("one"))
    off(flow)

    for is_resume in (False, True):
        with pytest.raises(SwitchedOff):
            flow.session("intake", run="r2", is_resume=is_resume)

    assert len(flow.table(workflow_run)) == 1


@pytest.mark.parametrize("task", ["route", "validate", "sign_off"])
def test_every_other_task_stops_where_it_is(flow: Workflow, task: str):
    flow.up_to(task, rows("sure=0.95", "nothing"))
    before = flow.cases()
    steps = {"route": flow.branch, "validate": flow.validate, "sign_off": flow.gate}
    off(flow)

    with pytest.raises(SwitchedOff):
        steps[task]()

    assert flow.cases() == before
    on(flow)
    steps[task]()


def test_the_report_still_says_where_the_cases_stand(flow: Workflow):
    flow.up_to("report", rows("sure=0.95", "nothing"))
    off(flow)

    assert flow.report()["workflow"] == NAME


# --- what people do meanwhile ---


def test_a_vote_counts_and_what_it_allows_is_not_sent(flow: Workflow):
    flow.up_to("send_signed", rows("nothing", "nothing more"))
    session = flow.session("sign_off")
    off(flow)

    seen = review_action.see(flow.ledger, "R1")
    review_action.vote(flow.ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=seen["digest"])
    assert answer_listed(session, person=Identity("leo"), answer="approve", reason=None) == 1

    assert sorted(row["person"] for row in flow.table(vote)) == ["lea", "leo"]
    assert flow.states() == {"R1": "authorised", "R2": "authorised"}
    with pytest.raises(SwitchedOff):
        flow.execute("send_signed")
    on(flow)
    assert open_gate(flow.session("sign_off")).undecided == 0
    assert execute_cases(flow.session("send_signed"), flow.outbox()) == {"sent": 2}


# --- the switch itself ---


def test_a_switch_says_who_threw_it_when_and_why_and_is_on_again_after(flow: Workflow):
    assert switches(flow.ledger) == []
    first = off(flow)
    again = off(flow, reason="me too")

    assert (first["is_new"], again["is_new"], again["off_reason"]) == (True, False, "it writes nonsense")
    [listed] = switches(flow.ledger)
    assert (listed["kind"], listed["name"], listed["off_by"], listed["is_off"]) == (*WORKFLOW, "person:cleo", True)

    said = on(flow)
    assert (said["is_off"], said["on_by"], said["on_reason"]) == (False, "person:ben", "mended")
    assert switches(flow.ledger) == []
    assert [row["is_off"] for row in switches(flow.ledger, history=True)] == [False]
    off(flow)
    assert [row["is_off"] for row in switches(flow.ledger, history=True)] == [True, False]
    assert verify(flow.ledger).problems == []


def test_a_switch_holds_in_its_environment_alone(flow: Workflow):
    off(flow)
    elsewhere = Ledger(flow.ledger.engine, "staging")

    assert switches(elsewhere) == []


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("workflow", "refund", "no workflow 'refund' in environment 'test'. Did you mean 'refunds'"),
        ("agent", "refunds/juge", "no agent 'refunds/juge' in environment 'test'. Did you mean 'refunds/judge'"),
        ("agent", "judge", "no agent 'judge' in environment 'test'. Known: 'refunds/careful_judge', 'refunds/judge'"),
        ("connector", "pay", "no connector 'pay' in environment 'test'.* Known: 'payout'"),
        ("server", "x", "no kind of switch 'server'"),
    ],
)
def test_a_misspelt_name_is_refused_because_it_would_stop_nothing(flow: Workflow, kind: str, name: str, told: str):
    with pytest.raises(UnknownName, match=told):
        off(flow, (kind, name))


def test_on_needs_that_it_is_off_and_both_need_a_reason(flow: Workflow):
    with pytest.raises(InputError, match="workflow 'refunds' is not off"):
        on(flow)
    with pytest.raises(InputError, match="needs a reason"):
        off(flow, reason=" ")


def test_a_task_that_a_switch_stops_is_an_incident_until_it_works_again(flow: Workflow):
    flow.intake(rows("sure=0.9 one", "sure=0.9 two"))
    off(flow, AGENT)

    for _ in range(2):
        with pytest.raises(SwitchedOff):
            flow.role("judge")

    [opened] = flow.table(incident)
    assert (opened["kind"], opened["subject"]) == ("SwitchedOff", f"agent {NAME}/judge")
    assert (opened["state"], opened["cases"], len(flow.table(notice))) == ("open", 4, 1)
    assert "it writes nonsense" in opened["reason"]

    on(flow, AGENT)
    assert flow.role("judge") == {"done": 2}
    assert [row["closed_by"] for row in flow.table(incident)] == ["recovery"]
