"""
Outcomes of cases: written once each, held against the cases that the ledger knows.

Whether a row completes or undoes is kept in the row (``final_at``), so that a later change of ``workflow.yaml`` changes
nothing that was recorded. What undoes what is worked out when it is read: rows are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause, exists, select

from interlock.domain.cases.case import CaseState
from interlock.domain.cases.outcome import NewOutcome, outcome_status
from interlock.ledger.cases.case import move
from interlock.ledger.store.ledger import Ledger, as_dict, in_groups
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.schema import case, outcome
from interlock.ledger.store.transaction import Row, Transaction, new_id


@dataclass
class Recorded:
    """What became of a group of outcomes."""

    recorded: int = 0
    closed: int = 0
    """Executed cases that one of them closed."""
    seen_before: int = 0
    rejected: list[tuple[NewOutcome, str]] = field(default_factory=list)
    """Those that cannot be taken, and why."""


def record_outcomes(tx: Transaction, environment: str, workflow: str, told: Sequence[NewOutcome]) -> Recorded:
    """
    Write the outcomes *told* that are new, as the actor of *tx*, and close executed cases that are completed.

    One that is there already (case, outcome, instant) is not written again, and is rejected when its value is another.
    """
    tx.take_turns(f"outcomes:{environment}:{workflow}")
    found = Recorded()
    cases = _locked(tx, environment, workflow, {one.business_key for one in told})
    there = {
        (row["case_id"], row["outcome"], row["happened_at"]): row["value"]
        for group in in_groups([row.id for row in cases.values()], 400)
        for row in map(as_dict, tx.connection.execute(select(outcome).where(outcome.c.case_id.in_(group))))
    }
    fresh: list[Row] = []
    completed: dict[str, tuple[Case, str]] = {}
    for one in told:
        row = cases.get(one.business_key)
        if row is None:
            found.rejected.append((one, f"{workflow} has no case {one.business_key!r}"))
            continue
        key = (row.id, one.outcome, one.happened_at)
        if key in there:
            if there[key] == one.value:
                found.seen_before += 1
            else:
                found.rejected.append((one, f"is recorded with value {there[key]} already"))
            continue
        there[key] = one.value
        fresh.append(
            {
                "id": new_id(),
                "case_id": row.id,
                "outcome": one.outcome,
                "value": one.value,
                "happened_at": one.happened_at,
                "final_at": one.final_at,
                "recorded_by": str(tx.actor),
                "source": one.source,
                "created_at": tx.at,
            }
        )
        if one.final_at is not None and row.state == CaseState.EXECUTED:
            completed.setdefault(row.id, (row, one.outcome))
    tx.insert(outcome, fresh, kind="outcome.recorded", facts=lambda r: {"outcome": r["outcome"], "case": r["case_id"]})
    move(
        tx,
        [
            (row, CaseChange(state=CaseState.CLOSED, task=None, reason=f"outcome {name!r}"))
            for row, name in completed.values()
        ],
        kind="case.completed",
    )
    found.recorded, found.closed = len(fresh), len(completed)
    return found


def _locked(tx: Transaction, environment: str, workflow: str, keys: set[str]) -> dict[str, Case]:
    known: dict[str, Case] = {}
    for group in in_groups(sorted(keys), 500):
        rows = tx.connection.execute(
            select(case)
            .where(case.c.environment == environment, case.c.workflow == workflow, case.c.business_key.in_(group))
            .order_by(case.c.id)
            .with_for_update()
        )
        known |= {row.business_key: Case.of(row) for row in rows}
    return known


def list_outcomes(ledger: Ledger, *, workflow: str | None = None, limit: int = 100) -> list[Row]:
    """Return outcomes with their case's ``business_key`` and ``standing``, the last that happened first."""
    query = select(outcome, case.c.business_key, case.c.workflow).join(case, case.c.id == outcome.c.case_id)
    query = query.where(case.c.environment == ledger.environment)
    if workflow is not None:
        query = query.where(case.c.workflow == workflow)
    with ledger.read() as connection:
        rows = [
            as_dict(row)
            for row in connection.execute(query.order_by(outcome.c.happened_at.desc(), outcome.c.id).limit(limit))
        ]
        of_case: dict[str, list[Row]] = {}
        for group in in_groups(list({row["case_id"] for row in rows}), 400):
            for other in connection.execute(select(outcome).where(outcome.c.case_id.in_(group))):
                of_case.setdefault(other.case_id, []).append(as_dict(other))
    now = ledger.clock()
    return [{**row, "standing": outcome_status(row, of_case[row["case_id"]], now)} for row in rows]


def stands(completed: FromClause = outcome) -> ColumnElement[bool]:
    """Return the condition that a row of *completed* (the table or an alias) completes its case and is not undone."""
    undone = outcome.alias("undone")
    return completed.c.final_at.is_not(None) & ~exists().where(
        undone.c.case_id == completed.c.case_id,
        undone.c.final_at.is_(None),
        undone.c.happened_at.between(completed.c.happened_at, completed.c.final_at),
    ).correlate(completed)


def told(row: Row) -> dict[str, Any]:
    """Return an outcome that :func:`list_outcomes` gave as JSON types."""
    kept = ("business_key", "workflow", "outcome", "standing", "recorded_by", "source")
    instants = {name: row[name].isoformat() if row[name] else None for name in ("happened_at", "final_at")}
    return (
        {name: row[name] for name in kept} | instants | {"value": None if row["value"] is None else str(row["value"])}
    )
