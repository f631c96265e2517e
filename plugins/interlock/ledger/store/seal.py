"""
The seals of rows that give authority: what a holder of the key wrote, and nobody changed in the database.

A seal covers the columns that say what a row allows. Where a row is at the moment (a case's task, whether a request is
open) changes all the time and allows nothing, so it is not sealed, and a task that moves a case makes no seal for
whatever it found there. A row of another table cannot take a seal over, because the table's name is sealed, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table

from interlock.domain.base.canonical import digest
from interlock.domain.base.seal import Sealer
from interlock.errors import Tampered
from interlock.ledger.store.record import Record

COLUMN = "seal"

UNSEALED: Mapping[str, frozenset[str]] = {
    "workflow_version": frozenset(),
    "approval": frozenset(),
    "version_in_force": frozenset(),
    "deployment": frozenset(),
    "delegation": frozenset(),
    "workflow_run": frozenset({"ended_at", "as_of", "revision"}),
    "case": frozenset(
        {
            *("state", "route", "task", "run_id", "attempt", "context", "handoff_id", "draft_id", "decision_id"),
            *("review_asked_by", "reason", "owner", "due_at", "late_told_at", "wait_for", "wait_until"),
            *("changed_at", "revision"),
        }
    ),
    "handoff": frozenset(),
    "decision": frozenset({"rule", "error"}),  # words that forgetting blanks
    "authorisation": frozenset(),
    "gate_request": frozenset({"run_id", "task", "state", "decided_at", "steps", "revision"}),
    "vote": frozenset({"reason"}),
}
"""The tables whose rows are sealed, each with the columns that its seal does not cover."""


def sealed_text(table: Table, row_digest: str) -> str:
    """Return what is sealed of a row whose sealed columns have the digest *row_digest*."""
    return f"{table.name}\n{row_digest}"


def seal_of(connection: Connection) -> Sealer | None:
    """Return the keys that *connection* looks at seals with; None: it reads without looking at them."""
    sealer: Sealer | None = connection.get_execution_options().get("interlock_seal")
    return sealer


def subject_of(table: Table, row: Mapping[str, Any]) -> str:
    """Return how events and incidents name *row*."""
    return f"{table.name}:" + ":".join(str(row[column.name]) for column in table.primary_key.columns)


def fault_of(sealer: Sealer, table: Table, row: Mapping[str, Any]) -> str | None:
    """Return why *row* is not what a holder of the key wrote; None: it is."""
    seal = row.get(COLUMN)
    if seal is None:
        return (
            f"{subject_of(table, row)} has no seal: it was written without the key, or before there were seals "
            "(then, after a look with airflow interlock ledger verify: airflow interlock ledger seal --unsealed)"
        )
    if sealer.holds(sealed_text(table, sealed_digest(table, row)), seal):
        return None
    name = str(seal).partition(":")[0]
    if name not in sealer.keys:
        return f"{subject_of(table, row)} is sealed with key {name!r}, and known are {', '.join(sorted(sealer.keys))}"
    return f"{subject_of(table, row)} is not what its seal says: it was changed in the database"


def sealed_digest(table: Table, row: Mapping[str, Any]) -> str:
    """Return the digest over the sealed columns of *row* that hold something."""
    apart = UNSEALED[table.name] | {COLUMN}
    return digest({c.name: value for c in table.columns if c.name not in apart and (value := row[c.name]) is not None})


def demand_sealed(sealer: Sealer | None, table: Table, rows: Iterable[Any]) -> None:
    """
    Let *rows*, records or result rows, be used as authority.

    :param sealer: None: nobody looks.
    :raises Tampered: one of them is not what a holder of the key wrote.
    """
    if sealer is None:
        return
    for row in rows:
        values = row.__dict__ if isinstance(row, Record) else row._mapping
        if (fault := fault_of(sealer, table, values)) is not None:
            raise Tampered(fault, subject=subject_of(table, values))
