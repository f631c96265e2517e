"""
Making seals again: with the present key where an earlier one made them, and for rows from before there were seals.

Who does it holds the key, and says with it that the rows are what they should be. So a row whose seal is no good never
gets another, and rows without one only when they are what their events say and somebody asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select, update

from interlock.domain.base.seal import Sealer
from interlock.domain.cases.case import DONE
from interlock.errors import Tampered
from interlock.ledger.audit.verify import verify
from interlock.ledger.effects.effect import demand_sealer
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.schema import authorisation, case, metadata
from interlock.ledger.store.seal import COLUMN, UNSEALED, fault_of, sealed_digest, sealed_text
from interlock.ledger.store.transaction import Actor

AT_ONCE = 2000


@dataclass
class Resealed:
    """What became of the seals of the ledger's rows."""

    by_key: Counter[str] = field(default_factory=Counter)
    """How many rows each key sealed, before this."""
    renewed: int = 0
    """Rows of an earlier key, which the present one seals now."""
    first: int = 0
    """Rows that had none."""
    without: int = 0
    """Rows that have none still."""
    to_ask_again: int = 0
    """Of those, authorisations that count: their cases are asked about again instead of sent."""
    broken: list[str] = field(default_factory=list)
    """Why a seal is no good, row by row; they stay as they are."""


def reseal(ledger: Ledger, *, actor: Actor, unsealed: bool = False) -> Resealed:
    """
    Make the seals of earlier keys again with the present one; return what there was and what was done.

    :param unsealed: seal the rows that have no seal, too. An authorisation that allows a send still is not among them:
        its case is asked about again.
    :raises ConfigurationError: the ledger was opened without keys.
    :raises Tampered: *unsealed* is asked for, and the rows are not what their events say.
    """
    sealer, found = demand_sealer(ledger.seal), Resealed()
    if unsealed and not (sound := verify(replace(ledger, seal=None))).is_sound:
        raise Tampered(
            "rows without a seal are sealed only in a ledger that is sound, and this one is not: "
            + "; ".join(sound.problems[:5])
        )
    with ledger.write(actor=actor, chain=f"seal:{ledger.environment}") as tx:
        tx.take_turns(tx.chain)
        for name in UNSEALED:
            table = metadata.tables[name]
            for group in _in_groups(tx.connection, table):
                _seal_again(tx.connection, sealer, table, group, found, unsealed=unsealed)
        if found.renewed or found.first:
            facts = {"key": sealer.key_id, "renewed": found.renewed, "first": found.first}
            tx.tell("ledger.sealed", "ledger", facts)
    return found


def _in_groups(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    (key,) = table.primary_key.columns
    after = ""
    while True:
        query = select(table).where(key > after).order_by(key).limit(AT_ONCE)
        rows = [as_dict(row) for row in connection.execute(query)]
        if not rows:
            return
        yield rows
        after = rows[-1][key.name]


def _seal_again(
    connection: Connection,
    sealer: Sealer,
    table: Table,
    rows: list[dict[str, Any]],
    found: Resealed,
    *,
    unsealed: bool,
) -> None:
    (key,) = table.primary_key.columns
    stay = _that_allow(connection, [row["id"] for row in rows]) if table is authorisation else set()
    changes = []
    for row in rows:
        seal = row[COLUMN]
        if seal is None:
            if not unsealed or row[key.name] in stay:
                found.without += 1
                found.to_ask_again += row[key.name] in stay
                continue
            found.first += 1
        else:
            name = str(seal).partition(":")[0]
            found.by_key[name] += 1
            if (fault := fault_of(sealer, table, row)) is not None:
                found.broken.append(fault)
                continue
            if name == sealer.key_id:
                continue
            found.renewed += 1
        made = sealer.seal(sealed_text(table, sealed_digest(table, row)))
        changes.append({"its_key": row[key.name], "its_seal": made})
    if changes:
        same = key == bindparam("its_key")
        connection.execute(update(table).where(same).values({COLUMN: bindparam("its_seal")}), changes)


def _that_allow(connection: Connection, ids: list[str]) -> set[str]:
    """Return those of the authorisations that allow a send still."""
    rows = connection.execute(
        select(authorisation.c.id)
        .join(case, case.c.id == authorisation.c.case_id)
        .where(
            authorisation.c.id.in_(ids),
            authorisation.c.withdrawn_at.is_(None),
            case.c.state.not_in([state.value for state in DONE]),
        )
    )
    return set(rows.scalars())
