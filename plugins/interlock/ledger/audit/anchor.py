"""
Anchors: the length and head of every chain at one instant, to be kept where the ledger's writers cannot reach.

A ledger alone cannot show that its end was cut off together with its head, or that somebody computed a chain anew: both
leave chains that verify. A kept anchor can, for everything up to its instant. The row that stays in the ledger is no
proof by itself, because whoever can rewrite a chain can rewrite that row as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from interlock.domain.base.canonical import digest
from interlock.domain.base.event_chain import GENESIS
from interlock.errors import InputError
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.schema import anchor, audit_chain, audit_event
from interlock.ledger.store.transaction import Actor

FORMAT = 1
CHAIN = "anchor"
"""The chain that tells of anchors; an anchor holds it as it was before its own event."""


@dataclass(frozen=True)
class Anchor:
    """What every chain was at one instant."""

    number: int
    """From 1, without gaps."""
    taken_at: str
    """UTC, ISO 8601."""
    taken_by: str
    chains: Mapping[str, tuple[int, str]]
    """Chain to its length and the digest of its last event."""
    previous: str
    """Digest of the anchor before this one."""
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return the document that is kept."""
        return {**_digested(self), "digest": self.digest}


def take_anchor(ledger: Ledger, *, actor: Actor) -> Anchor:
    """Record and return an anchor of every chain as it is now."""
    with ledger.write(actor=actor, chain=CHAIN) as tx:
        tx.take_turns(CHAIN)
        last = tx.connection.execute(
            select(anchor.c.number, anchor.c.digest).order_by(anchor.c.number.desc()).limit(1)
        ).first()
        heads = tx.connection.execute(select(audit_chain).where(audit_chain.c.length > 0))
        taken = _sealed(
            number=1 if last is None else last.number + 1,
            taken_at=tx.at.isoformat(timespec="microseconds"),
            taken_by=str(actor),
            chains={row.chain: (row.length, row.head) for row in heads},
            previous=GENESIS if last is None else last.digest,
        )
        row = {
            "number": taken.number,
            "taken_at": tx.at,
            "taken_by": taken.taken_by,
            "chains": taken.chains,
            "previous": taken.previous,
            "digest": taken.digest,
        }
        tx.insert(anchor, [row], kind="anchor.taken", facts=lambda r: {"digest": r["digest"]})
    return taken


def read_anchor(text: str, *, where: str) -> Anchor:
    """
    Return the anchor that a kept document holds.

    :param where: Name of the file, for messages.
    :raises InputError: it is no anchor, or it is not as it was written.
    """
    try:
        document = json.loads(text)
        if document["interlock_anchor"] != FORMAT:
            raise InputError(f"{where!r} is an anchor of format {document['interlock_anchor']!r}; known is {FORMAT}")
        found = Anchor(
            number=int(document["number"]),
            taken_at=datetime.fromisoformat(document["taken_at"]).isoformat(timespec="microseconds"),
            taken_by=str(document["taken_by"]),
            chains={str(chain): (int(length), str(head)) for chain, (length, head) in document["chains"].items()},
            previous=str(document["previous"]),
            digest=str(document["digest"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where!r} is no anchor: {error!r}. Give a file of: airflow interlock ledger anchor"
        ) from None
    if digest(_digested(found)) != found.digest:
        raise InputError(f"{where!r} is not as it was written: its digest is another. Take a copy that was kept apart")
    return found


def anchored_problems(connection: Connection, kept: Sequence[Anchor]) -> list[str]:
    """
    Return where the ledger is not what its own newest anchor, and those that were *kept*, say.

    The chains themselves must verify as well: an anchor is held against one digest of each.
    """
    columns = select(anchor.c.number, anchor.c.previous, anchor.c.digest)  # the chains of all of them are too much
    problems, before, known = [], GENESIS, set()
    for number, own in enumerate(connection.execute(columns.order_by(anchor.c.number)), 1):
        if own.number != number or own.previous != before:
            problems.append(f"anchor {own.number}: it does not follow the one before it")
        before = own.digest
        known.add(own.digest)
    for one in kept:
        if one.digest not in known:
            problems.append(f"anchor {one.number} of {one.taken_at}: the ledger does not hold it")
        problems += _held_against(connection, one)
    if known and before not in {one.digest for one in kept}:
        newest = _newest(connection)
        if digest(_digested(newest)) != newest.digest:
            problems.append(f"anchor {newest.number}: it is not what its digest says")
        problems += _held_against(connection, newest)
    return problems


def _newest(connection: Connection) -> Anchor:
    row = connection.execute(select(anchor).order_by(anchor.c.number.desc()).limit(1)).one()
    return Anchor(
        row.number,
        row.taken_at.isoformat(timespec="microseconds"),
        row.taken_by,
        {chain: (length, head) for chain, (length, head) in row.chains.items()},
        row.previous,
        row.digest,
    )


def _held_against(connection: Connection, one: Anchor) -> list[str]:
    named = f"anchor {one.number} of {one.taken_at}"
    problems = []
    for group in in_groups(sorted(one.chains), 400):
        wanted = [(chain, one.chains[chain][0]) for chain in group]
        place = tuple_(audit_event.c.chain, audit_event.c.number)
        existing = {
            row.chain: row.digest
            for row in connection.execute(select(audit_event.c.chain, audit_event.c.digest).where(place.in_(wanted)))
        }
        for chain, length in wanted:
            if chain not in existing:
                left = connection.execute(
                    select(func.count()).select_from(audit_event).where(audit_event.c.chain == chain)
                ).scalar_one()
                problems.append(f"chain {chain!r}: {named} says {length} events or more, and {left} are there")
            elif existing[chain] != one.chains[chain][1]:
                problems.append(f"chain {chain!r}: event {length} is another than {named} says: it was rewritten")
    return problems


def _sealed(**values: Any) -> Anchor:
    unsealed = Anchor(**values, digest="")
    return Anchor(**values, digest=digest(_digested(unsealed)))


def _digested(one: Anchor) -> dict[str, Any]:
    return {
        "interlock_anchor": FORMAT,
        "number": one.number,
        "taken_at": one.taken_at,
        "taken_by": one.taken_by,
        "chains": {chain: list(head) for chain, head in one.chains.items()},
        "previous": one.previous,
    }
