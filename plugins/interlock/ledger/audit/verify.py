"""
Whether the ledger says what was recorded: the chains of events, and the state rows against their last event.

A row that no event tells of, a row whose digest is not its last event's, and a row that an event tells of but that is
gone are all found. A payload is held against the keyed digests that refer to it, unless its case was forgotten, which
an event must tell of: otherwise erasing evidence would look like a duty that was done.
"""

from __future__ import annotations

import gc
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, and_, func, select, tuple_

from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.event_chain import Link, verify_links
from interlock.domain.base.plural import counted
from interlock.domain.base.seal import Sealer
from interlock.errors import LedgerUnavailable
from interlock.ledger.audit.anchor import Anchor, anchored_problems
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.raw_row import instant_text, raw_digest, raw_rows, read_leniently
from interlock.ledger.store.schema import (
    STATE_TABLES,
    audit_chain,
    audit_event,
    case,
    case_secret,
    decision,
    handoff,
    payload,
)
from interlock.ledger.store.seal import COLUMN, UNSEALED, fault_of, sealed_text
from interlock.ledger.store.transaction import row_digest

FORGOTTEN = "case.forgotten"
"""The kind of event that tells of an erasure."""

_REFERENCES = (
    (case, case.c.id, case.c.payload_digest),
    (handoff, handoff.c.case_id, handoff.c.payload_digest),
    (decision, decision.c.case_id, decision.c.inputs_digest),
)
"""Where a payload is referred to: changed together with its digest, it would be missed there."""

_TOLD = re.compile(
    r'\{"actor":"[^"\\]*","at":"([^"\\]*)",.*"kind":"([^"\\]*)",'
    r'(?:"revision":([0-9]+),"row":"([0-9a-f]{64})",)?"subject":"([^"\\]*)"\}',
    re.DOTALL,
)
"""
The canonical body of an event, as far as verifying asks. Inside a string a quote has a backslash before it, so the ends
can only be the body's own; a body of another form is read as JSON.
"""


@dataclass
class Verified:
    """What verifying found."""

    events: int = 0
    chains: int = 0
    rows: int = 0
    payloads: int = 0
    forgotten: int = 0
    """Cases whose content was erased, with an event that tells of it."""
    unread: bool = False
    """Payloads were left out, because this role of the database may not read them."""
    problems: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Nothing was found."""
        return not self.problems


Told = dict[str, tuple[int, str]]
"""Subject to the revision and digest of the row that its last event tells of."""
_NOTHING = (0, "")


def verify(ledger: Ledger, *, anchors: Sequence[Anchor] = ()) -> Verified:
    """
    Return what is wrong with the ledger: every chain, every state row, every payload.

    With the seal's keys the seals are looked at, too: a row that was written into the database together with its events
    has none, or one that does not fit.

    :param anchors: Anchors that were kept elsewhere; the ledger's own newest is compared with it in any case.
    """
    with _without_collector():
        try:
            return _verify(ledger, anchors, is_lenient=False)
        except LedgerUnavailable as error:
            if "decode" not in str(error):
                raise
            return _verify(ledger, anchors, is_lenient=True)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Let Python not look for cycles: there are none among millions of rows, and looking takes a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _verify(ledger: Ledger, anchors: Sequence[Anchor], *, is_lenient: bool) -> Verified:
    found = Verified()
    with ledger.read() as connection:
        if is_lenient:
            read_leniently(connection)
        recorded, forgotten = _verify_chains(connection, found)
        for table in STATE_TABLES:
            _verify_rows(connection, table, recorded, found, ledger.seal)
        found.problems += [f"{subject}: an event tells of this row, and it is gone" for subject in recorded]
        _verify_forgotten(connection, forgotten, found)
        _verify_payloads(connection, found)
        try:
            found.problems += anchored_problems(connection, anchors)
        except (ValueError, TypeError, AttributeError) as error:
            found.problems.append(f"the anchors in the ledger cannot be read: {error!r}")
    return found


def _verify_chains(connection: Connection, found: Verified) -> tuple[Told, set[str]]:
    heads = {chain: (length, head) for chain, length, head in raw_rows(connection, select(audit_chain))}
    recorded: Told = {}
    forgotten: set[str] = set()
    event = audit_event.c
    # the first five are a Link
    columns = (event.chain, event.number, event.body, event.previous, event.digest, event.at, event.kind, event.subject)
    events = raw_rows(connection, select(*columns).order_by(event.chain, event.number))
    for chain, rows in groupby(events, key=itemgetter(0)):
        length, head = heads.pop(chain, (0, ""))
        found.chains += 1
        found.problems += verify_links(_links(rows, recorded, forgotten, found), length=length, head=head)
    for chain, (length, _) in heads.items():
        if length:
            found.problems.append(f"chain {chain!r}: all of its {length} events are gone")
    return recorded, forgotten


def _links(rows: Iterable[Any], recorded: Told, forgotten: set[str], found: Verified) -> Iterator[Link]:
    matches = _TOLD.fullmatch
    for chain, number, body, previous, digest, at, kind, subject in rows:
        found.events += 1
        said = matches(body) if isinstance(body, str) else None
        if said is not None:
            at_said, kind_said, revision, row, subject_said = said.groups()
        else:
            at_said, kind_said, revision, row, subject_said = _read(body)
        if kind_said != kind or subject_said != subject or at_said != instant_text(at):
            found.problems.append(f"chain {chain!r}: event {number} is told wrongly beside its bytes")
        elif row is not None:
            if (at_revision := int(revision)) >= recorded.get(subject, _NOTHING)[0]:
                recorded[subject] = (at_revision, row)
            if kind == FORGOTTEN:
                forgotten.add(subject)
        yield Link(chain, number, body, previous, digest)


def _read(body: Any) -> tuple[Any, Any, Any, Any, Any]:
    try:
        said = json.loads(body)
        return said["at"], said["kind"], int(said.get("revision", 1)), said.get("row"), said["subject"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None, None, None, None


def _verify_rows(connection: Connection, table: Table, recorded: Told, found: Verified, sealer: Sealer | None) -> None:
    digest_of = raw_digest(table)
    is_sealed = _seal_checker(table, sealer)
    without = 0
    names = [column.name for column in table.columns]
    keys = [names.index(column.name) for column in table.primary_key.columns]
    doubtful = []
    for row in raw_rows(connection, select(table)):
        found.rows += 1
        subject = f"{table.name}:" + ":".join([str(row[index]) for index in keys])
        last = recorded.pop(subject, None)
        if last is None:
            found.problems.append(f"{subject}: no event tells of this row")
        elif last[1] != (digested := digest_of(row)) or (sealer and not is_sealed(row, digested)):
            doubtful.append((subject, tuple(row[index] for index in keys), last[1]))
    for subject, key, expected in doubtful:
        if not _is_as_told(connection, table, key, expected):
            found.problems.append(f"{subject}: the row is not what its last event says")
        elif sealer is not None and table.name in UNSEALED:
            values = _row_of(connection, table, key)
            if values[COLUMN] is None:
                without += 1
            elif (fault := fault_of(sealer, table, values)) is not None:
                found.problems.append(fault)
    if without:
        found.problems.append(
            f"{table.name}: {counted(without, 'row', 'have')} no seal: written without the key, or before "
            "there were seals. See airflow interlock ledger seal --help"
        )


def _seal_checker(table: Table, sealer: Sealer | None) -> Callable[[Any, str], bool]:
    """Return a function from a raw row and its digest to whether its seal holds; a table without seals has no doubt."""
    if sealer is None or table.name not in UNSEALED:
        return lambda row, digested: True
    apart = UNSEALED[table.name]
    sealed = raw_digest(table, apart=apart) if apart else None
    place = [column.name for column in table.columns].index(COLUMN)

    def holds(row: Any, digested: str) -> bool:
        text = sealed_text(table, sealed(row) if sealed is not None else digested)
        return isinstance(row[place], str) and sealer.holds(text, row[place])

    return holds


def _is_as_told(connection: Connection, table: Table, key: tuple[Any, ...], expected: str) -> bool:
    try:
        return row_digest(table, _row_of(connection, table, key)) == expected
    except (ValueError, TypeError, ArithmeticError):
        return False


def _row_of(connection: Connection, table: Table, key: tuple[Any, ...]) -> dict[str, Any]:
    same = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
    return as_dict(connection.execute(select(table).where(and_(*same))).one())


def _verify_forgotten(connection: Connection, forgotten: set[str], found: Verified) -> None:
    without = connection.execute(
        select(case.c.id)
        .join(case_secret, case_secret.c.case_id == case.c.id, isouter=True)
        .where(case_secret.c.case_id.is_(None))
    ).scalars()
    gone = {f"case:{case_id}" for case_id in without}
    found.forgotten = len(gone & forgotten)
    found.problems += [
        f"{subject}: its secret is gone, and no event tells that it was forgotten"
        for subject in sorted(gone - forgotten)
    ]
    found.problems += [
        f"{subject}: an event tells that it was forgotten, and it has a secret" for subject in sorted(forgotten - gone)
    ]


def _verify_payloads(connection: Connection, found: Verified) -> None:
    joined = case_secret.c.case_id == payload.c.case_id
    if _may_read_payloads(connection):
        query = select(payload.c.case_id, payload.c.digest, payload.c.body, case_secret.c.secret)
        doubtful = []
        for case_id, digest, body, secret in raw_rows(connection, query.join(case_secret, joined, isouter=True)):
            found.payloads += 1
            if secret is None:
                found.problems.append(f"payload {digest[:12]} of case {case_id}: the secret of its digest is gone")
            elif hmac.digest(secret, str(body).encode(), "sha256").hex() != digest:
                doubtful.append((case_id, digest, bytes(secret)))
        for case_id, digest, secret in doubtful:
            if not _is_its_content(connection, case_id, digest, secret):
                found.problems.append(f"payload {digest[:12]} of case {case_id}: its content was changed")
    else:
        found.unread = True
    for table, owner, digest_column in _REFERENCES:
        missing = connection.execute(
            select(owner.label("case_id"), digest_column.label("digest"))
            .join(case_secret, case_secret.c.case_id == owner)
            .join(payload, and_(payload.c.case_id == owner, payload.c.digest == digest_column), isouter=True)
            .where(payload.c.digest.is_(None))
        )
        found.problems += [
            f"payload {row.digest[:12]} of case {row.case_id}: a {table.name} refers to it, and it is gone"
            for row in missing
        ]


def _may_read_payloads(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    needed = (("payload", "body"), ("case_secret", "secret"))
    rights = connection.execute(select(*[func.has_column_privilege(*column, "SELECT") for column in needed])).one()
    return all(rights)


def _is_its_content(connection: Connection, case_id: str, digest: str, secret: bytes) -> bool:
    same = tuple_(payload.c.case_id, payload.c.digest) == (case_id, digest)
    try:
        body = connection.execute(select(payload.c.body).where(same)).scalar_one()
        return keyed_digest(secret, body) == digest
    except (ValueError, TypeError):
        return False
