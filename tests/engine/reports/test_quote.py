"""A quote before a run, and how good it was after it: on SQLite and PostgreSQL, from the ledger's own history."""

from __future__ import annotations

from decimal import Decimal

import pytest
from interlock.commands.quote import describe_quote
from interlock.domain.data.source import SourceRow
from interlock.engine.reports.quote import quote_history, quote_run
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import quote, usage
from workflows import NAME, Clock, Workflow

PRICES = "machine: {per_hour: 3.6}\nconnectors: {payout: {per_call: 0.01}}\n"


@pytest.fixture
def flow(tmp_path, ledger) -> Workflow:
    """A workflow whose machine and connector have a price."""
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", Clock()))
    flow.write("../company/prices.yaml", PRICES)
    flow.publish()
    return flow


def batch(name: str, cases: int, *, unsure: int) -> list[SourceRow]:
    texts = ["not sure"] * unsure + ["sure=0.95"] * (cases - unsure)
    return [SourceRow(number=n, values={"refund_id": f"{name}-{n}", "text": text}) for n, text in enumerate(texts, 2)]


def run(flow: Workflow, name: str, cases: int = 20, *, unsure: int = 5, seconds: float = 20.0) -> None:
    """Run all of it over a batch, so that its tasks take so long on the clock."""
    flow.intake(batch(name, cases, unsure=unsure), run=name)
    session = flow.session("judge", run=name)
    flow.ledger.clock.forward(seconds=seconds)
    flow.role("judge", session=session)
    for step in (flow.branch, lambda run: flow.role("again", run=run), lambda run: flow.branch("route_again", run=run)):
        step(run=name)
    flow.role("draft", run=name)
    flow.validate(run=name)
    flow.execute("send", run=name)
    flow.gate(run=name)
    flow.report(run=name)


def asked(flow: Workflow, rows, **more):
    return quote_run(flow.ledger, NAME, rows, source="inbox.csv", include=flow.include, seed=1, **more)


def test_without_a_history_nothing_is_known_and_it_is_said(flow):
    said = asked(flow, batch("a", 40, unsure=10))

    assert said["cases"] == 40
    assert {said[name]["middle"] for name in ("reviews", "seconds", "usd")} == {None}
    assert "no run has finished here yet, so there is nothing to base an estimate on" in "\n".join(describe_quote(said))


def test_a_quote_is_held_against_the_run_that_takes_its_source_in(flow):
    for number, seconds in enumerate((18.0, 20.0, 23.0)):
        run(flow, f"past{number}", seconds=seconds)

    said = asked(flow, batch("new", 40, unsure=12))
    assert (said["from_runs"], said["from_cases"]) == (3, 60)
    assert said["reviews"]["low"] <= 10 <= said["reviews"]["high"]
    assert said["usd"]["low"] < said["usd"]["middle"] < said["usd"]["high"]
    assert "reviews        " in "\n".join(describe_quote(said))
    assert flow.table(quote)[0]["run_id"] is None

    run(flow, "new", 40, unsure=12, seconds=40.0)

    (row,) = flow.table(quote)
    assert row["actual"]["cases"] == 40
    assert row["actual"]["reviews"] == 12
    assert row["actual"]["inside"]["reviews"] is True
    this = [line for line in flow.table(usage) if line["run_id"] == row["run_id"]]
    assert Decimal(row["actual"]["usd"]) == sum(line["cost"] for line in this)
    assert row["actual"]["seconds"] == sum(line["seconds"] for line in this if line["kind"] == "machine")
    assert quote_history(flow.ledger, NAME)["held"]["reviews"] == {"inside": 1, "outside": 0, "without_interval": 0}
    assert verify(flow.ledger).problems == []


def test_a_run_that_went_otherwise_is_told_as_outside(flow):
    for number, seconds in enumerate((18.0, 20.0, 23.0)):
        run(flow, f"past{number}", seconds=seconds)
    asked(flow, batch("new", 40, unsure=40))

    run(flow, "new", 40, unsure=40, seconds=4000.0)

    assert flow.table(quote)[0]["actual"]["inside"] == {"reviews": False, "seconds": False, "usd": False}
    assert quote_history(flow.ledger, NAME)["held"]["usd"]["outside"] == 1


def test_rows_that_are_in_the_ledger_or_come_twice_cost_nothing(flow):
    run(flow, "a")
    rows = batch("a", 20, unsure=5) + batch("b", 3, unsure=0) * 2 + [SourceRow(number=99, values=None, problem="x")]

    said = asked(flow, rows)

    assert (said["rows"], said["known"], said["repeated"], said["cases"]) == (27, 20, 3, 4)
    assert said["quarantined"] == 1
    assert "1 row would be quarantined" in describe_quote(said)[1]
    assert "4 new cases of 27 rows (20 already in the ledger, 3 duplicates) in inbox.csv" in describe_quote(said)[0]


def test_only_the_newest_quote_over_the_same_source_is_claimed_and_once(flow):
    asked(flow, batch("new", 20, unsure=5))
    flow.ledger.clock.forward(seconds=1)
    asked(flow, batch("new", 30, unsure=5))
    quote_run(flow.ledger, NAME, [], source="other.csv", include=flow.include)

    run(flow, "new")
    run(flow, "after")

    claimed = {row["cases"]: row["actual"] is not None for row in flow.table(quote)}
    assert claimed == {20: True, 30: True, 0: False}, "the second run takes the older one; the other source's waits"


def test_a_history_of_another_phase_is_not_asked(flow):
    run(flow, "a")
    text = (flow.include / NAME / "workflow.yaml").read_text("utf-8")
    flow.write("workflow.yaml", text.replace("phase: production", "phase: pilot"))
    flow.publish()

    assert asked(flow, batch("new", 20, unsure=5))["from_runs"] == 0
