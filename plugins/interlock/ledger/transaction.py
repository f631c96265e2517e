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
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Table, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from interlock.domain.audit import GENESIS, link_digest
from interlock.domain.canonical import canonical_json, digest
from interlock.domain.redaction import mask
from interlock.errors import LedgerError
from interlock.ledger import schema
from interlock.ledger.database import translated_errors

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


def subject_of(table: Table, row: Mapping[str, Any]) -> str:
    """Return how events name *row*: table and primary key."""
    return f"{table.name}:" + ":".join(str(row[column.name]) for column in table.primary_key.columns)


def row_digest(table: Table, row: Mapping[str, Any]) -> str:
    """
    Return the digest over every column of *row* that holds something.

    An empty one is left out, so that a later migration may add a column and the rows of before are still what their
    events say.
    """
    return digest({c.name: value for c in table.columns if (value := row.get(c.name)) is not None})


class Transaction:
    """A unit of work on the ledger. Made by :func:`write`; not used after its block."""

    def __init__(self, connection: Connection, *, actor: Actor, chain: str, at: datetime) -> None:
        self.connection = connection
        self.actor = actor
        self.chain = chain
        self.at = at
        self._events: list[tuple[str, str, dict[str, Any]]] = []

    def insert(self, table: Table, rows: Sequence[Row], *, kind: str, facts: Facts | None = None) -> None:
        """
        Insert *rows*, each with an event *kind* that keeps ``facts(row)`` (no personal data) beside the row's digest.
        """
        if not rows:
            return
        complete = [
            _masked({column.name: row.get(column.name, _default(column)) for column in table.columns}) for row in rows
        ]
        self.connection.execute(insert(table), complete)
        self._tell(table, complete, kind, facts)

    def insert_quietly(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert *rows* that no event tells of (payloads, memberships); one that is there already is left as it is."""
        if not rows:
            return
        maker = postgresql.insert if self.connection.dialect.name == "postgresql" else sqlite.insert
        self.connection.execute(maker(table).on_conflict_do_nothing(), list(rows))

    def update(self, table: Table, rows: Sequence[Row], *, kind: str, facts: Facts | None = None) -> list[Row]:
        """
        Write *rows*, whole rows as they shall be, each with the ``revision`` that was read; return them with the next.

        :raises LedgerError: one of them was changed since it was read.
        """
        if not rows:
            return []
        keys = [column.name for column in table.primary_key.columns]
        after = [_masked({**row, "revision": row["revision"] + 1}) for row in rows]
        statement = (
            update(table)
            .where(and_(*[table.c[key] == bindparam(f"_{key}") for key in keys]))
            .where(table.c.revision == bindparam("_revision"))
            .values({column.name: bindparam(column.name) for column in table.columns if column.name not in keys})
        )
        parameters = [
            {k: v for k, v in row.items() if k not in keys}
            | {f"_{key}": row[key] for key in keys}
            | {"_revision": row["revision"] - 1}
            for row in after
        ]
        result = self.connection.execute(statement, parameters)
        if result.rowcount not in (len(rows), -1):
            raise LedgerError(f"{len(rows) - result.rowcount} rows of {table.name!r} were changed by somebody else")
        self._tell(table, after, kind, facts)
        return after

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

    def tell_again(self, table: Table, rows: Iterable[Row], *, kind: str) -> None:
        """
        Record what *rows* of a table without revisions are now, because something in them had to be erased.

        Such rows are written once otherwise: this event counts as their second revision.
        """
        self._tell(table, rows, kind, None, revision=2)

    def _tell(self, table: Table, rows: Iterable[Row], kind: str, facts: Facts | None, *, revision: int = 1) -> None:
        for row in rows:
            body: dict[str, Any] = {"row": row_digest(table, row), "revision": row.get("revision", revision)}
            if facts is not None:
                body["facts"] = facts(row)
            self._events.append((kind, subject_of(table, row), body))

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
        self.connection.execute(insert(schema.audit_event), links)
        self.connection.execute(update(chains).where(chains.c.chain == self.chain).values(length=number, head=previous))
        self._events = []


def _masked(row: Row) -> Row:
    """Mask personal data and secrets in *row*'s own words: they stay when the case's payload is erased."""
    for column in TYPED:
        if row.get(column):
            row[column] = _mask(row[column])
    return row


@lru_cache(maxsize=4096)
def _mask(text: str) -> str:  # most reasons are a rule's name, thousands of times
    return mask(text)


def _default(column: Any) -> Any:
    return column.default.arg if column.default is not None and column.default.is_scalar else None


@contextmanager
def write(engine: Engine, *, actor: Actor, chain: str, at: datetime) -> Iterator[Transaction]:
    """
    Open a write transaction; it is committed with its events when the block ends, and leaves nothing when it raises.
    """
    with translated_errors(), engine.begin() as connection:
        transaction = Transaction(connection, actor=actor, chain=chain, at=at)
        yield transaction
        transaction.flush()


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """Open a read transaction: one consistent picture, and no writer waits for it."""
    options: dict[str, Any] = {"interlock_read_only": True}
    if engine.dialect.name == "postgresql":  # each of whose statements would see another instant
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with translated_errors(), engine.connect() as connection:
        connection.execution_options(**options)
        with connection.begin():
            yield connection
