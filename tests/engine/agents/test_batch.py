"""Work that can wait goes in batches of the provider: one batch, one answer and one cost a case, whatever happens."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from engine.agents.test_engine_limits import Desk
from interlock.agents.batch_call import batch_client
from interlock.agents.batch_client import BatchClient
from interlock.commands.summary_text import describe_summary
from interlock.domain.agents.agent import ModelAgent
from interlock.domain.cost.price import to_nano
from interlock.engine.cases.resumable import resume_run_id, what_can_go_on
from interlock.engine.runs.kill_switch import throw
from interlock.errors import AgentUnavailable, SwitchedOff
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import Resumable, load_files, move
from interlock.ledger.reports.summary import summarize
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import budget_account, handoff, provider_batch, reservation, usage
from interlock.ledger.store.transaction import Actor
from servers.openai_batches import OpenAIBatches
from servers.openai_like import error, ok, prose
from workflows import ECOSYSTEM, Clock, rows

PRICES = "models: [{model: gpt-4o-mini, from: 2020-01-01, input: 10, output: 100, batch: 0.5}]\n"
BUDGET = "budgets: [{per: workflow, every: month, limit: 1}]"
COST = (Decimal(100) * 10 + Decimal(20) * 100) / 1_000_000 / 2
"""Of an answer of the server in a batch."""


@pytest.fixture
def server():
    with OpenAIBatches({"kind": "refund"}) as one:
        yield one


@pytest.fixture
def clock(ledger):
    return Clock(ledger.clock())


@pytest.fixture
def make_desk(tmp_path, ledger, server, clock):
    def make(*, budgets: str = BUDGET, more: str = "", retries: int = 0, **files: str) -> Desk:
        desk = Desk(
            tmp_path, replace(ledger, clock=clock), server, budgets=budgets, more=", urgency: deferrable" + more
        )
        desk.flow.write("../company/prices.yaml", PRICES)
        # A rate is paced by the clock of the machine, which does not follow the one that the tests move.
        desk.flow.write("../company/ecosystem.yaml", ECOSYSTEM)
        policy = (desk.flow.include / "refunds" / "policy.yaml").read_text()
        desk.flow.write("policy.yaml", policy.replace("default: {retries: 0", f"default: {{retries: {retries}"))
        for path, text in files.items():
            desk.flow.write(path, text)
        desk.flow.version = desk.flow.publish()
        return desk

    return make


@pytest.fixture
def desk(make_desk):
    return make_desk()


def at(desk: Desk, task: str) -> int:
    return sum(row["task"] == task for row in desk.flow.cases().values())


def change(desk: Desk, key: str, what: CaseChange) -> None:
    """Let something else happen to a case."""
    with desk.flow.ledger.write(actor=Actor("person", "cleo"), chain="t") as tx:
        move(tx, [(desk.flow.case_records()[key], what)], kind="case.changed")


def calls(desk: Desk) -> list[dict[str, Any]]:
    """Return what calls of the model took; the machine's time is charged beside them."""
    return [row for row in desk.flow.table(usage) if row["kind"] in (None, "model")]


def batch(desk: Desk) -> dict[str, Any]:
    return desk.flow.table(provider_batch)[-1]


def going_on(desk: Desk) -> list[Resumable]:
    """Return what upkeep would start a run for."""

    def client(name: str, agent: ModelAgent) -> BatchClient | None:
        return batch_client(name, agent, desk.resolve(agent.conn_id, agent.model))

    return what_can_go_on(desk.flow.ledger, client=client, log=logging.getLogger("t"))


def is_even(desk: Desk) -> bool:
    """Tell whether what the accounts spent is what the usage says, with nothing set aside."""
    spent = sum(to_nano(row["cost"] or Decimal(0)) for row in calls(desk))
    accounts = desk.flow.table(budget_account)
    held = sum(row["amount"] for row in desk.flow.table(reservation))
    return all(a["spent"] == spent and a["reserved"] == 0 for a in accounts) and held == 0


def test_a_batch_is_sent_and_collected_by_a_later_run(desk, server, clock):
    desk.flow.intake(rows(*[f"message {number}" for number in range(5)]))

    assert desk.judge() == {"waiting": 5, "with_provider": 5}
    assert desk.states() == {"waiting": 5}
    assert {row["wait_for"] for row in desk.flow.cases().values()} == {"batch"}
    assert server.newest["completion_window"] == "24h"
    assert server.newest["metadata"] == {"interlock_batch": batch(desk)["id"]}
    assert batch(desk)["state"] == "submitted"
    [account] = desk.flow.table(budget_account)
    assert account["reserved"] > 0 == account["spent"]

    clock.forward(hours=1)
    desk.flow.intake([], run="r2")
    assert desk.judge("r2") == {}
    assert desk.states() == {"waiting": 5}
    assert desk.flow.table(budget_account) == [account]

    server.end()
    assert desk.judge("r3") == {"done": 5}
    assert (at(desk, "route"), server.total) == (5, 0)
    assert [row["cost"] for row in calls(desk)] == [COST] * 5
    assert {row["price"] for row in calls(desk)} == {"prices.yaml 2020-01-01, batch"}
    assert {row["provenance"]["batch"] for row in desk.flow.table(handoff)} == {"batch_1"}
    assert is_even(desk)
    assert batch(desk)["state"] == "collected"
    assert not server.files
    assert not verify(desk.flow.ledger).problems


def test_a_request_in_a_batch_is_the_one_that_a_direct_call_makes(make_desk, server):
    desk = make_desk(retries=1)
    desk.flow.intake(rows("hello"))
    desk.judge()
    [line] = server.lines()
    server.end(without=[0])

    assert desk.judge("r2") == {"repeated": 1, "done": 1}
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["body"] == server.requests[-1]


def test_what_was_masked_is_written_out_again_and_never_left(desk, server):
    server.answer = ok(lambda body: {"kind": body["messages"][-1]["content"].split()[-1]})
    desk.flow.intake(rows("write to ann@example.com"))
    desk.judge()

    assert "ann@example.com" not in json.dumps(server.lines())
    server.end()
    desk.judge("r2")
    [row] = desk.flow.table(handoff)
    with desk.flow.ledger.read() as connection:
        [file] = load_files(connection, list(desk.flow.case_records().values()))
    assert file.context["Verdict"] == {"kind": "ann@example.com"}
    assert row["provenance"]["masked"] == {"EMAIL": 1}


def test_an_answer_to_the_creation_that_is_lost_makes_no_second_batch(desk, server):
    server.loses = ["create"]
    desk.flow.intake(rows("a", "b"))

    assert desk.judge()["with_provider"] == 2
    assert batch(desk)["state"] == "submitted"
    assert len(server.batches) == 1
    server.end()
    assert desk.judge("r2") == {"done": 2}
    assert len(server.batches) == 1


def test_whether_a_batch_runs_that_cannot_be_looked_up_is_found_out_later(desk, server, clock, monkeypatch):
    from interlock.agents.batch_client import BatchClient

    server.loses = ["create"]
    desk.flow.intake(rows("a", "b"))
    with monkeypatch.context() as patch:

        def down(self: Any, *args: Any) -> None:
            raise AgentUnavailable("down")

        patch.setattr(BatchClient, "find", down)
        assert desk.judge()["with_provider"] == 2
    assert batch(desk)["state"] == "intended"

    server.end()
    assert desk.judge("r2") == {"done": 2}
    assert (len(server.batches), server.total, is_even(desk)) == (1, 0, True)


def test_a_batch_that_never_reached_the_provider_is_sent_anew(desk, server, clock, monkeypatch):
    from interlock.agents.batch_client import BatchClient

    desk.flow.intake(rows("a", "b"))
    with monkeypatch.context() as patch:

        def killed(self: Any, *args: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(BatchClient, "upload", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.judge()
    assert desk.states() == {"waiting": 2}
    assert desk.judge("r2") == {}  # another run may still bring it there

    assert desk.judge()["with_provider"] == 2
    assert [row["state"] for row in desk.flow.table(provider_batch)] == ["failed", "submitted"]
    server.end()
    assert desk.judge("r2") == {"done": 2}
    assert (len(server.batches), is_even(desk)) == (1, True)


def test_answers_are_taken_in_any_order_and_once(desk, server):
    server.answer = ok(lambda body: {"kind": body["messages"][-1]["content"].split()[-1]})
    desk.flow.intake(rows("one", "two", "three"))
    desk.judge()
    server.end(twice=True, backwards=False)
    server.files[server.newest["output_file_id"]] = b"\n".join(
        [b"no json at all", *reversed(server.files[server.newest["output_file_id"]].splitlines()[::2])]
    )

    assert desk.judge("r2") == {"done": 3}
    assert len(calls(desk)) == len(desk.flow.table(handoff)) == 3
    assert is_even(desk)


def test_a_line_that_is_told_twice_counts_once(desk, server):
    desk.flow.intake(rows("one", "two"))
    desk.judge()
    server.end(twice=True)

    assert desk.judge("r2") == {"done": 2}
    assert Counter(row["outcome"] for row in calls(desk)) == {"ok": 2}


def test_what_a_batch_does_not_deliver_follows_the_runbook(make_desk, server):
    desk = make_desk(retries=1)
    server.when("nonsense", prose("I would rather not"))
    server.when("broken", error(500))
    server.when("refused", error(400, "invalid"))
    desk.flow.intake(rows("fine", "nonsense", "broken", "refused", "forgotten", "late"))
    desk.judge()
    keys = {row["id"]: row["business_key"] for row in desk.flow.cases().values()}
    places = {keys[line["custom_id"]]: place for place, line in enumerate(server.lines())}
    server.end(without=[places["R5"]], coded={places["R6"]: "batch_expired"})
    server._rules.clear()

    counts = desk.judge("r2")

    assert counts == {"repeated": 4, "done": 5, "uncertain": 1}  # AgentRefused goes to review
    assert server.total == 4
    told = Counter((row["outcome"], row["attempt"]) for row in calls(desk))
    assert told == {
        ("ok", 1): 1,
        ("ok", 2): 4,
        ("MalformedOutput", 1): 1,
        ("AgentUnavailable", 1): 2,
        ("AgentTimeout", 1): 1,
        ("AgentRefused", 1): 1,
    }
    missing = [r for r in calls(desk) if r["case_id"] in keys and r["price"] == "at most"]
    assert [keys[row["case_id"]] for row in missing] == ["R5"]
    assert is_even(desk)


@pytest.mark.parametrize("status", ["expired", "failed", "cancelled"])
def test_a_batch_that_ends_without_answers_leaves_its_cases_to_direct_calls_and_costs_nothing(
    make_desk, server, status
):
    desk = make_desk(retries=1)
    desk.flow.intake(rows("a", "b"))
    desk.judge()
    server.end(status, without=[0, 1])

    assert desk.judge("r2") == {"repeated": 2, "done": 2}
    assert sorted(row["cost"] for row in calls(desk))[:2] == [0, 0]
    assert is_even(desk)


def test_after_the_runbook_the_other_agent_is_asked(make_desk, server):
    desk = make_desk(more=", fallback: careful_judge")
    desk.flow.intake(rows("a sure=0.9", "b"))
    desk.judge()
    server.end(coded={0: "batch_expired", 1: "batch_expired"})

    assert desk.judge("r2") == {"handed_on": 2, "done": 2}


def test_a_case_that_is_due_sooner_is_asked_directly(desk, server, clock):
    desk.flow.intake(rows("urgent", "can wait"))
    change(desk, "R1", CaseChange(due_at=clock() + timedelta(hours=25)))

    assert desk.judge() == {"waiting": 1, "with_provider": 1, "done": 1}
    assert server.total == 1
    assert len(server.lines()) == 1


def test_a_batch_that_does_not_come_back_is_given_up_and_counts_as_the_most_it_can_cost(make_desk, server, clock):
    desk = make_desk(retries=1, more=", batch_window: 1h")
    desk.flow.intake(rows("a", "b"))
    desk.judge()
    assert server.newest["completion_window"] == "1h"
    held = desk.flow.table(budget_account)[0]["reserved"]
    clock.forward(hours=2, seconds=1)
    desk.flow.intake([], run="r2")

    assert desk.judge("r2") == {"repeated": 2, "done": 2}
    assert server.newest["status"] == "cancelling"
    lost = [row for row in calls(desk) if row["price"] == "at most"]
    assert sum(to_nano(row["cost"]) for row in lost) == held
    assert batch(desk)["state"] == "lost"
    assert is_even(desk)


def test_a_collection_that_breaks_off_is_done_again_and_counts_nothing_twice(desk, server, monkeypatch):
    import interlock.engine.agents.result_writer as result_writer
    import interlock.engine.agents.role as role

    monkeypatch.setattr(result_writer, "FLUSH_CASES", 2)
    desk.flow.intake(rows(*[f"message {number}" for number in range(6)]))
    desk.judge()
    server.end()
    seen = {"number": 0}
    take = role._Worker._take

    def broken(self: Any, case: Any, said: Any) -> Any:
        seen["number"] += 1
        if seen["number"] == 4:
            raise KeyboardInterrupt
        return take(self, case, said)

    with monkeypatch.context() as patch:
        patch.setattr(role._Worker, "_take", broken)
        with pytest.raises(KeyboardInterrupt):
            desk.judge("r2")
    assert 0 < at(desk, "route") < 6

    assert desk.judge("r3") == {}  # they stand in the other run, which may be alive
    desk.judge("r2")
    assert at(desk, "route") == 6
    assert len(calls(desk)) == len(desk.flow.table(handoff)) == 6
    assert server.total == 0
    assert is_even(desk)
    assert batch(desk)["state"] == "collected"


def test_an_answer_to_another_question_is_paid_for_and_not_taken(desk, server):
    desk.flow.intake(rows("a"))
    desk.judge()
    server.end()
    desk.flow.write("prompts/judge.md.j2", "Say what this is: {{ case.text }}")
    desk.flow.version = desk.flow.publish()

    assert desk.judge("r2") == {"waiting": 1, "with_provider": 1}
    assert [row["outcome"] for row in calls(desk)] == ["unused"]
    assert len(server.batches) == 2
    server.end()
    assert desk.judge("r3") == {"done": 1}
    assert is_even(desk)


def test_a_case_that_went_on_otherwise_does_not_get_the_answer(desk, server):
    desk.flow.intake(rows("a", "b"))
    desk.judge()
    change(desk, "R1", CaseChange(state="dead", reason="a person stopped it"))
    server.end()

    assert desk.judge("r2") == {"done": 1}
    assert sorted(row["outcome"] for row in calls(desk)) == ["ok", "unused"]
    assert is_even(desk)


def test_what_no_budget_has_room_for_is_not_sent(make_desk, server):
    desk = make_desk(budgets="budgets: [{per: workflow, every: month, limit: 0.02}]")
    desk.flow.intake(rows(*[f"message {number}" for number in range(10)]))

    counts = desk.judge()

    assert 0 < counts["with_provider"] == len(server.lines()) < 10
    assert counts["waiting"] == 10
    [account] = desk.flow.table(budget_account)
    assert account["reserved"] <= to_nano(Decimal("0.02"))
    assert Counter(row["wait_for"] for row in desk.flow.cases().values())["BudgetExhausted"] > 0


def test_a_service_without_batches_is_asked_directly(desk, server):
    server.refuses["upload"] = 404
    desk.flow.intake(rows("a", "b"))

    assert desk.judge()["done"] == 2
    assert batch(desk)["state"] == "failed"
    assert is_even(desk)


def test_a_provider_without_room_is_asked_again_later(desk, server, clock):
    server.refuses["create"] = 429
    desk.flow.intake(rows("a", "b"))

    assert desk.judge() == {"waiting": 2}
    del server.refuses["create"]
    clock.forward(minutes=16)
    desk.flow.intake([], run="r2")
    assert desk.judge("r2")["with_provider"] == 2
    assert server.total == 0


def test_a_provider_that_does_not_say_how_a_batch_stands_is_waited_for(desk, server):
    desk.flow.intake(rows("a"))
    desk.judge()
    server.refuses["look"] = 503

    assert desk.judge("r2") == {}
    assert desk.states() == {"waiting": 1}
    del server.refuses["look"]
    server.end()
    assert desk.judge("r3") == {"done": 1}


def test_an_agent_that_is_switched_off_sends_nothing_and_what_is_out_is_called_back(desk, server):
    desk.flow.intake(rows("a"))
    desk.judge()
    desk.flow.intake(rows("a", "b"), run="r2")
    agent = {"kind": "agent", "name": "refunds/judge", "person": "cleo"}
    throw(desk.flow.ledger, **agent, off=True, reason="it errs")

    with pytest.raises(SwitchedOff):
        desk.judge("r2")
    assert [b["status"] for b in server.batches.values()] == ["cancelling"]
    server.end("cancelled")
    throw(desk.flow.ledger, **agent, off=False, reason="it is well")
    assert desk.judge("r2") == {"done": 1, "waiting": 1, "with_provider": 1}


def test_the_summary_says_how_many_cases_are_with_the_provider_and_since_when(desk, server):
    desk.flow.intake(rows("a", "b"))
    desk.judge()

    summary = summarize(desk.flow.ledger)
    assert summary["with_provider"]["cases"] == 2
    assert "2 cases are with the provider since " in describe_summary(summary)
    server.end()
    desk.judge("r2")
    assert summarize(desk.flow.ledger)["with_provider"] is None


def test_off_peak_a_case_goes_on_in_a_later_run_and_before_it_is_due_whatever_the_tariff(make_desk, server, clock):
    begins = (clock() + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    calendar = f"off_peak: {{{begins:%A}: '00:00-24:00'}}\n".lower()
    desk = make_desk(**{"../company/calendar.yaml": calendar})
    desk.flow.intake(rows("can wait", "due tomorrow"))
    change(desk, "R2", CaseChange(due_at=clock() + timedelta(hours=23)))

    assert desk.judge() == {"waiting": 1, "done": 1}
    assert (server.total, len(server.batches)) == (1, 0)
    clock.now = begins - timedelta(minutes=1)
    assert "taken_up" not in desk.flow.intake([], run="r2")
    assert going_on(desk) == []
    clock.now = begins + timedelta(minutes=1)
    [ready] = going_on(desk)
    assert (ready.workflow, ready.dag_id, ready.cases, ready.since) == ("refunds", "refunds", 1, begins)
    assert desk.flow.intake([], run="r3")["taken_up"] == 1
    assert desk.judge("r3") == {"waiting": 1, "with_provider": 1}


def test_the_cases_of_a_batch_go_on_when_it_is_over_and_not_while_the_workflow_is_off(desk, server, clock, caplog):
    desk.flow.intake(rows("one", "two"))
    desk.judge()
    sent_at = batch(desk)["created_at"]
    assert going_on(desk) == []

    server.refuses["look"] = 503
    assert going_on(desk) == []
    assert f"how batch {batch(desk)['provider_id']} of refunds stands is not known" in caplog.text
    server.refuses.clear()
    server.end()
    [ready] = going_on(desk)
    assert (ready.workflow, ready.dag_id, ready.cases, ready.since) == ("refunds", "refunds", 2, sent_at)

    workflow = {"kind": "workflow", "name": "refunds", "person": "cleo"}
    throw(desk.flow.ledger, **workflow, off=True, reason="it errs")
    assert going_on(desk) == []
    throw(desk.flow.ledger, **workflow, off=False, reason="it is well")
    assert len(going_on(desk)) == 1
    desk.judge("r2")
    assert going_on(desk) == []


def test_the_same_cases_get_one_run_a_day(clock):
    one = Resumable("refunds", "refunds", 2, clock())

    first = resume_run_id(one, clock())
    assert first == resume_run_id(one, clock() + timedelta(minutes=15))
    assert first != resume_run_id(one, clock() + timedelta(days=1))
    assert first != resume_run_id(Resumable("refunds", "refunds", 1, clock() + timedelta(hours=1)), clock())
