"""The ledger as the rest of Interlock holds it: a database, an environment and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from interlock.domain.base.seal import Sealer
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
    seal: Sealer | None = None
    """The keys that rows are sealed with; None: they are written without seals, and nothing is executed."""

    @classmethod
    def open(cls, url: str, environment: str, *, seal: Sealer | None = None) -> Ledger:
        """
        Return the ledger at *url* for *environment*.

        :raises ConfigurationError: the URL cannot be used.
        """
        return cls(open_database(url), environment, seal=seal)

    def write(self, *, actor: Actor, chain: str) -> AbstractContextManager[Transaction]:
        """Open a write transaction whose events go to *chain*."""
        return write(self.engine, actor=actor, chain=chain, at=self.clock(), seal=self.seal)

    def read(self, *, sealed: bool = False) -> AbstractContextManager[Connection]:
        """
        Open a read transaction.

        :param sealed: look at the seals of what gives authority, as a write transaction does: for what is read in order
            to decide, not to be shown.
        """
        return read(self.engine, seal=self.seal if sealed else None)

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
