"""
What work costs beside models' calls: the time of tasks, the votes of people, the calls of connectors.

Each is a row of ``usage`` of its own kind, priced when it is written by the ``prices.yaml`` that holds then, so all
costs are sums over one table and a new rate changes nothing of the past. A local agent costs the time of its task: its
own rows cost nothing, or that time would be counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select

from interlock.domain.cost.price import Prices
from interlock.domain.policy.company import Company
from interlock.ledger.cost.budget import LOST
from interlock.ledger.store.record import GateRequest
from interlock.ledger.store.schema import usage
from interlock.ledger.store.transaction import Row, Transaction, new_id

MODEL, LOCAL, MACHINE, PEOPLE, CONNECTOR = "model", "local", "machine", "people", "connector"
"""Kinds of usage. Rows from before there were kinds have none and are models' calls."""


@dataclass(frozen=True)
class Place:
    """Where a cost arose."""

    run_id: str
    task: str
    agent: str = ""
    """Who worked there: an agent or a connector."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a connector."""

    case_id: str | None
    connector: str
    connection: str | None
    what: str
    """``look``, ``send`` or ``undo``."""
    attempt: int
    seconds: float
    outcome: str
    """``ok``, or the name of the error class."""


def price_version(company: Company) -> str:
    """Return what a row says of its price when ``prices.yaml`` of *company* priced it."""
    return f"prices.yaml {company.number or '(none)'}"


def charge_time(
    tx: Transaction, place: Place, *, number: int, since: datetime, company: Company, outcome: str = "ok"
) -> None:
    """Write the time of attempt *number* at a task, from *since* until now."""
    _write_time(tx, place, number, (tx.at - since).total_seconds(), company, outcome)


def charge_lost_time(tx: Transaction, place: Place, *, number: int, since: datetime, company: Company) -> None:
    """
    Write the time of an attempt that died without a word: from *since* until the last of its calls that it recorded.

    When it died nobody knows; what it did not live to write is not in it.
    """
    last = tx.connection.execute(
        select(func.max(usage.c.created_at)).where(
            usage.c.run_id == place.run_id, usage.c.task == place.task, usage.c.created_at >= since
        )
    ).scalar()
    _write_time(tx, place, number, (last - since).total_seconds() if last else 0.0, company, LOST)


def _write_time(tx: Transaction, place: Place, number: int, seconds: float, company: Company, outcome: str) -> None:
    cost = company.prices.machine.cost(max(seconds, 0.0))
    row = _row(tx, place, MACHINE, cost=cost, seconds=max(seconds, 0.0), company=company)
    _write(tx, [{**row, "attempt": number, "outcome": outcome}])


def charge_vote(tx: Transaction, request: GateRequest, *, company: Company) -> None:
    """Write what one vote on *request* took of a person's time."""
    people = company.prices.people
    place = Place(request.run_id, request.task, request.gate)
    row = _row(tx, place, PEOPLE, cost=people.per_vote, seconds=float(people.minutes_per_vote) * 60.0, company=company)
    _write(tx, [{**row, "case_id": request.case_id}])


def charge_calls(tx: Transaction, place: Place, calls: Iterable[Call], *, company: Company) -> None:
    """Write what calls of connectors took."""
    prices: Prices = company.prices
    rows = []
    for call in calls:
        price = prices.connectors.get(call.connector)
        row = _row(
            tx, place, CONNECTOR, cost=price.per_call if price else Decimal(0), seconds=call.seconds, company=company
        )
        named = {"agent": call.connector, "model": call.what, "attempt": call.attempt, "outcome": call.outcome}
        rows.append({**row, **named, "case_id": call.case_id, "connection": call.connection})
    _write(tx, rows)


def _row(tx: Transaction, place: Place, kind: str, *, cost: Decimal, seconds: float, company: Company) -> Row:
    return {
        "id": new_id(),
        "run_id": place.run_id,
        "task": place.task,
        "agent": place.agent,
        "model": "",
        "attempt": 1,
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_tokens": 0,
        "cost": cost,
        "seconds": seconds,
        "outcome": "ok",
        "created_at": tx.at,
        "kind": kind,
        "price": price_version(company),
    }


def _write(tx: Transaction, rows: list[Row]) -> None:
    tx.insert(usage, rows, kind="usage.recorded")
