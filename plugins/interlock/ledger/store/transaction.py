"""
State and the events that tell of it, in one transaction.

Writers do not touch tables directly: :meth:`Transaction.insert` and :meth:`Transaction.update` write the rows and set
the events aside, and the events are chained when the transaction ends. The head of the chain is locked last and for the
shortest time, so that writers of other chains never wait for it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, overload

from sqlalchemy import Connection as Connection  # what is above the ledger takes the type from here
from sqlalchemy import Engine, Table, func, select, update

from interlock.domain.base.canonical import canonical_json, digest
from interlock.domain.base.door import as_text
from interlock.domain.base.event_chain import GENESIS, link_digest
from interlock.domain.base.redaction import mask
from interlock.domain.base.seal import Sealer
from interlock.errors import LedgerError
from interlock.ledger.store import schema
from interlock.ledger.store.bulk_write import RowForm, Stored
from interlock.ledger.store.database import translated_errors
from interlock.ledger.store.record import Record, RecordT
from interlock.ledger.store.seal import COLUMN

Row = dict[str, Any]
TYPED = ("reason", "error", "off_reason", "on_reason")
"""Columns that hold what a person or a service said in its own words."""
Facts = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Actor:
    """Who does it: a person, a task or the command line."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


_last = 0


def new_id() -> str:
    """
    Return a new identifier of 32 hexadecimal digits: the nanosecond, then 64 random bits.

    Identifiers that are made one after the other stand beside each other in an index, and whoever goes through cases by
    id does so in the order of their intake. The last digits are the ones that tell two apart.
    """
    global _last
    _last = max(_last + 1, time.time_ns())
    return f"{_last:016x}{secrets.token_hex(8)}"


def row_digest(table: Table, row: Mapping[str, Any]) -> str:
    """
    Return the digest over every column of *row* that holds something.

    An empty one is omitted, so that a later migration may add a column and the rows of before are still what their
    events say. So is the row's seal, which is made of this digest or again with another key.
    """
    return digest({c.name: value for c in table.columns if c.name != COLUMN and (value := row.get(c.name)) is not None})


class Transaction:
    """A unit of work on the ledger. Made by :func:`write`; not used after its block."""

    def __init__(
        self, connection: Connection, *, actor: Actor, chain: str, at: datetime, seal: Sealer | None = None
    ) -> None:
        self.connection = connection
        self.seal = seal
        """What the rows that give authority are sealed with; None: they are written without a seal."""
        self.actor = actor
        self.chain = chain
        self.at = at
        self._events: list[tuple[str, str, dict[str, Any]]] = []

    def insert(self, table: Table, rows: Sequence[Row | Record], *, kind: str, facts: Facts | None = None) -> None:
        """
        Insert *rows*, each with an event *kind* that keeps ``facts(row)`` (no personal data) beside the row's digest.
        """
        if not rows:
            return
        form = self._form(table)
        whole = [_masked(form.whole(_values(row))) for row in rows]
        stored, digests = self._digested(table, whole)
        if form.is_sealed:
            triples = zip(whole, stored, digests, strict=True)
            stored = [form.sealed(row, raw, row_digest, self.seal) for row, raw, row_digest in triples]
        form.insert(self.connection, stored)
        self._tell(table, zip(whole, digests, strict=True), kind, facts)

    def insert_quietly(self, table: Table, rows: Sequence[Row | Record]) -> None:
        """Insert *rows* that no event tells of (payloads, memberships); one that is there already is left as it is."""
        if not rows:
            return
        form = self._form(table)
        form.insert(self.connection, [form.stored(form.whole(_values(row))) for row in rows], only_new=True)

    @overload
    def update(
        self, table: Table, rows: Sequence[RecordT], *, kind: str, facts: Facts | None = None, reseals: bool = False
    ) -> list[RecordT]: ...

    @overload
    def update(
        self, table: Table, rows: Sequence[Row], *, kind: str, facts: Facts | None = None, reseals: bool = False
    ) -> list[Row]: ...

    def update(
        self, table: Table, rows: Sequence[Any], *, kind: str, facts: Facts | None = None, reseals: bool = False
    ) -> list[Any]:
        """
        Write *rows*, whole rows as they shall be, each with the ``revision`` that was read; return them with the next.

        :param reseals: make their seals again, because a sealed column of theirs changes. Who asks for it has looked at
            the seals that they had: otherwise what was forged would get a seal here.
        :raises LedgerError: one of them was changed since it was read.
        """
        if not rows:
            return []
        form = self._form(table)
        after = [_next(_values(row)) for row in rows]
        stored, digests = self._digested(table, after)
        if form.is_sealed and (reseals or form.seals_all):
            triples = zip(after, stored, digests, strict=True)
            stored = [form.sealed(row, raw, row_digest, self.seal) for row, raw, row_digest in triples]
            for row, raw in zip(after, stored, strict=True):
                row[COLUMN] = form.seal_in(raw)
        written = form.update(self.connection, stored)
        if written not in (len(rows), -1):
            raise LedgerError(f"{len(rows) - written} rows of {table.name!r} were changed by somebody else")
        self._tell(table, zip(after, digests, strict=True), kind, facts)
        return [
            type(row).from_values(values) if isinstance(row, Record) else values
            for row, values in zip(rows, after, strict=True)
        ]

    def take_turns(self, name: str) -> None:
        """
        Let other transactions that take turns at *name* wait until this one ends.

        For what is looked for before it is inserted: no row is there yet that could be locked. A write transaction on
        SQLite is alone anyway.
        """
        if self.connection.dialect.name == "postgresql":
            key = int.from_bytes(bytes.fromhex(digest(name)[:16]), signed=True)
            self.connection.execute(select(func.pg_advisory_xact_lock(key)))

    def tell(self, kind: str, subject: str, facts: dict[str, Any]) -> None:
        """Record an event about something that is no row."""
        self._events.append((kind, subject, {"facts": facts}))

    def tell_again(self, table: Table, rows: Iterable[Row | Record], *, kind: str) -> None:
        """
        Record what *rows* of a table without revisions are now, because something in them had to be erased.

        Such rows are written once otherwise: this event counts as their second revision.
        """
        values = [_values(row) for row in rows]
        _, digests = self._digested(table, values)
        self._tell(table, zip(values, digests, strict=True), kind, None, revision=2)

    def _digested(self, table: Table, rows: Sequence[Row]) -> tuple[list[Stored], list[str]]:
        """Return whole rows as the driver takes them, and their digests."""
        form = self._form(table)
        stored = [form.stored(row) for row in rows]
        return stored, [form.digest(raw) or row_digest(table, row) for raw, row in zip(stored, rows, strict=True)]

    def _tell(
        self, table: Table, rows: Iterable[tuple[Row, str]], kind: str, facts: Facts | None, *, revision: int = 1
    ) -> None:
        form = self._form(table)
        for row, digested in rows:
            body: dict[str, Any] = {"row": digested, "revision": row.get("revision", revision)}
            if facts is not None:
                body["facts"] = facts(row)
            self._events.append((kind, form.subject(row), body))

    def _form(self, table: Table) -> RowForm:
        return RowForm.of(table, self.connection.dialect)

    def flush(self) -> None:
        """Chain the events that were set aside. Called once, at the end."""
        if not self._events:
            return
        chains = schema.audit_chain
        self.insert_quietly(chains, [{"chain": self.chain, "length": 0, "head": GENESIS}])
        head = self.connection.execute(
            select(chains.c.length, chains.c.head).where(chains.c.chain == self.chain).with_for_update()
        ).one()
        number, previous, links = head.length, head.head, []
        for kind, subject, body in self._events:
            number += 1
            text = canonical_json({"at": self.at, "actor": str(self.actor), "kind": kind, "subject": subject, **body})
            current = link_digest(self.chain, number, text, previous)
            links.append(
                {
                    "chain": self.chain,
                    "number": number,
                    "at": self.at,
                    "kind": kind,
                    "subject": subject,
                    "body": text,
                    "previous": previous,
                    "digest": current,
                }
            )
            previous = current
        form = self._form(schema.audit_event)
        form.insert(self.connection, [form.stored(link) for link in links])
        self.connection.execute(update(chains).where(chains.c.chain == self.chain).values(length=number, head=previous))
        self._events = []


def _values(row: Row | Record) -> Row:
    return row.__dict__ if isinstance(row, Record) else row


def _next(row: Row) -> Row:
    return _masked({**row, "revision": row["revision"] + 1})


def _masked(row: Row) -> Row:
    """Mask personal data and secrets in *row*'s own words: they stay when the case's payload is erased."""
    for column in TYPED:
        if row.get(column):
            row[column] = _mask(row[column])
    return row


@lru_cache(maxsize=4096)
def _mask(text: str) -> str:  # most reasons are a rule's name, thousands of times
    return mask(as_text(text))


@contextmanager
def write(
    engine: Engine, *, actor: Actor, chain: str, at: datetime, seal: Sealer | None = None
) -> Iterator[Transaction]:
    """
    Open a write transaction; it is committed with its events when the block ends, and leaves nothing when it raises.

    :param seal: the keys that rows are sealed with, and that the seals of what is read in order to write are looked at
        with (:func:`interlock.ledger.store.seal.seal_of`).
    """
    with translated_errors(), engine.begin() as connection:
        connection.execution_options(interlock_seal=seal)
        transaction = Transaction(connection, actor=actor, chain=chain, at=at, seal=seal)
        yield transaction
        transaction.flush()


@contextmanager
def read(engine: Engine, *, seal: Sealer | None = None) -> Iterator[Connection]:
    """Open a read transaction: one consistent picture, and no writer waits for it."""
    with keep_reading(engine, seal=seal) as begin, begin() as connection:
        yield connection


@contextmanager
def keep_reading(
    engine: Engine, *, seal: Sealer | None = None
) -> Iterator[Callable[[], AbstractContextManager[Connection]]]:
    """Keep a connection, and yield what opens a read transaction on it: one after the other, each of its own moment."""
    options: dict[str, Any] = {"interlock_read_only": True, "interlock_seal": seal}
    if engine.dialect.name == "postgresql":  # each of whose statements would see another instant
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with translated_errors(), engine.connect() as connection:
        connection.execution_options(**options)

        @contextmanager
        def begin() -> Iterator[Connection]:
            with translated_errors(), connection.begin():
                yield connection

        yield begin
