"""
What all tasks that use a connection share: its rate, its calls in flight, and whether its service counts as down.

The rate is a schedule of slots that follow each other (a leaky bucket): whoever takes a block moves its end. Calls in
flight are shared by what each holder wants, anew every few seconds. Nothing of it is asked per call, and all of it
expires: it is state of the moment, which no event tells of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from interlock.domain.agents.rate_limit import Breaker, Slots, fair_share
from interlock.ledger.store.ledger import as_dict
from interlock.ledger.store.schema import connection_state, permit
from interlock.ledger.store.transaction import Transaction

_MICRO = 1_000_000
Rate = Literal["requests_at", "tokens_at"]
"""Which rate of a connection: the column with the end of its schedule."""


@dataclass(frozen=True)
class Standing:
    """How a connection's service stands at an instant."""

    paused_until: datetime | None = None
    """It asked for a pause."""
    opened_at: datetime | None = None
    """Since when it counts as down; None: it does not."""
    probe_at: datetime | None = None
    """When the next call may try it."""


def standing(connection: Connection, environment: str, name: str) -> Standing:
    """Return how the service behind connection *name* stands."""
    row = connection.execute(_row(environment, name)).first()
    return Standing() if row is None else Standing(row.paused_until, row.opened_at, row.probe_at)


def take_slots(tx: Transaction, environment: str, name: str, rate: Rate, amount: float, interval: float) -> Slots:
    """Take the next *amount* of a rate, of which one unit comes each *interval* seconds."""
    start = max(_state(tx, environment, name)[rate], int(tx.at.timestamp() * _MICRO))
    _change(tx, environment, name, **{rate: start + int(amount * interval * _MICRO)})
    return Slots(start / _MICRO, interval, amount)


def return_slots(tx: Transaction, environment: str, name: str, rate: Rate, slots: Slots) -> None:
    """Give back what nobody used, so that the next block begins as much earlier."""
    if slots.left:
        back = int(slots.left * slots.interval * _MICRO)
        _change(tx, environment, name, **{rate: _state(tx, environment, name)[rate] - back})


def renew_permit(
    tx: Transaction, environment: str, name: str, holder: str, *, wanted: int, limit: int, lasts: timedelta
) -> int:
    """
    Return how many calls *holder* may have in flight until it asks again; 0 when the others have not let go yet.

    :param wanted: 0 gives all back.
    """
    _state(tx, environment, name)
    live = select(permit).where(
        permit.c.environment == environment, permit.c.connection == name, permit.c.expires_at > tx.at
    )
    others = [row for row in tx.connection.execute(live) if row.holder != holder and row.wanted]
    share = fair_share(limit, [row.wanted for row in others], wanted)
    held: int = sum(row.granted for row in others)
    granted = max(min(share, limit - held), 0)
    key = {"environment": environment, "connection": name, "holder": holder}
    values = {"wanted": wanted, "granted": granted, "expires_at": tx.at + lasts}
    tx.insert_quietly(permit, [key | values])
    mine = (permit.c.environment == environment, permit.c.connection == name, permit.c.holder == holder)
    tx.connection.execute(update(permit).where(*mine).values(**values))
    return granted


def pause(tx: Transaction, environment: str, name: str, until: datetime) -> None:
    """Let nobody ask before *until*, because the service said so."""
    row = _state(tx, environment, name)
    if row["paused_until"] is None or row["paused_until"] < until:
        _change(tx, environment, name, paused_until=until)


def count_failures(
    tx: Transaction, environment: str, name: str, breaker: Breaker, failures: int, *, after_answer: bool = False
) -> bool:
    """
    Count *failures* in a row without an answer; return whether the service counts as down from now on.

    A failed probe moves the next one.

    :param after_answer: there was an answer before them, so those that were counted earlier are no part of the row.
    """
    row = _state(tx, environment, name)
    total: int = failures + (0 if after_answer else row["failures"])
    if row["opened_at"] is not None:
        _change(tx, environment, name, failures=total, probe_at=tx.at + breaker.cool_down)
        return False
    opens = total >= breaker.failures
    after = {"opened_at": tx.at, "probe_at": tx.at + breaker.cool_down} if opens else {}
    _change(tx, environment, name, failures=total, **after)
    return opens


def count_answer(tx: Transaction, environment: str, name: str) -> datetime | None:
    """Note that the service answers; return since when it counted as down, when it did until now."""
    row = _state(tx, environment, name)
    if row["failures"] or row["opened_at"] is not None:
        _change(tx, environment, name, failures=0, opened_at=None, probe_at=None)
    return row["opened_at"] if isinstance(row["opened_at"], datetime) else None


def claim_probe(tx: Transaction, environment: str, name: str, breaker: Breaker) -> bool:
    """Tell whether one may try now the service that counts as down; nobody else may for a cool-down."""
    row = _state(tx, environment, name)
    if row["opened_at"] is None:
        return True
    if row["probe_at"] is not None and row["probe_at"] > tx.at:
        return False
    _change(tx, environment, name, probe_at=tx.at + breaker.cool_down)
    return True


def _row(environment: str, name: str) -> Any:
    return select(connection_state).where(
        connection_state.c.environment == environment, connection_state.c.connection == name
    )


def _state(tx: Transaction, environment: str, name: str) -> dict[str, Any]:
    """Lock the connection's row, which is made when there is none."""
    fresh = {"environment": environment, "connection": name, "requests_at": 0, "tokens_at": 0, "failures": 0}
    tx.insert_quietly(connection_state, [{**fresh, "paused_until": None, "opened_at": None, "probe_at": None}])
    return as_dict(tx.connection.execute(_row(environment, name).with_for_update()).one())


def _change(tx: Transaction, environment: str, name: str, **values: Any) -> None:
    tx.connection.execute(
        update(connection_state)
        .where(connection_state.c.environment == environment, connection_state.c.connection == name)
        .values(**values)
    )
