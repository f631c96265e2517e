"""The ledger's own cases and calls as rows for analysis: who, where, when and how sure, and never what a case says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from interlock.ledger.schema import case, decision, usage, workflow_run

BATCH = 2000


def case_rows(connection: Connection, environment: str) -> Iterator[Mapping[str, Any]]:
    """Yield the cases of *environment*, each with its last decision, in the order in which they were opened."""
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
        minutes = (row["changed_at"] - row["opened_at"]).total_seconds() / 60
        yield {**row, "minutes_open": round(minutes, 3)}


def usage_rows(connection: Connection, environment: str) -> Iterator[Mapping[str, Any]]:
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


EXTRACTS: dict[str, Callable[[Connection, str], Iterator[Mapping[str, Any]]]] = {
    "cases": case_rows,
    "usage": usage_rows,
}
"""Name in ``ledger://<name>`` to what gives its rows."""
