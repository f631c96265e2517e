"""The ledger as the rest of Interlock holds it: a database, an environment and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from interlock.ledger.store.database import open_database
from interlock.ledger.store.transaction import Actor, Transaction, keep_reading, read, write

T = TypeVar("T")


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Ledger:
    """One environment's view of a ledger."""

    engine: Engine
    environment: str
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def open(cls, url: str, environment: str) -> Ledger:
        """
        Return the ledger at *url* for *environment*.

        :raises ConfigurationError: the URL cannot be used.
        """
        return cls(open_database(url), environment)

    def write(self, *, actor: Actor, chain: str) -> AbstractContextManager[Transaction]:
        """Open a write transaction whose events go to *chain*."""
        return write(self.engine, actor=actor, chain=chain, at=self.clock())

    def read(self) -> AbstractContextManager[Connection]:
        """Open a read transaction."""
        return read(self.engine)

    def keep_reading(self) -> AbstractContextManager[Callable[[], AbstractContextManager[Connection]]]:
        """Keep a connection for many read transactions, one after the other."""
        return keep_reading(self.engine)


def in_groups(items: list[T], size: int) -> Iterator[list[T]]:
    """Yield *items* in lists of at most *size*: SQLite takes a limited number of parameters in one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def as_dict(row: Any) -> dict[str, Any]:
    """Return a result row as a dict of its columns."""
    return dict(row._mapping)
