"""The ledger's own cases and calls as rows for analysis: who, where, when and how sure, and never what a case says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from interlock.domain.cases.case import DONE, CaseState
from interlock.ledger.store.schema import case, decision, usage, workflow_run

BATCH = 2000


def case_rows(connection: Connection, environment: str, now: datetime) -> Iterator[Mapping[str, Any]]:
    """
    Yield the cases of *environment*, each with its last decision, in the order in which they were opened.

    A case is where it stands *now*: how long it waits and whether it is late are told for that instant.
    """
    query = (
        select(
            case.c.id.label("case_id"),
            *(case.c[name] for name in ("workflow", "state", "route", "opened_at", "changed_at", "due_at", "owner")),
            case.c.attempt,
            decision.c.confidence,
            decision.c.threshold,
            decision.c.rule,
        )
        .join(decision, decision.c.id == case.c.decision_id, isouter=True)
        .where(case.c.environment == environment)
        .order_by(case.c.opened_at, case.c.id)
    )
    for row in connection.execution_options(yield_per=BATCH).execute(query).mappings():
        is_done = CaseState(row["state"]) in DONE
        ended = row["changed_at"] if is_done else now
        yield {
            **row,
            "minutes_open": _minutes(row["opened_at"], row["changed_at"]),
            "minutes_waiting": None if is_done else _minutes(row["changed_at"], now),
            "is_done": is_done,
            "is_late": row["due_at"] is not None and ended > row["due_at"],
        }


def _minutes(since: datetime, until: datetime) -> float:
    return round((until - since).total_seconds() / 60, 3)


def usage_rows(connection: Connection, environment: str, now: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield the calls of agents in *environment*, in the order in which they were made."""
    names = ("case_id", "task", "agent", "model", "kind", "input_tokens", "output_tokens", "cost", "seconds", "outcome")
    query = (
        select(usage.c.id.label("call_id"), workflow_run.c.workflow, *(usage.c[name] for name in names))
        .add_columns(usage.c.created_at)
        .join(workflow_run, workflow_run.c.id == usage.c.run_id)
        .where(workflow_run.c.environment == environment)
        .order_by(usage.c.created_at, usage.c.id)
    )
    for row in connection.execution_options(yield_per=BATCH).execute(query).mappings():
        yield {**row}


EXTRACTS: dict[str, Callable[[Connection, str, datetime], Iterator[Mapping[str, Any]]]] = {
    "cases": case_rows,
    "usage": usage_rows,
}
"""Name in ``ledger://<name>`` to what gives its rows."""
