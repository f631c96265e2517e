"""
The SQL that gives three PostgreSQL roles the rights on the ledger that they need, and no more.

The *worker* is who Airflow's tasks connect as, the *console* the API server, where people act and publish, the
*auditor* whoever looks and verifies. None may change or delete an event: the owner of the tables, who migrates them,
is stopped by a trigger alone and should be nobody's login. A new table has its rights after these statements ran again.
"""

from __future__ import annotations

from sqlalchemy import Table

from interlock.errors import ConfigurationError
from interlock.ledger.store.schema import (
    anchor,
    approval,
    audit_chain,
    budget_account,
    case_secret,
    connection_state,
    decision,
    delegation,
    deployment,
    kill_switch,
    label,
    metadata,
    payload,
    permit,
    reservation,
    task_attempt,
    version_in_force,
    vote,
    workflow_version,
)

DECIDED = frozenset(
    {
        workflow_version.name,
        approval.name,
        version_in_force.name,
        deployment.name,
        delegation.name,
        kill_switch.name,
        anchor.name,
    }
)
"""Written by people through the console alone; no task publishes, or lifts a stop."""

COUNTED = frozenset(
    {audit_chain.name, task_attempt.name, budget_account.name, reservation.name, connection_state.name, permit.name}
)
"""Rows that change though they have no revision."""

ERASED_ROWS = (payload, case_secret)
"""What forgetting deletes."""

ERASED_TEXTS = ((label, "value"), (vote, "reason"), (decision, "rule, error"))
"""What forgetting blanks."""

SEEN_OF = {payload.name: "case_id, digest", case_secret.name: "case_id"}
"""What an auditor sees of the tables that hold content and secrets: what verifying the rest needs."""


def grants(*, worker: str, console: str, auditor: str, schema: str = "public") -> str:
    """
    Return the statements for three roles, which are made when they are not there; passwords are set apart.

    :raises ConfigurationError: two of the roles are one.
    """
    roles = (worker, console, auditor)
    if len(set(roles)) != len(roles):
        raise ConfigurationError(f"the roles are {', '.join(map(repr, roles))}; give three different ones")
    names = [_quoted(role) for role in roles]
    place, everybody = _quoted(schema), ", ".join(names)
    lines = ["-- Run as the owner of the ledger's tables, in its database, and again after each migration.", "BEGIN;"]
    lines += [_made(role) for role in roles]
    lines += [
        f"REVOKE CREATE ON SCHEMA {place} FROM PUBLIC;",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {place} FROM {everybody};",
        f"GRANT USAGE ON SCHEMA {place} TO {everybody};",
    ]
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        lines += _on_table(table, place, *names)
    lines += ["", "-- forgetting a case"]
    lines += [f"GRANT DELETE ON {place}.{_quoted(table.name)} TO {names[1]};" for table in ERASED_ROWS]
    lines += [
        f"GRANT UPDATE ({columns}) ON {place}.{_quoted(table.name)} TO {names[1]};" for table, columns in ERASED_TEXTS
    ]
    return "\n".join([*lines, "COMMIT;"])


def _on_table(table: Table, place: str, worker: str, console: str, auditor: str) -> list[str]:
    rights = "SELECT, INSERT"
    if "revision" in table.columns or table.name in COUNTED:
        rights += ", UPDATE"
    where = f"{place}.{_quoted(table.name)}"
    seen = f"SELECT ({SEEN_OF[table.name]})" if table.name in SEEN_OF else "SELECT"
    return [
        f"GRANT {'SELECT' if table.name in DECIDED else rights} ON {where} TO {worker};",
        f"GRANT {rights} ON {where} TO {console};",
        f"GRANT {seen} ON {where} TO {auditor};",
    ]


def _made(role: str) -> str:
    literal = role.replace("'", "''")
    made = f"CREATE ROLE {_quoted(role)} LOGIN"
    return (
        f"DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{literal}') THEN {made}; END IF; END $do$;"
    )


def _quoted(name: str) -> str:
    if not name or "\0" in name or "$do$" in name:
        raise ConfigurationError(f"{name!r} cannot be the name of a role or schema")
    return '"' + name.replace('"', '""') + '"'
