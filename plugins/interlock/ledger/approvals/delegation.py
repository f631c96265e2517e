"""Who stands in for whom at gates, until when. One person gives it, and either of the two can end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select

from interlock.domain.approvals.access import Identity
from interlock.errors import InputError, NotAuthorised, UnknownName
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Delegation
from interlock.ledger.store.schema import case, delegation
from interlock.ledger.store.seal import demand_sealed, seal_of
from interlock.ledger.store.transaction import Actor, new_id


def delegate(
    ledger: Ledger, person: Identity, *, taker: str, until: datetime, reason: str, workflow: str | None = None
) -> Delegation:
    """
    Let *taker* vote for *person* until an instant.

    It gives no more than *person* may at the time of each vote, and it cannot be passed on.

    :raises InputError: the end is not ahead, or somebody would stand in for themselves.
    """
    with ledger.write(actor=Actor("person", person.id), chain=f"delegation:{ledger.environment}") as tx:
        if taker == person.id:
            raise InputError(f"{taker!r} cannot stand in for themselves")
        if until <= tx.at:
            raise InputError(f"a delegation ends in the future; {until.isoformat()} is over")
        row = Delegation(
            id=new_id(),
            environment=ledger.environment,
            giver=person.id,
            taker=taker,
            workflow=workflow,
            reason=reason,
            since=tx.at,
            until=until,
            ended_at=None,
            revision=1,
        )
        tx.insert(delegation, [row], kind="delegation.given", facts=_facts)
        return row


def end_delegation(ledger: Ledger, person: Identity, delegation_id: str) -> Delegation:
    """
    End a delegation before its time.

    :raises UnknownName: there is none that stands.
    :raises NotAuthorised: *person* neither gave nor took it.
    """
    with ledger.write(actor=Actor("person", person.id), chain=f"delegation:{ledger.environment}") as tx:
        standing = {row.id: row for row in _standing(tx.connection, ledger.environment, tx.at)}
        found = next((row for key, row in standing.items() if key.endswith(delegation_id)), None)
        if found is None:
            raise UnknownName("delegation that stands", delegation_id, [key[-8:] for key in standing])
        if person.id not in (found.giver, found.taker):
            two = f"{found.giver!r} or {found.taker!r}"
            raise NotAuthorised(f"{person.id!r} neither gave nor took this delegation; {two} may end it")
        return tx.update(delegation, [replace(found, ended_at=tx.at)], kind="delegation.ended", facts=_facts)[0]


def list_delegations(ledger: Ledger) -> list[Delegation]:
    """Return the delegations of the environment that stand now."""
    with ledger.read() as connection:
        return _standing(connection, ledger.environment, ledger.clock())


def stand_ins(connection: Connection, at: datetime, *, workflow: str, case_id: str) -> Mapping[str, tuple[str, ...]]:
    """Return who stands in at *at*, to those for whom, in the environment of the case."""
    environment = connection.execute(select(case.c.environment).where(case.c.id == case_id)).scalar_one()
    found: dict[str, tuple[str, ...]] = {}
    standing = _standing(connection, environment, at)
    demand_sealed(seal_of(connection), delegation, standing)
    for row in standing:
        if row.workflow in (None, workflow):
            found[row.taker] = (*found.get(row.taker, ()), row.giver)
    return found


def _standing(connection: Connection, environment: str, at: datetime) -> list[Delegation]:
    rows = connection.execute(
        select(delegation)
        .where(
            delegation.c.environment == environment,
            delegation.c.since <= at,
            delegation.c.until > at,
            or_(delegation.c.ended_at.is_(None), delegation.c.ended_at > at),
        )
        .order_by(delegation.c.since, delegation.c.id)
    )
    return Delegation.all_of(rows)


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("giver", "taker", "workflow")} | {"until": row["until"].isoformat()}
