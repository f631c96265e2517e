"""
Which Airflow connections are in use, by whom, how old their secrets are, and what nobody needs.

Only the extra's key ``rotated_on`` of a connection comes in here, never a secret. Rows of ``uses`` that let the role
``intake`` read through a connection are taken as used: which source a run reads is in its Dag, not in what is in
force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from interlock.domain.agents.agent import ModelAgent
from interlock.domain.agents.usage_right import Use
from interlock.domain.approvals.access import Access
from interlock.domain.effects.connector import ConnectorDeclaration
from interlock.domain.policy.version import Bundle

AGENT_ROLES = ("enrichment", "reasoning", "drafting")
"""The roles that an agent carries out; of the others, only ``intake`` uses a connection by ``uses``."""
SOURCES = "intake (sources)"


@dataclass(frozen=True, kw_only=True)
class HeldConnection:
    """What Airflow says of a connection, without what is secret in it."""

    exists: bool = True
    rotated_on: Any = field(default=None, repr=False)
    """As the extra has it; no date, perhaps, and then it is shown to nobody."""
    error: str | None = None
    """Why it could not be looked up: the class of the error, as its text may hold a secret."""


@dataclass(frozen=True, kw_only=True)
class SecretRow:
    """One connection of the report."""

    conn_id: str
    users: tuple[str, ...]
    """``agent <workflow>/<agent>``, ``connector <name>``, ``intake (sources)``."""
    environments: tuple[str, ...]
    """In which it is allowed."""
    exists: bool | None
    """Whether Airflow has it; None: it could not be looked up."""
    rotated_on: date | None
    due_since: date | None
    """Since when it should have been rotated; None: it is not due, or nobody knows."""
    age: str
    """For people: ``12 days old``, ``due since 2026-03-01``, ``age unknown``."""
    findings: tuple[str, ...]
    """What is over-privileged, unused or wrong."""


def agents_with_connections(bundles: Iterable[Bundle]) -> dict[str, str]:
    """Return the agents that work with a connection, ``<workflow>/<agent>`` to its id."""
    return {
        f"{bundle.workflow}/{name}": declared.conn_id
        for bundle in bundles
        for name, declared in bundle.agents.items()
        if isinstance(declared, ModelAgent)
    }


def named_connections(
    access: Access, connectors: Mapping[str, ConnectorDeclaration], agents: Mapping[str, str]
) -> list[str]:
    """Return every connection that an agent, a connector, ``connections`` or a row of ``uses`` names, by name."""
    found = {*agents.values(), *(declared.conn_id for declared in connectors.values()), *access.connections}
    return sorted(found.union(*(use.connections for use in access.uses)))


def report_secrets(
    access: Access,
    connectors: Mapping[str, ConnectorDeclaration],
    agents: Mapping[str, str],
    held: Mapping[str, HeldConnection],
    *,
    environment: str,
    now: datetime,
) -> list[SecretRow]:
    """
    Return a row for each connection of :func:`named_connections`.

    :param agents: of the workflows that run here, as :func:`agents_with_connections` says.
    :param held: what Airflow says of each; one that is missing does not exist.
    """
    return [
        _secret_row(
            conn_id,
            access,
            _users(conn_id, access, connectors, agents),
            sorted(agent for agent, used in agents.items() if used == conn_id),
            held.get(conn_id, HeldConnection(exists=False)),
            environment=environment,
            now=now,
        )
        for conn_id in named_connections(access, connectors, agents)
    ]


def _users(
    conn_id: str, access: Access, connectors: Mapping[str, ConnectorDeclaration], agents: Mapping[str, str]
) -> list[str]:
    users = [f"agent {agent}" for agent in sorted(agents) if agents[agent] == conn_id]
    users += [f"connector {name}" for name, declared in connectors.items() if declared.conn_id == conn_id]
    if any(_is_for_sources(use) for use in access.uses if conn_id in use.connections):
        users.append(SOURCES)
    return users


def _secret_row(
    conn_id: str,
    access: Access,
    users: Sequence[str],
    working: Sequence[str],
    held: HeldConnection,
    *,
    environment: str,
    now: datetime,
) -> SecretRow:
    """
    Return the row of one connection.

    :param working: the agents that work with it.
    """
    rule = access.connections.get(conn_id)
    environments = rule.environments if rule else ()
    findings = [
        finding for use in access.uses if conn_id in use.connections for finding in _over_privileged(use, working)
    ]
    if environment in environments and not users:
        findings.append(f"unused: allowed in {environment}, and nothing here uses it")
    rotated_on = _read_date(held.rotated_on, now)
    if held.rotated_on is not None and rotated_on is None:
        findings.append("rotated_on in its extra is no day of the past: write it as 2026-03-01")
    due_since = _due_since(rotated_on, rule.rotate_every if rule else None, now)
    return SecretRow(
        conn_id=conn_id,
        users=tuple(users),
        environments=environments,
        exists=None if held.error is not None else held.exists,
        rotated_on=rotated_on,
        due_since=due_since,
        age=_age(held, rotated_on, due_since, now),
        findings=tuple(dict.fromkeys(findings)),
    )


def _age(held: HeldConnection, rotated_on: date | None, due_since: date | None, now: datetime) -> str:
    if held.error is not None:
        return f"could not be looked up: {held.error}"
    if not held.exists:
        return "not in Airflow"
    if rotated_on is None:
        return "age unknown"
    return f"due since {due_since}" if due_since else f"{max((now.date() - rotated_on).days, 0)} days old"


def _is_for_sources(use: Use) -> bool:
    return not use.agents and "intake" in use.roles


def _over_privileged(use: Use, working: Iterable[str]) -> list[str]:
    """Return what a row of ``uses`` allows and none of the agents *working* with the connection needs."""
    if use.agents:
        return [
            f"over-privileged: uses allows it to {name}, and no such agent in force works with it"
            for name in use.agents
            if not any(Use(agents=(name,)).fits(agent, None) for agent in working)
        ]
    # Which role an agent has is in its Dag, so a role is in need as soon as any agent could have it.
    needed = {"intake", *(AGENT_ROLES if any(working) else ())}
    return [
        f"over-privileged: uses allows it to role {role}, where no agent in force works with it"
        for role in use.roles
        if role not in needed
    ]


def _read_date(written: Any, now: datetime) -> date | None:
    try:
        found = date.fromisoformat(written) if isinstance(written, str) else None
    except ValueError:
        return None
    # east of Greenwich it may be tomorrow already
    return found if found and found <= now.date() + timedelta(days=1) else None


def _due_since(rotated_on: date | None, rotate_every: timedelta | None, now: datetime) -> date | None:
    if rotated_on is None or rotate_every is None:
        return None
    rotated = datetime(rotated_on.year, rotated_on.month, rotated_on.day, tzinfo=UTC)
    # compared as lengths: a day and a very long period have no sum that a date can hold
    return (rotated + rotate_every).date() if now - rotated > rotate_every else None
