"""Outcomes of cases, told by another system: once each, provisional for a while, and undone in time or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from interlock.domain.data.source import SourceRow
from interlock.engine.cases.outcome import record
from interlock.errors import ConfigurationError, SourceError, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.outcome import list_outcomes, stands
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import outcome
from interlock.ledger.store.transaction import Actor
from sqlalchemy import func, select
from workflows import NAME, WORKFLOW, Clock, Workflow, rows, together

OUTCOMES = WORKFLOW + "outcomes: {completed: [paid, resolved], undone: [disputed], dispute_window: 14d}\n"
TASK = Actor("task", "outcomes.read")


@pytest.fixture
def flow(tmp_path, ledger) -> Workflow:
    """Two refunds that were sent and one that waits."""
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", Clock()), workflow=OUTCOMES)
    flow.up_to("report", rows("sure=0.95", "sure=0.99", "not sure"))
    assert flow.states() == {"R1": "executed", "R2": "executed", "R3": "waiting"}
    return flow


def told(*lines: str) -> list[SourceRow]:
    """Return rows: ``R1 paid 2026-03-02 12.50``."""
    found = []
    for number, line in enumerate(lines, 2):
        values = dict(zip(("key", "outcome", "happened_at", "value"), line.split(), strict=False))
        found.append(SourceRow(number=number, values=values))
    return found


def say(flow: Workflow, *lines: str, **more):
    return record(flow.ledger, NAME, told(*lines), source="paid.csv", actor=TASK, **more)


def standings(flow: Workflow) -> dict[tuple[str, str], str]:
    found = list_outcomes(flow.ledger, workflow=NAME)
    with flow.ledger.read() as connection:
        count = connection.execute(select(func.count()).select_from(outcome).where(stands())).scalar()
    assert count == sum(row.standing in ("provisional", "final") for row in found), "SQL and the domain disagree"
    return {(row.business_key, row.outcome): row.standing for row in found}


def test_a_completed_case_is_closed_and_its_outcome_kept_with_who_said_so(flow):
    assert say(flow, "R1 paid 2026-03-02T08:00:00Z 12.50") == {
        "rows": 1,
        "recorded": 1,
        "closed": 1,
        "rejected_rows": [],
    }

    (row,) = list_outcomes(flow.ledger)
    assert flow.states() == {"R1": "closed", "R2": "executed", "R3": "waiting"}
    assert (row.value, row.recorded_by, row.source) == (
        Decimal("12.50"),
        "task:outcomes.read",
        "paid.csv, row 2",
    )
    assert verify(flow.ledger).problems == []


def test_the_same_source_twice_is_recorded_once_and_another_value_is_told(flow):
    say(flow, "R1 paid 2026-03-02 12.50")

    assert say(flow, "R1 paid 2026-03-02 12.50", "R1 resolved 2026-03-02")["seen_before"] == 1
    again = say(flow, "R1 paid 2026-03-02 13")
    assert again["rejected_rows"] == ["row 2, R1: is recorded with value 12.50 already"]
    assert len(list_outcomes(flow.ledger)) == 2


def test_two_who_tell_the_same_at_once_record_it_once(flow):
    said = together(*[lambda: say(flow, "R1 paid 2026-03-02", "R2 paid 2026-03-02")] * 4)

    assert sorted(one.get("recorded", 0) for one in said) == [0, 0, 0, 2]
    assert verify(flow.ledger).problems == []


def test_rows_that_cannot_be_taken_are_told_each_with_its_reason(flow):
    unreadable = SourceRow(number=9, values=None, problem="too many cells")
    lines = ("R9 paid 2026-03-02", "R1 payed 2026-03-02", "R1 paid soon", "R1 paid 2026-03-03", "R1 paid 2026-03-02 x")
    found = record(flow.ledger, NAME, [*told(*lines, "R2 paid 2026-03-02"), unreadable], source="p.csv", actor=TASK)

    assert (found["rows"], found["recorded"], found["rejected"]) == (7, 1, 6)
    assert [line.partition(". ")[0] for line in found["rejected_rows"]] == [
        "row 3, R1: there is no outcome 'payed' in outcomes of workflow.yaml",
        "row 4, R1: 'soon' is no date; write 2026-11-24 or 2026-11-24T17:00:00+01:00",
        "row 5, R1: 2026-03-03 00:00 UTC is in the future",
        "row 6, R1: 'x' is no amount; write 1234.50",
        "row 9: too many cells",
        "row 2, R9: refunds has no case 'R9'",
    ]


def test_many_rejected_rows_are_all_counted_and_logged_and_the_first_are_handed_back(flow, caplog):
    found = say(flow, *["R9 paid 2026-03-02"] * 30)

    assert (found["rejected"], len(found["rejected_rows"])) == (30, 20)
    assert sum("has no case 'R9'" in line for line in caplog.messages) == 30


def test_an_outcome_is_undone_within_its_window_alone(flow):
    say(flow, "R1 paid 2026-03-02", "R2 paid 2026-03-02")
    assert set(standings(flow).values()) == {"provisional"}
    flow.ledger.clock.forward(days=20)

    say(flow, "R1 disputed 2026-03-16", "R2 disputed 2026-03-17")

    assert standings(flow) == {
        ("R1", "paid"): "undone",
        ("R1", "disputed"): "undoes",
        ("R2", "paid"): "final",
        ("R2", "disputed"): "too late",
    }
    assert flow.states()["R1"] == "closed"


def test_an_outcome_of_a_case_that_was_not_sent_closes_nothing(flow):
    assert "closed" not in say(flow, "R3 paid 2026-03-02")
    assert flow.states()["R3"] == "waiting"


def test_columns_are_named_as_the_source_names_them(flow):
    rows_ = [SourceRow(number=2, values={"refund": "R1", "what": "paid", "on": "2026-03-02"})]
    columns = {"key": "refund", "outcome": "what", "happened_at": "on"}

    assert record(flow.ledger, NAME, rows_, source="p.csv", actor=TASK, columns=columns)["recorded"] == 1
    with pytest.raises(SourceError, match=r"has no column 'outcome', 'happened_at'; it has: 'refund', 'what', 'on'"):
        record(flow.ledger, NAME, rows_, source="p.csv", actor=TASK, columns={"key": "refund"})
    with pytest.raises(UnknownName, match=r"no column of an outcome 'keys'.*Did you mean 'key'"):
        record(flow.ledger, NAME, rows_, source="p.csv", actor=TASK, columns={"keys": "refund"})


def test_a_workflow_without_outcomes_says_what_to_write(tmp_path, sqlite_ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    with pytest.raises(ConfigurationError, match=r"refunds/workflow.yaml has no outcomes\. Write which"):
        say(flow, "R1 paid 2026-03-02")
