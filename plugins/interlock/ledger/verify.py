"""
Whether the ledger says what was recorded: the chains of events, and the state rows against their last event.

A row that no event tells of, a row whose digest is not its last event's, and a row that an event tells of but that is
gone are all found. A payload is held against the keyed digests that refer to it, unless its case was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from interlock.domain.audit import Link, verify_links
from interlock.domain.canonical import keyed_digest
from interlock.ledger.book import Ledger, as_dict
from interlock.ledger.schema import (
    STATE_TABLES,
    audit_chain,
    audit_event,
    case,
    case_secret,
    decision,
    handoff,
    payload,
)
from interlock.ledger.transaction import row_digest, subject_of

_REFERENCES = (
    (case, case.c.id, case.c.payload_digest),
    (handoff, handoff.c.case_id, handoff.c.payload_digest),
    (decision, decision.c.case_id, decision.c.inputs_digest),
)
"""Where a payload is referred to: changed together with its digest, it would be missed there."""


@dataclass
class Verified:
    """What verifying found."""

    events: int = 0
    chains: int = 0
    rows: int = 0
    payloads: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Nothing was found."""
        return not self.problems


def verify(ledger: Ledger) -> Verified:
    """Return what is wrong with the ledger: every chain, every state row, every payload."""
    found = Verified()
    with ledger.read() as connection:
        told = _verify_chains(connection, found)
        _verify_rows(connection, told, found)
        _verify_payloads(connection, found)
    return found


def _verify_chains(connection: Connection, found: Verified) -> dict[str, tuple[int, str]]:
    heads = {row.chain: (row.length, row.head) for row in connection.execute(select(audit_chain))}
    told: dict[str, tuple[int, str]] = {}
    events = connection.execution_options(yield_per=5000).execute(
        select(audit_event).order_by(audit_event.c.chain, audit_event.c.number)
    )
    for chain, links in _by_chain(events, told, found):
        length, head = heads.pop(chain, (0, ""))
        found.chains += 1
        found.problems += verify_links(links, length=length, head=head)
    for chain, (length, _) in heads.items():
        if length:
            found.problems.append(f"chain {chain!r}: all of its {length} events are gone")
    return told


def _by_chain(events: Any, told: dict[str, tuple[int, str]], found: Verified) -> Iterator[tuple[str, list[Link]]]:
    current: list[Link] = []
    for event in events:
        found.events += 1
        if current and current[0].chain != event.chain:
            yield current[0].chain, current
            current = []
        current.append(Link(event.chain, event.number, event.body, event.previous, event.digest))
        _remember(event, told, found)
    if current:
        yield current[0].chain, current


def _remember(event: Row[Any], told: dict[str, tuple[int, str]], found: Verified) -> None:
    try:
        body = json.loads(event.body)
        same = body["subject"] == event.subject and body["kind"] == event.kind
    except (ValueError, KeyError, TypeError):
        same, body = False, {}
    if not same:
        found.problems.append(f"chain {event.chain!r}: event {event.number} is told wrongly beside its bytes")
        return
    if "row" in body and body["revision"] >= told.get(event.subject, (0, ""))[0]:
        told[event.subject] = (body["revision"], body["row"])


def _verify_rows(connection: Connection, told: dict[str, tuple[int, str]], found: Verified) -> None:
    left = dict(told)
    for table in STATE_TABLES:
        for result in connection.execution_options(yield_per=5000).execute(select(table)):
            row = as_dict(result)
            found.rows += 1
            subject = subject_of(table, row)
            last = left.pop(subject, None)
            if last is None:
                found.problems.append(f"{subject}: no event tells of this row")
            elif last[1] != row_digest(table, row):
                found.problems.append(f"{subject}: the row is not what its last event says")
    found.problems += [f"{subject}: an event tells of this row, and it is gone" for subject in left]


def _verify_payloads(connection: Connection, found: Verified) -> None:
    rows = connection.execution_options(yield_per=2000).execute(
        select(payload, case_secret.c.secret).join(
            case_secret, case_secret.c.case_id == payload.c.case_id, isouter=True
        )
    )
    for row in rows:
        found.payloads += 1
        if row.secret is None:
            found.problems.append(f"payload {row.digest[:12]} of case {row.case_id}: the secret of its digest is gone")
        elif keyed_digest(row.secret, row.body) != row.digest:
            found.problems.append(f"payload {row.digest[:12]} of case {row.case_id}: its content was changed")
    for table, case_id, digest in _REFERENCES:
        missing = connection.execute(
            select(case_id.label("case_id"), digest.label("digest"))
            .join(case_secret, case_secret.c.case_id == case_id)
            .join(payload, and_(payload.c.case_id == case_id, payload.c.digest == digest), isouter=True)
            .where(payload.c.digest.is_(None))
        )
        found.problems += [
            f"payload {row.digest[:12]} of case {row.case_id}: a {table.name} refers to it, and it is gone"
            for row in missing
        ]
