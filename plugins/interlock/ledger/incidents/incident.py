"""
Incidents: one for a trouble that many cases share, from its first case until it is over.

An incident is open once per workflow, kind and subject; whoever answers for it is told when it opens and not again. It
is acknowledged by a person, escalated by the upkeep when nobody does, and closed by a person or by recovery, which is
what mean time to recovery is measured from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, select

from interlock.domain.policy.workflow import Workflow
from interlock.errors import ConfigurationError, UnknownName
from interlock.ledger.incidents.notice import write_notice
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Incident
from interlock.ledger.store.schema import incident
from interlock.ledger.store.transaction import Actor, Transaction, new_id

OPEN, ACKNOWLEDGED, CLOSED = "open", "acknowledged", "closed"
RECOVERY = "recovery"
"""Who closes an incident that is over by itself."""


def report_incident(
    tx: Transaction,
    *,
    environment: str,
    settings: Workflow,
    kind: str,
    subject: str,
    reason: str,
    cases: int = 0,
    tell: Sequence[str] = ("owner",),
) -> Incident:
    """
    Open an incident and tell whom *tell* names, or count *cases* into the one that is open.

    :param kind: the class of the failure.
    :param subject: what failed: an agent, a connection, a budget.
    """
    workflow = settings.workflow
    tx.take_turns(f"incident:{environment}:{workflow}")
    found = tx.connection.execute(
        _live(environment, workflow).where(incident.c.kind == kind, incident.c.subject == subject).with_for_update()
    ).first()
    if found is not None:
        changed = replace(Incident.of(found), cases=found.cases + cases, last_at=tx.at)
        return tx.update(incident, [changed], kind="incident.went_on")[0]
    row = Incident(
        id=new_id(),
        environment=environment,
        workflow=workflow,
        kind=kind,
        subject=subject,
        state=OPEN,
        reason=reason,
        cases=cases,
        opened_at=tx.at,
        last_at=tx.at,
        revision=1,
    )
    tx.insert(incident, [row], kind="incident.opened", facts=lambda r: {"kind": r["kind"], "subject": r["subject"]})
    people = {"owner": settings.owner, "maintainer": settings.maintainer, "approver": settings.approver}
    if tell:
        write_notice(
            tx,
            environment=environment,
            workflow=workflow,
            kind="incident",
            recipients=[people[name].email for name in tell],
            subject=f"{workflow}: {kind} at {subject}",
            body=f"{reason}\nairflow interlock incidents list --workflow {workflow}",
        )
    return row


def recover(tx: Transaction, *, environment: str, workflow: str, subject: str, kinds: Sequence[str] = ()) -> int:
    """Close the live incidents of *subject*, of *kinds* or of all, because it works again; return how many."""
    query = _live(environment, workflow).where(incident.c.subject == subject)
    if kinds:
        query = query.where(incident.c.kind.in_(list(kinds)))
    rows = Incident.all_of(tx.connection.execute(query.order_by(incident.c.id).with_for_update()))
    closed = [replace(row, state=CLOSED, closed_at=tx.at, closed_by=RECOVERY) for row in rows]
    tx.update(incident, closed, kind="incident.recovered")
    return len(closed)


def settle_incident(ledger: Ledger, incident_id: str, *, person: str, close: bool) -> Incident:
    """
    Acknowledge or close an incident as *person*.

    :raises UnknownName: there is no such incident.
    :raises ConfigurationError: it is closed already.
    """
    with ledger.write(actor=Actor("person", person), chain=f"incident:{ledger.environment}") as tx:
        query = select(incident).where(
            incident.c.environment == ledger.environment, incident.c.id.endswith(incident_id)
        )
        rows = Incident.all_of(tx.connection.execute(query.limit(2).with_for_update()))
        if len(rows) != 1:
            known = [row.id[-8:] for row in list_incidents(tx.connection, ledger.environment)]
            raise UnknownName("incident", incident_id, known)
        row = rows[0]
        if row.state == CLOSED:
            raise ConfigurationError(f"incident {incident_id!r} was closed by {row.closed_by} already")
        changed = replace(
            row,
            state=ACKNOWLEDGED,
            acknowledged_at=row.acknowledged_at or tx.at,
            acknowledged_by=row.acknowledged_by or person,
        )
        if not close:
            return tx.update(incident, [changed], kind="incident.acknowledged")[0]
        closed = replace(changed, state=CLOSED, closed_at=tx.at, closed_by=person)
        return tx.update(incident, [closed], kind="incident.closed")[0]


def list_incidents(
    connection: Connection, environment: str, *, workflow: str | None = None, all_of_them: bool = False
) -> list[Incident]:
    """Return the incidents that are not closed, or *all_of_them*, the latest first."""
    query = select(incident).where(incident.c.environment == environment)
    if workflow is not None:
        query = query.where(incident.c.workflow == workflow)
    if not all_of_them:
        query = query.where(incident.c.state != CLOSED)
    return Incident.all_of(connection.execute(query.order_by(incident.c.opened_at.desc()).limit(1000)))


def unanswered(connection: Connection, environment: str) -> list[Incident]:
    """Return the open incidents that nobody acknowledged and that were not escalated."""
    query = select(incident).where(
        incident.c.environment == environment, incident.c.state == OPEN, incident.c.escalated_at.is_(None)
    )
    return Incident.all_of(connection.execute(query.order_by(incident.c.id).with_for_update()))


def escalate_incident(tx: Transaction, row: Incident) -> None:
    """Record that those above the owner are notified of an incident that nobody acknowledged."""
    tx.update(incident, [replace(row, escalated_at=tx.at)], kind="incident.escalated")


def _live(environment: str, workflow: str) -> Select[Any]:
    return select(incident).where(
        incident.c.environment == environment, incident.c.workflow == workflow, incident.c.state != CLOSED
    )
