"""
Kill switches: a workflow, an agent or a connector that a person stopped in this environment.

A row is one time that it was off, so the switch's history stays. Off is a row that nobody has answered with *on*; that
there is no row means on, because a new workflow must not need one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select

from interlock.errors import InputError, SwitchedOff
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import KillSwitch
from interlock.ledger.store.schema import kill_switch
from interlock.ledger.store.transaction import Actor, Transaction, new_id

KINDS = ("workflow", "agent", "connector")
"""What can be switched off. An agent's name is ``workflow/agent``; the other two have their own."""

Switch = tuple[str, str]
"""Kind and name."""


def switch_off(ledger: Ledger, switch: Switch, *, actor: Actor, reason: str) -> tuple[KillSwitch, bool]:
    """Stop *switch* and return its row and True; one that is off already stays as it is, with False."""
    with _turn(ledger, actor) as tx:
        already = _off(tx.connection, ledger.environment, [switch])
        if already is not None:
            return already, False
        row = KillSwitch(
            id=new_id(),
            environment=ledger.environment,
            kind=switch[0],
            name=switch[1],
            off_by=str(actor),
            off_at=tx.at,
            off_reason=reason,
            revision=1,
        )
        tx.insert(kill_switch, [row], kind="switch.off", facts=_facts)
        return row, True


def switch_on(ledger: Ledger, switch: Switch, *, actor: Actor, reason: str) -> KillSwitch:
    """
    Let *switch* work again.

    :raises InputError: it is not off.
    """
    with _turn(ledger, actor) as tx:
        off = _off(tx.connection, ledger.environment, [switch])
        if off is None:
            raise InputError(
                f"{switch[0]} {switch[1]!r} is not off in environment {ledger.environment!r}. "
                "See what is: airflow interlock switch list"
            )
        on = replace(off, on_by=str(actor), on_at=tx.at, on_reason=reason)
        return tx.update(kill_switch, [on], kind="switch.on", facts=_facts)[0]


def list_switches(ledger: Ledger, *, history: bool = False, limit: int = 100) -> list[KillSwitch]:
    """Return what is off, or with *history* every time that something was, the last thrown first."""
    query = select(kill_switch).where(kill_switch.c.environment == ledger.environment)
    if not history:
        query = query.where(kill_switch.c.on_at.is_(None))
    with ledger.read() as connection:
        return KillSwitch.all_of(connection.execute(query.order_by(kill_switch.c.off_at.desc()).limit(limit)))


def refuse_if_off(connection: Connection, environment: str, switches: Sequence[Switch], *, workflow: str) -> None:
    """
    Let work that all of *switches* concern go on.

    :param workflow: whose cases stand still, for the message.
    :raises SwitchedOff: one of them is off.
    """
    off = _off(connection, environment, switches) if switches else None
    if off is not None:
        raise SwitchedOff(
            f"{off.kind} {off.name!r} was switched off by {off.off_by} at "
            f"{off.off_at.isoformat(timespec='seconds')}: {off.off_reason!r}. The cases stand where they are. "
            f"To go on: airflow interlock switch on {off.kind} {off.name} --reason …, then: "
            f"airflow interlock resume {workflow}",
            kind=off.kind,
            name=off.name,
        )


def _off(connection: Connection, environment: str, switches: Sequence[Switch]) -> KillSwitch | None:
    row = connection.execute(_off_query(environment, tuple(switches))).first()
    return None if row is None else KillSwitch.of(row)


@lru_cache(maxsize=64)
def _off_query(environment: str, switches: tuple[Switch, ...]) -> Select[Any]:
    """It is asked before every effect, and making it takes longer than asking it."""
    named = or_(*[and_(kill_switch.c.kind == kind, kill_switch.c.name == name) for kind, name in switches])
    return (
        select(kill_switch)
        .where(kill_switch.c.environment == environment, named, kill_switch.c.on_at.is_(None))
        .order_by(kill_switch.c.off_at)
        .limit(1)
    )


def _facts(row: Any) -> dict[str, Any]:
    return {"kind": row["kind"], "name": row["name"]}


@contextmanager
def _turn(ledger: Ledger, actor: Actor) -> Iterator[Transaction]:
    """Open a write transaction on the chain of switches; two people never throw the same one twice."""
    chain = f"switch:{ledger.environment}"
    with ledger.write(actor=actor, chain=chain) as tx:
        tx.take_turns(chain)
        yield tx
