"""
Budgets: reserve before, settle after, atomically over all workers.

A worker reserves a block for its next calls in all accounts that hold for it, or in none. What the calls cost is
settled with the rows that tell of them, and what is left is given back. A block whose worker died is written off when
it expires or the task is tried again, as a call of unknown cost: its calls may have been charged. So an account's sum
is the sum of its ``usage`` rows at any time, and spending never passes a limit, whatever is killed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from interlock.domain.cost.budget import Account
from interlock.domain.cost.price import from_nano
from interlock.ledger.store.ledger import as_dict
from interlock.ledger.store.schema import budget_account, provider_batch, reservation, usage
from interlock.ledger.store.transaction import Row, Transaction, new_id

_OUT = select(provider_batch.c.id).where(provider_batch.c.ended_at.is_(None))
"""The blocks of batches that are not over."""
LOST = "lost"
"""Outcome of what is written off."""


@dataclass(frozen=True)
class Granted:
    """The answer to a reservation. All amounts are billionths of a US dollar."""

    amount: int
    short: Account | None = None
    """The account that has no room, when nothing was granted."""
    is_spent: bool = False
    """No block of another worker can come back that would make room."""
    past_soft: Account | None = None
    """An account whose soft limit is passed."""
    room: int = 0
    """What could still be reserved in the tightest account afterwards."""


def reserve(
    tx: Transaction,
    accounts: Sequence[Account],
    *,
    environment: str,
    holder: str,
    run_id: str,
    task: str,
    wanted: int,
    least: int,
    expires_at: datetime,
) -> Granted:
    """
    Set *wanted* aside for *holder* in all *accounts*, or what they have room for, but at least *least* or nothing.

    :param holder: names the block; reserving again under it adds to it.
    """
    fresh = {"environment": environment, "spent": 0, "reserved": 0, "opened_at": tx.at}
    tx.insert_quietly(budget_account, [{**fresh, "account": account.key} for account in accounts])
    keys = [account.key for account in accounts]
    rows = {row.account: row for row in _locked(tx, keys)}
    free = {account.key: account.limit - rows[account.key].spent - rows[account.key].reserved for account in accounts}
    amount = min([wanted, *free.values()])
    if amount < least:
        short = min(accounts, key=lambda account: free[account.key])
        out = _with_providers(tx.connection, keys)
        spent = any(a.limit - rows[a.key].spent - out.get(a.key, 0) < least for a in accounts)
        return Granted(0, short=short, is_spent=spent)
    soft = [a for a in accounts if a.soft is not None and rows[a.key].spent + rows[a.key].reserved + amount > a.soft]
    tx.connection.execute(
        update(budget_account)
        .where(budget_account.c.account.in_(keys))
        .values(reserved=budget_account.c.reserved + amount)
    )
    mine = {"holder": holder, "run_id": run_id, "task": task, "amount": 0, "expires_at": expires_at}
    tx.insert_quietly(reservation, [{**mine, "account": key} for key in keys])
    tx.connection.execute(
        update(reservation)
        .where(reservation.c.holder == holder)
        .values(amount=reservation.c.amount + amount, expires_at=expires_at)
    )
    return Granted(amount, past_soft=soft[0] if soft else None, room=min(free.values(), default=amount) - amount)


def settle(tx: Transaction, spent: Mapping[str, tuple[int, int]], *, expires_at: datetime | None = None) -> None:
    """
    Count what calls cost, by the block that they were made from.

    :param spent: block to (what was spent, what of the block had been set aside for it).
    :param expires_at: until when the rest of the blocks is set aside; left out, as before.
    """
    for holder, rows in _blocks(tx, spent).items():
        cost, freed = spent[holder]
        for row in rows:
            _change(tx, row, spent=cost, back=min(freed, row["amount"]), expires_at=expires_at)


def give_back(tx: Transaction, holder: str, amount: int | None = None) -> None:
    """Free *amount* of a block; left out: all that is left of it."""
    for row in _blocks(tx, [holder]).get(holder, ()):
        _change(tx, row, back=row["amount"] if amount is None else min(amount, row["amount"]))


def write_off(
    tx: Transaction,
    *,
    accounts: Sequence[str] = (),
    place: tuple[str, str] | None = None,
    holders: Collection[str] = (),
    but: Collection[str] = (),
) -> int:
    """
    Count as spent what was set aside for calls that nobody will tell of; return how many blocks that were.

    :param accounts: blocks on these that have expired.
    :param place: blocks of (run id, task), because another attempt has begun there.
    :param holders: these blocks, because their calls were broken off.
    :param but: blocks that are not written off.
    """
    holder = reservation.c.holder
    query = select(holder).distinct()
    # A batch that is out outlives the worker that sent it: what it may cost is set aside until it is over.
    query = query.where(reservation.c.amount > 0, holder.not_in(list(but)), holder.not_in(_OUT))
    if place is not None:
        query = query.where(reservation.c.run_id == place[0], reservation.c.task == place[1])
    elif holders:
        query = query.where(holder.in_(list(holders)))
    else:
        query = query.where(reservation.c.account.in_(list(accounts)), reservation.c.expires_at < tx.at)
    lost: list[Row] = []
    for rows in _blocks(tx, tx.connection.execute(query).scalars().all()).values():
        amount = max(row["amount"] for row in rows)
        if amount:
            lost.append(_lost(rows[0], amount, tx.at))
        for row in rows:
            _change(tx, row, spent=row["amount"], back=row["amount"])
    tx.insert(usage, lost, kind="budget.written_off", facts=lambda row: {"cost": str(row["cost"]), "task": row["task"]})
    return len(lost)


def _lost(block: Row, amount: int, at: datetime) -> Row:
    return {
        "id": new_id(),
        "run_id": block["run_id"],
        "task": block["task"],
        "agent": "",
        "model": "unknown",
        "attempt": 1,
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_tokens": 0,
        "cost": from_nano(amount),
        "seconds": 0.0,
        "outcome": LOST,
        "created_at": at,
        "kind": "model",
    }


def _blocks(tx: Transaction, holders: Collection[str]) -> dict[str, list[Row]]:
    """Return the rows of blocks, after locking all their accounts in the order in which everybody does."""
    mine = select(reservation).where(reservation.c.holder.in_(list(holders)))
    _locked(tx, [row.account for row in tx.connection.execute(mine)])
    found: dict[str, list[Row]] = {}
    for row in tx.connection.execute(mine.order_by(reservation.c.holder, reservation.c.account)):
        found.setdefault(row.holder, []).append(as_dict(row))
    return found


def _with_providers(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    """Return what batches have set aside by account: nothing that comes back while a worker waits for it."""
    query = select(reservation.c.account, func.sum(reservation.c.amount)).where(
        reservation.c.account.in_(list(keys)), reservation.c.holder.in_(_OUT)
    )
    return {account: int(amount) for account, amount in connection.execute(query.group_by(reservation.c.account))}


def _change(tx: Transaction, row: Row, *, back: int, spent: int = 0, expires_at: datetime | None = None) -> None:
    """Take *back* off one account's part of a block, and count *spent* there."""
    tx.connection.execute(
        update(reservation)
        .where(reservation.c.holder == row["holder"], reservation.c.account == row["account"])
        .values(amount=row["amount"] - back, expires_at=expires_at or row["expires_at"])
    )
    tx.connection.execute(
        update(budget_account)
        .where(budget_account.c.account == row["account"])
        .values(spent=budget_account.c.spent + spent, reserved=budget_account.c.reserved - back)
    )


def _locked(tx: Transaction, keys: Sequence[str]) -> list[Any]:
    query = select(budget_account).where(budget_account.c.account.in_(list(keys))).order_by(budget_account.c.account)
    return list(tx.connection.execute(query.with_for_update()))


def balances(connection: Connection, keys: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return (spent, reserved) in billionths of a US dollar by account, for those that were ever used."""
    rows = connection.execute(select(budget_account).where(budget_account.c.account.in_(list(keys))))
    return {row.account: (row.spent, row.reserved) for row in rows}


def spent_on(connection: Connection, case_ids: Sequence[str]) -> dict[str, Any]:
    """Return what models' calls for cases cost so far, in US dollars, by case."""
    found: dict[str, Any] = {}
    for start in range(0, len(case_ids), 400):
        query = select(usage.c.case_id, usage.c.cost).where(
            usage.c.case_id.in_(case_ids[start : start + 400]),
            usage.c.cost.is_not(None),
            or_(usage.c.kind.is_(None), usage.c.kind == "model"),
        )
        for case_id, cost in connection.execute(query):
            found[case_id] = found.get(case_id, 0) + cost
    return found
