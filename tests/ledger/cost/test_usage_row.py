"""What work costs beside models' calls: each cost is written once, priced when it arose, and chained."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from interlock.connectors.outbox import Outbox
from interlock.domain.approvals.access import Identity
from interlock.domain.effects.connector import EffectRequest, OutboxConnector
from interlock.engine.approvals.review_action import see, vote
from interlock.engine.effects.undo import undo
from interlock.errors import ConnectorUnavailable
from interlock.ledger.audit.verify import verify
from interlock.ledger.runs.run import end_attempt
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import usage
from workflows import Clock, Workflow, rows

PRICES = """
machine: {per_hour: 0.36}
people: {per_hour: 60, minutes_per_vote: 2}
connectors: {payout: {per_call: 0.01}}
"""


@pytest.fixture
def flow(tmp_path, ledger) -> Workflow:
    """A workflow whose machine, people and connector have a price, and a clock that stands."""
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", Clock()))
    flow.write("../company/prices.yaml", PRICES)
    flow.publish()
    return flow


def of_kind(flow: Workflow, kind: str) -> list[dict]:
    return [row for row in flow.table(usage) if row["kind"] == kind]


def test_a_task_costs_the_time_from_its_beginning_to_its_end_once(flow):
    session = flow.session("intake")
    flow.ledger.clock.forward(seconds=100)
    session.finish()
    flow.ledger.clock.forward(seconds=100)
    session.finish()

    (row,) = of_kind(flow, "machine")
    assert (row["cost"], row["seconds"], row["task"], row["price"]) == (
        Decimal("0.01"),
        100.0,
        "intake",
        "prices.yaml 2",
    )
    assert verify(flow.ledger).problems == []


def test_an_attempt_that_died_costs_what_it_lived_to_write_and_no_more(flow):
    flow.intake(rows("one"))
    dead = flow.session("judge")
    flow.ledger.clock.forward(seconds=50)
    flow.role("judge", session=dead)  # its own end is lost below
    with flow.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM usage WHERE kind = 'machine' AND task = 'judge'")
        connection.exec_driver_sql("UPDATE task_attempt SET ended_at = NULL WHERE task = 'judge'")
    flow.ledger.clock.forward(hours=5)

    flow.session("judge").finish()

    lost, after = sorted((r for r in of_kind(flow, "machine") if r["task"] == "judge"), key=lambda r: r["attempt"])
    assert (lost["outcome"], lost["seconds"], lost["cost"]) == ("lost", 50.0, Decimal("0.005"))
    assert (after["outcome"], after["seconds"]) == ("ok", 0.0)


def test_a_process_that_ends_after_another_took_over_is_not_charged_again(flow):
    first = flow.session("intake")
    flow.ledger.clock.forward(seconds=10)
    flow.session("intake").finish()
    end_attempt(flow.ledger, first.run, first.attempt, {})

    assert Counter(row["outcome"] for row in of_kind(flow, "machine")) == {"lost": 1, "ok": 1}


def test_each_vote_costs_a_persons_minutes_at_the_rate_of_that_day(flow):
    flow.up_to("send_signed", rows("one", "two"))
    lea = Identity("lea")
    vote(flow.ledger, "R1", person=lea, answer="approve", seen_digest=see(flow.ledger, "R1")["digest"])
    flow.write("../company/prices.yaml", PRICES.replace("per_hour: 60", "per_hour: 90"))
    flow.publish()
    vote(flow.ledger, "R2", person=lea, answer="reject", seen_digest=see(flow.ledger, "R2")["digest"], reason="no")

    costs = [(row["agent"], row["cost"], row["seconds"], row["price"]) for row in of_kind(flow, "people")]
    assert sorted(costs) == [
        ("leads", Decimal("2.000000000"), 120.0, "prices.yaml 2"),
        ("leads", Decimal("3.000000000"), 120.0, "prices.yaml 3"),
    ]
    assert all(row["case_id"] for row in of_kind(flow, "people"))
    assert verify(flow.ledger).problems == []


def test_every_call_of_a_connector_is_recorded_the_failed_and_the_looks_too(flow):
    class Flaky(Outbox):
        failures = 1

        def send(self, request: EffectRequest):
            if self.failures:
                self.failures -= 1
                raise ConnectorUnavailable("not now")
            return super().send(request)

    flow.up_to("send", rows("sure=0.9", "sure=0.95"))
    declared = OutboxConnector(kind="outbox", conn_id="payout", timeout_seconds=1.0)
    flow.execute(connector=Flaky("payout", declared, flow.outbox_folder))

    calls = [(row["model"], row["outcome"], row["attempt"], row["cost"]) for row in of_kind(flow, "connector")]
    assert sorted(calls) == [
        ("look", "ok", 1, Decimal("0.01")),
        ("send", "ConnectorUnavailable", 1, Decimal("0.01")),
        ("send", "ok", 1, Decimal("0.01")),
        ("send", "ok", 2, Decimal("0.01")),
    ]
    assert {row["connection"] for row in of_kind(flow, "connector")} == {"payout"}
    assert {row["case_id"] for row in of_kind(flow, "connector")} == {row["id"] for row in flow.cases().values()}
    assert verify(flow.ledger).problems == []


def test_undoing_is_recorded_as_a_call(flow):
    flow.up_to("sign_off", rows("sure=0.9"))

    undo(flow.ledger, "R1", person="cleo", reason="wrong", open_connector=lambda name, declared: flow.outbox())

    assert [row["model"] for row in of_kind(flow, "connector")] == ["send", "undo"]


def test_a_local_agent_costs_the_time_of_its_task_and_nothing_beside(flow):
    flow.up_to("route", rows("one", "two"))

    assert {row["cost"] for row in of_kind(flow, "local")} == {Decimal(0)}
    assert of_kind(flow, "model") == []


def test_without_prices_all_is_recorded_and_costs_nothing(tmp_path, sqlite_ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("report", rows("sure=0.9"))

    assert {"machine", "connector", "local"} == {row["kind"] for row in flow.table(usage)}
    assert {row["cost"] for row in flow.table(usage)} == {Decimal(0)}
