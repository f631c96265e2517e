"""
Audit events as JSON for another system, one at a time and never all in memory.

An event's facts hold no personal data, and payloads are not read at all. Events are ordered by their instant, which is
when their transaction began: one that took long appears behind an instant that was exported before, so whoever exports
in steps lets them overlap and drops what it has by chain and number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select

from interlock.errors import InputError, UnknownName
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import audit_chain, audit_event


def read_instant(text: str) -> datetime:
    """
    Return *text*, ISO 8601 with a time zone, as an instant.

    :raises InputError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InputError(f"{text!r} is no instant with a time zone; write it like 2026-03-02T09:00:00Z")
    return found


def exported_events(
    ledger: Ledger, *, since: datetime | None = None, chain: str | None = None
) -> Iterator[dict[str, Any]]:
    """
    Yield events as JSON types: ``chain``, ``number``, ``at``, ``actor``, ``kind``, ``subject``, ``facts``, ``digest``.

    :param since: Only those of this instant or later.
    :param chain: Only those of this chain.
    :raises UnknownName: there is no such chain.
    """
    event = audit_event.c
    query = select(event.chain, event.number, event.body, event.digest)
    if since is not None:
        query = query.where(event.at >= since)
    if chain is not None:
        query = query.where(event.chain == chain).order_by(event.number)
    else:
        query = query.order_by(event.at, event.chain, event.number)
    with ledger.read() as connection:
        if chain is not None:
            known = list(connection.execute(select(audit_chain.c.chain)).scalars())
            if chain not in known:
                raise UnknownName("chain", chain, known, where="the ledger")
        for row in connection.execution_options(yield_per=2000).execute(query):
            body = json.loads(row.body)
            yield {
                "chain": row.chain,
                "number": row.number,
                "at": body["at"],
                "actor": body["actor"],
                "kind": body["kind"],
                "subject": body["subject"],
                "facts": body.get("facts", {}),
                "digest": row.digest,
            }
