"""
The report on connections, from what is in force in the ledger's environment now.

The lookup comes in as a function, so nothing here imports Airflow. Of what it returns only ``rotated_on`` is read, and
of an error only its class is told: its text may hold what could not be parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from interlock.domain.policy.secret_report import (
    HeldConnection,
    agents_with_connections,
    named_connections,
    report_secrets,
)
from interlock.engine.policy.deployment import current_deployments
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import versions_in_force
from interlock.ledger.store.ledger import Ledger


def secret_report(ledger: Ledger, connection: Callable[[str], Any]) -> dict[str, Any]:
    """
    Return the connections in use with who uses them, their age and what nobody needs, as JSON types.

    A workflow that is paused counts as one that runs: what began goes on.

    :param connection: from a connection's id to anything with its ``extra``; None when Airflow has none.
    """
    company = company_in_force(ledger)
    running = {name for name, row in current_deployments(ledger).items() if row.state != "retired"}
    agents = agents_with_connections(
        version.bundle for version in versions_in_force(ledger) if version.bundle.workflow in running
    )
    names = named_connections(company.access, company.connectors, agents)
    rows = report_secrets(
        company.access,
        company.connectors,
        agents,
        {conn_id: _held(conn_id, connection) for conn_id in names},
        environment=ledger.environment,
        now=ledger.clock(),
    )
    warnings = []
    if company.number is None:
        here = f"environment {ledger.environment!r}"
        warnings.append(f"no version of the company's files is in force in {here}, so no connection is allowed")
    return {
        "environment": ledger.environment,
        "company": company.number,
        "connections": [
            {
                **asdict(row),
                "rotated_on": row.rotated_on.isoformat() if row.rotated_on else None,
                "due_since": row.due_since.isoformat() if row.due_since else None,
            }
            for row in rows
        ],
        "warnings": warnings,
    }


def _held(conn_id: str, connection: Callable[[str], Any]) -> HeldConnection:
    try:
        found = connection(conn_id)
    except Exception as error:  # each secrets backend raises its own
        return HeldConnection(error=type(error).__name__)
    if found is None:
        return HeldConnection(exists=False)
    try:
        extra = json.loads(found.extra or "{}")
    except ValueError:
        extra = None
    return HeldConnection(rotated_on=extra.get("rotated_on") if isinstance(extra, dict) else None)
