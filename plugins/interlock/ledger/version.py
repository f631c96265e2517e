"""
Publishing versions of a workflow, and which one is in force. A version is never changed, only followed by another.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from interlock.domain.version import Bundle, WorkflowVersion
from interlock.errors import ConfigurationError
from interlock.ledger.book import Ledger, as_dict
from interlock.ledger.schema import version_in_force, workflow_version
from interlock.ledger.transaction import Actor, new_id


def publish(ledger: Ledger, bundle: Bundle, *, author: Actor, reason: str) -> tuple[WorkflowVersion, bool]:
    """
    Put *bundle* in force in the ledger's environment as the next version.

    The text that is in force already is not published again: its version is returned, with False.
    """
    with ledger.write(actor=author, chain=f"policy:{ledger.environment}:{bundle.workflow}") as tx:
        tx.take_turns(tx.chain)
        current = _in_force(tx.connection, ledger.environment, bundle.workflow, tx.at)
        if current is not None and current.bundle.digest == bundle.digest:
            return current, False
        last = tx.connection.execute(
            select(func.max(workflow_version.c.number)).where(
                workflow_version.c.environment == ledger.environment, workflow_version.c.workflow == bundle.workflow
            )
        ).scalar()
        version = {
            "id": new_id(),
            "environment": ledger.environment,
            "workflow": bundle.workflow,
            "number": (last or 0) + 1,
            "digest": bundle.digest,
            "author": str(author),
            "reason": reason,
            "bundle": bundle.to_json(),
            "published_at": tx.at,
        }
        tx.insert(
            workflow_version,
            [version],
            kind="version.published",
            facts=lambda row: {"number": row["number"], "digest": row["digest"]},
        )
        tx.insert(
            version_in_force,
            [
                {
                    "id": new_id(),
                    "environment": ledger.environment,
                    "workflow": bundle.workflow,
                    "version_id": version["id"],
                    "since": tx.at,
                    "set_by": str(author),
                }
            ],
            kind="version.in_force",
            facts=lambda row: {"version": row["version_id"]},
        )
        return _version(version), True


def in_force(ledger: Ledger, workflow: str) -> WorkflowVersion:
    """
    Return the version of *workflow* that is in force now.

    :raises ConfigurationError: none is.
    """
    with ledger.read() as connection:
        found = _in_force(connection, ledger.environment, workflow, ledger.clock())
    if found is None:
        raise ConfigurationError(
            f"no version of workflow {workflow!r} is in force in environment {ledger.environment!r}. "
            f"Publish one: airflow interlock policy publish {workflow}"
        )
    return found


def load_version(connection: Connection, version_id: str) -> WorkflowVersion:
    """Return the version *version_id*."""
    row = connection.execute(select(workflow_version).where(workflow_version.c.id == version_id)).one()
    return _version(as_dict(row))


def history(ledger: Ledger, workflow: str) -> list[dict[str, Any]]:
    """Return number, digest, author, reason and instant of every version of *workflow*, the newest first."""
    columns = workflow_version.c
    with ledger.read() as connection:
        rows = connection.execute(
            select(columns.number, columns.digest, columns.author, columns.reason, columns.published_at)
            .where(columns.environment == ledger.environment, columns.workflow == workflow)
            .order_by(columns.number.desc())
        )
        return [as_dict(row) for row in rows]


def _in_force(connection: Connection, environment: str, workflow: str, at: datetime) -> WorkflowVersion | None:
    row = connection.execute(
        select(workflow_version)
        .join(version_in_force, version_in_force.c.version_id == workflow_version.c.id)
        .where(
            version_in_force.c.environment == environment,
            version_in_force.c.workflow == workflow,
            version_in_force.c.since <= at,
        )
        .order_by(version_in_force.c.since.desc(), workflow_version.c.number.desc())
        .limit(1)
    ).first()
    return None if row is None else _version(as_dict(row))


def _version(row: dict[str, Any]) -> WorkflowVersion:
    return WorkflowVersion(row["id"], row["environment"], row["number"], row["author"], Bundle.from_json(row["bundle"]))
