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
from interlock.domain.cases.outcome import NewOutcome, OutcomeStatus, outcome_status
from interlock.ledger.cases.case import move
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import Case, CaseChange, Outcome
from interlock.ledger.store.schema import case, outcome
from interlock.ledger.store.transaction import Transaction, new_id


@dataclass(frozen=True, kw_only=True)
class ListedOutcome(Outcome):
    """An outcome with its case, and whether it counts."""

    business_key: str
    workflow: str
    standing: OutcomeStatus

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "business_key": self.business_key,
            "workflow": self.workflow,
            "outcome": self.outcome,
            "standing": self.standing,
            "recorded_by": self.recorded_by,
            "source": self.source,
            "happened_at": self.happened_at.isoformat(),
            "final_at": self.final_at.isoformat() if self.final_at else None,
            "value": None if self.value is None else str(self.value),
        }


@dataclass
class Recorded:
    """What became of a group of outcomes."""

    recorded: int = 0
    closed: int = 0
    """Executed cases that one of them closed."""
    seen_before: int = 0
    rejected: list[tuple[NewOutcome, str]] = field(default_factory=list)
    """Those that cannot be taken, and why."""


def record_outcomes(tx: Transaction, environment: str, workflow: str, reported: Sequence[NewOutcome]) -> Recorded:
    """
    Write the outcomes *told* that are new, as the actor of *tx*, and close executed cases that are completed.

    One that is there already (case, outcome, instant) is not written again, and is rejected when its value is another.
    """
    tx.take_turns(f"outcomes:{environment}:{workflow}")
    found = Recorded()
    cases = _locked(tx, environment, workflow, {one.business_key for one in reported})
    known = {
        (row.case_id, row.outcome, row.happened_at): row.value
        for group in in_groups([row.id for row in cases.values()], 400)
        for row in tx.connection.execute(select(outcome).where(outcome.c.case_id.in_(group)))
    }
    fresh: list[Outcome] = []
    completed: dict[str, tuple[Case, str]] = {}
    for one in reported:
        row = cases.get(one.business_key)
        if row is None:
            found.rejected.append((one, f"{workflow} has no case {one.business_key!r}"))
            continue
        key = (row.id, one.outcome, one.happened_at)
        if key in known:
            if known[key] == one.value:
                found.seen_before += 1
            else:
                found.rejected.append((one, f"is recorded with value {known[key]} already"))
            continue
        known[key] = one.value
        fresh.append(
            Outcome(
                id=new_id(),
                case_id=row.id,
                outcome=one.outcome,
                value=one.value,
                happened_at=one.happened_at,
                final_at=one.final_at,
                recorded_by=str(tx.actor),
                source=one.source,
                created_at=tx.at,
            )
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


def list_outcomes(
    ledger: Ledger, *, workflow: str | None = None, among: ColumnElement[bool] | None = None, limit: int = 100
) -> list[ListedOutcome]:
    """
    Return outcomes with their case's ``business_key`` and ``standing``, the last that happened first.

    :param among: cases whose outcomes are wanted. Default: all.
    """
    query = select(outcome, case.c.business_key, case.c.workflow).join(case, case.c.id == outcome.c.case_id)
    query = query.where(case.c.environment == ledger.environment)
    if workflow is not None:
        query = query.where(case.c.workflow == workflow)
    if among is not None:
        query = query.where(among)
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(outcome.c.happened_at.desc(), outcome.c.id).limit(limit)).all()
        of_case: dict[str, list[Outcome]] = {}
        for group in in_groups(list({row.case_id for row in rows}), 400):
            for other in connection.execute(select(outcome).where(outcome.c.case_id.in_(group))):
                of_case.setdefault(other.case_id, []).append(Outcome.of(other))
    now = ledger.clock()
    return [
        ListedOutcome.from_values(
            {**row._mapping, "standing": outcome_status(Outcome.of(row), of_case[row.case_id], now)}
        )
        for row in rows
    ]


def stands(completed: FromClause = outcome) -> ColumnElement[bool]:
    """Return the condition that a row of *completed* (the table or an alias) completes its case and is not undone."""
    undone = outcome.alias("undone")
    return completed.c.final_at.is_not(None) & ~exists().where(
        undone.c.case_id == completed.c.case_id,
        undone.c.final_at.is_(None),
        undone.c.happened_at.between(completed.c.happened_at, completed.c.final_at),
    ).correlate(completed)
