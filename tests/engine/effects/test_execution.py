from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from interlock.connectors.http import HttpTarget
from interlock.domain.approvals.access import Identity
from interlock.domain.cases.case import CaseState
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, HttpConnector, Receipt
from interlock.engine.effects.execution import connector_of
from interlock.errors import ConfigurationError, ConnectorUnavailable, Superseded, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import move
from interlock.ledger.effects.authorisation import authorise, withdraw
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import authorisation, effect, incident, notice
from servers.effect_target import CLOSE_BEFORE, FAIL_AFTER, FAIL_BEFORE, LOSE_ANSWER, EffectTarget, refuse
from workflows import POLICY, Clock, Workflow, rows

NO_REPEATS = POLICY.replace("runbook:", "runbook:\n  ConnectorUnavailable: {retries: 0, backoff_seconds: 0.0}")


@pytest.fixture
def flow(tmp_path: Path, sqlite_ledger: Ledger) -> Workflow:
    """Two cases that policy authorised."""
    return at_send(tmp_path, sqlite_ledger)


def at_send(tmp_path: Path, ledger: Ledger, *texts: str, policy: str = POLICY) -> Workflow:
    flow = Workflow(tmp_path, ledger, policy=policy)
    flow.up_to("send", rows(*texts or ("sure=0.95 one", "sure=0.95 two")))
    return flow


@pytest.fixture(params=["replay", "conflict"])
def target(request: pytest.FixtureRequest) -> Iterator[EffectTarget]:
    with EffectTarget(on_repeat=request.param) as running:
        yield running


@pytest.fixture
def careless() -> Iterator[EffectTarget]:
    """A target that does a repeated effect again: only looking first helps."""
    with EffectTarget(on_repeat="store") as running:
        yield running


def http(target: EffectTarget) -> HttpTarget:
    declared = HttpConnector(
        kind="http", conn_id="payout", path="/effects", look_path="/effects/{key}", timeout_seconds=1.0
    )
    return HttpTarget("payout", declared, ConnectionFields(conn_id="payout", host=target.base_url))


def test_what_is_authorised_is_sent_once_with_exactly_the_draft(flow: Workflow):
    assert flow.execute() == {"sent": 2}

    said = [json.loads(file.read_text()) for file in flow.sent()]
    assert {one["payload"]["text"] for one in said} == {
        "About your refund: sure=0.95 one",
        "About your refund: sure=0.95 two",
    }
    assert flow.states() == {"R1": "executed", "R2": "executed"}
    assert flow.execute() == {}
    assert len(flow.sent()) == 2
    assert verify(flow.ledger).problems == []


def test_more_effects_than_one_group_are_all_sent(tmp_path: Path, ledger: Ledger):
    flow = at_send(tmp_path, ledger, *["sure=0.95"] * 40)

    assert flow.execute() == {"sent": 40}
    assert set(flow.states().values()) == {"executed"}


def test_without_an_authorisation_nothing_is_sent(flow: Workflow):
    """Also when somebody marks tasks as done and runs the execution by hand."""
    with flow.session("validate").write() as tx:
        for row in flow.cases().values():
            withdraw(tx, row["id"])

    assert flow.execute() == {"refused_unauthorised": 2}

    assert flow.sent() == []
    assert flow.states() == {"R1": "dead", "R2": "dead"}
    assert "nothing allows 'payout' for exactly this content" in flow.cases()["R1"]["reason"]


@pytest.mark.parametrize("state", ["open", "routed"])
def test_a_case_that_stands_at_the_execution_without_being_authorised_is_refused(tmp_path: Path, sqlite_ledger, state):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows("a"))
    with flow.session("intake").write() as tx:
        move(tx, [(flow.case_records()["R1"], CaseChange(task="send", state=CaseState(state)))], kind="case.smuggled")

    assert flow.execute() == {"refused_unauthorised": 1}
    assert flow.sent() == []


def test_an_authorisation_for_another_digest_allows_nothing(flow: Workflow):
    row = flow.cases()["R1"]
    granted = flow.table(authorisation)[0]
    with flow.session("validate").write() as tx:
        withdraw(tx, row["id"])
        authorise(tx, [(row["id"], "0" * 64, "decision:x")], action="payout", version_id=granted["version_id"])

    assert flow.execute() == {"refused_unauthorised": 1, "sent": 1}
    assert [json.loads(file.read_text())["business_key"] for file in flow.sent()] == ["R2"]


def test_an_authorisation_of_another_case_allows_nothing(flow: Workflow):
    cases = flow.cases()
    granted = {row["case_id"]: row for row in flow.table(authorisation)}
    first, second = cases["R1"]["id"], cases["R2"]["id"]
    with flow.session("validate").write() as tx:
        withdraw(tx, first)
        theirs = granted[second]
        authorise(
            tx, [(first, theirs["payload_digest"], "decision:x")], action="payout", version_id=theirs["version_id"]
        )

    assert flow.execute() == {"refused_unauthorised": 1, "sent": 1}


def test_a_draft_that_changed_after_it_was_authorised_is_not_sent(flow: Workflow):
    cases = flow.case_records()
    with flow.session("validate").write() as tx:
        move(tx, [(cases["R1"], CaseChange(draft_id=cases["R2"].draft_id))], kind="case.other_draft")

    assert flow.execute() == {"refused_unauthorised": 1, "sent": 1}
    assert [json.loads(file.read_text())["business_key"] for file in flow.sent()] == ["R2"]


def test_a_lost_answer_is_looked_for_and_not_sent_again(flow: Workflow, careless: EffectTarget):
    careless.script(LOSE_ANSWER, FAIL_AFTER)

    assert flow.execute(connector=http(careless)) == {"sent": 2}

    assert len(careless.stored) == len(set(careless.keys())) == 2
    assert flow.states() == {"R1": "executed", "R2": "executed"}


def test_what_surely_did_not_take_place_is_sent_again(flow: Workflow, careless: EffectTarget):
    careless.script(CLOSE_BEFORE, FAIL_BEFORE)

    assert flow.execute(connector=http(careless)) == {"sent": 2}
    assert len(careless.stored) == 2


def test_a_refused_effect_is_a_dead_letter_and_the_others_go_on(flow: Workflow, target: EffectTarget):
    target.script(refuse(422, {"message": "no such customer"}))

    assert flow.execute(connector=http(target)) == {"sent": 1, "failed": 1}

    assert sorted(flow.states().values()) == ["dead", "executed"]
    dead = next(row for row in flow.cases().values() if row["state"] == "dead")
    assert "EffectRefused" in dead["reason"]
    assert "no such customer" in dead["reason"]
    assert sorted(row["state"] for row in flow.table(effect)) == ["committed", "refused"]
    assert verify(flow.ledger).problems == []


def test_a_target_that_is_down_fails_the_task_and_a_retry_sends_once(tmp_path: Path, sqlite_ledger, careless):
    flow = at_send(tmp_path, sqlite_ledger, policy=NO_REPEATS)
    careless.script(LOSE_ANSWER, CLOSE_BEFORE)

    with pytest.raises(ConnectorUnavailable, match="took none of 2 effects"):
        flow.execute(connector=http(careless))
    assert flow.states() == {"R1": "authorised", "R2": "authorised"}
    assert [row["state"] for row in flow.table(effect)] == ["intended", "intended"]

    assert flow.execute(connector=http(careless)) == {"sent": 2}
    assert len(careless.stored) == len(set(careless.keys())) == 2, "the one whose answer was lost was found"
    assert {row["attempts"] for row in flow.table(effect)} == {2}


def test_a_connector_that_is_down_is_told_of_once_and_its_recovery_is_recorded(tmp_path: Path, sqlite_ledger, careless):
    flow = at_send(tmp_path, sqlite_ledger, policy=NO_REPEATS)
    careless.script(*[FAIL_AFTER] * 2, *[CLOSE_BEFORE] * 2)

    with pytest.raises(ConnectorUnavailable):
        flow.execute(connector=http(careless))
    careless.look_status = 503
    with pytest.raises(ConnectorUnavailable):
        flow.execute(connector=http(careless))

    [opened] = flow.table(incident)
    assert (opened["kind"], opened["subject"]) == ("ConnectorUnavailable", "connector payout")
    assert (opened["state"], opened["cases"]) == ("open", 4)
    [told] = flow.table(notice)
    assert told["recipients"] == ["ann@example.com"]

    careless.look_status = None
    assert flow.execute(connector=http(careless)) == {"sent": 2}
    [closed] = flow.table(incident)
    assert closed["closed_by"] == "recovery"
    assert len(careless.stored) == 2


def test_whom_the_runbook_tells_of_a_refused_effect_is_told_and_nobody_else(tmp_path: Path, sqlite_ledger, target):
    told = POLICY.replace("runbook:", "runbook:\n  EffectRefused: {retries: 0, tell: [maintainer]}")
    flow = at_send(tmp_path, sqlite_ledger, policy=told)
    target.script(refuse(422))

    assert flow.execute(connector=http(target)) == {"sent": 1, "failed": 1}
    assert [row["kind"] for row in flow.table(incident)] == ["EffectRefused"]
    assert [row["recipients"] for row in flow.table(notice)] == [["ben@example.com"]]


def test_an_effect_that_stays_unknown_beside_others_is_a_dead_letter_that_says_so(tmp_path: Path, sqlite_ledger):
    flow = at_send(tmp_path, sqlite_ledger, policy=NO_REPEATS)
    with EffectTarget() as target:
        target.script(LOSE_ANSWER)
        assert flow.execute(connector=http(target)) == {"sent": 1, "failed": 1}

    dead = next(row for row in flow.cases().values() if row["state"] == "dead")
    assert "It is not known whether it took place" in dead["reason"]


class DiesAfterSending:
    """The way to a target whose process is killed between the sending and the writing down."""

    kind = "http"
    timeout_seconds = 1.0

    def __init__(self, inner: HttpTarget) -> None:
        self.inner, self.name = inner, inner.name

    def look(self, request: EffectRequest) -> Receipt | None:
        return self.inner.look(request)

    def send(self, request: EffectRequest) -> Receipt:
        self.inner.send(request)
        raise Killed

    def close(self) -> None:
        self.inner.close()


class Killed(BaseException):
    """Stands for a process that is no more: nothing handles it."""


def test_an_effect_of_a_dead_process_is_looked_for_before_anything_is_sent(tmp_path: Path, ledger: Ledger, careless):
    clock = Clock()
    flow = at_send(tmp_path, Ledger(ledger.engine, "test", clock), "sure=0.95 one")
    with pytest.raises(Killed):
        flow.execute(connector=DiesAfterSending(http(careless)))
    assert [row["state"] for row in flow.table(effect)] == ["intended"]
    assert len(careless.stored) == 1
    clock.forward(seconds=30)

    assert flow.execute(connector=http(careless)) == {"sent": 1}

    assert len(careless.stored) == 1, "found, not sent again"
    assert careless.looked == 1
    assert flow.states() == {"R1": "executed"}
    assert verify(ledger).problems == []


def test_an_effect_of_a_dead_process_in_the_outbox_stays_one_file(tmp_path: Path, sqlite_ledger: Ledger):
    clock = Clock()
    flow = at_send(tmp_path, Ledger(sqlite_ledger.engine, "test", clock), "sure=0.95 one")
    with pytest.raises(Killed):
        flow.execute(connector=DiesAfterSending(flow.outbox()))
    [file] = flow.sent()
    before = file.read_text()
    clock.forward(seconds=30)

    assert flow.execute() == {"sent": 1}
    assert [one.read_text() for one in flow.sent()] == [before]


def test_a_new_attempt_waits_for_the_lease_of_the_one_before_it(flow: Workflow, careless, monkeypatch):
    """The earlier process may be alive and sending at this instant."""
    clock = Clock()
    flow.ledger = Ledger(flow.ledger.engine, "test", clock)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.forward(seconds=seconds)

    with pytest.raises(Killed):
        flow.execute(connector=DiesAfterSending(http(careless)))
    monkeypatch.setattr("interlock.engine.effects.execution.time.sleep", sleep)

    assert flow.execute(connector=http(careless)) == {"sent": 2}
    assert waited == [pytest.approx(20.1)]
    assert len(careless.stored) == len(set(careless.keys())) == 2


def test_a_process_that_was_superseded_while_it_sent_leaves_the_rest_to_the_next(
    tmp_path: Path, sqlite_ledger, careless
):
    flow = at_send(tmp_path, sqlite_ledger, "sure=0.95 one")
    old = flow.session("send")
    inner = http(careless)

    class TakenOver(DiesAfterSending):
        def send(self, request: EffectRequest) -> Receipt:
            receipt = self.inner.send(request)
            flow.session("send")
            return receipt

    with pytest.raises(Superseded):
        flow.execute(connector=TakenOver(inner), session=old)
    assert [row["state"] for row in flow.table(effect)] == ["intended"]
    assert flow.states() == {"R1": "authorised"}


def test_a_lease_that_ran_out_while_the_ledger_was_waited_for_is_not_used(flow: Workflow, careless, monkeypatch):
    """Claimed late, the effects may be another process's by now: they are claimed anew before anything is sent."""
    import interlock.engine.effects.execution as execution

    real, late = execution.claim, []

    def slow_claim(*args: Any, **named: Any) -> Any:
        if not late:
            late.append(timedelta(seconds=25))
        return real(*args, **named)

    base = execution.time.monotonic
    monkeypatch.setattr(execution, "claim", slow_claim)
    monkeypatch.setattr(
        "interlock.engine.effects.execution.time.monotonic", lambda: base() + sum((each.seconds for each in late), 0.0)
    )

    assert flow.execute(connector=http(careless)) == {"sent": 2}
    assert careless.looked == 2, "after the lease had run out, each was looked for"
    assert {row["attempts"] for row in flow.table(effect)} == {2}


def test_people_can_authorise_what_policy_did_not(tmp_path: Path, ledger: Ledger):
    from interlock.engine.approvals.review_action import see, vote

    flow = Workflow(tmp_path, ledger)
    flow.up_to("send_signed", rows("not sure"))
    assert flow.execute("send_signed") == {}

    vote(ledger, "R1", person=Identity("lea"), answer="approve", seen_digest=see(ledger, "R1")["digest"])

    assert flow.execute("send_signed") == {"sent": 1}
    assert flow.states() == {"R1": "executed"}


def test_an_unknown_connector_is_told_with_the_known_ones(flow: Workflow):
    assert connector_of(flow.session("send"), "payout").kind == "outbox"
    with pytest.raises(UnknownName, match=r"there is no connector 'payouts'.*Did you mean 'payout'"):
        connector_of(flow.session("send"), "payouts")


def test_a_connector_that_cannot_work_leaves_the_cases_authorised(flow: Workflow):
    class Misconfigured(DiesAfterSending):
        def send(self, request: EffectRequest) -> Receipt:
            raise ConfigurationError("no such folder")

    with pytest.raises(ConfigurationError, match="no such folder"):
        flow.execute(connector=Misconfigured(flow.outbox()))
    assert flow.states() == {"R1": "authorised", "R2": "authorised"}
