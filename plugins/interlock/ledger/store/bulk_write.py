"""
How the rows of a table are handed to a database driver, and digested, many at a time.

SQLAlchemy turns the values of each row into the driver's through layers that take several times what the database takes
for the row. Here this is prepared once a table, and the driver's values serve the digest as well: what is digested is
what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Float, Table

from interlock.domain.base.seal import Sealer
from interlock.ledger.store.column import UtcDateTime
from interlock.ledger.store.raw_row import raw_digest
from interlock.ledger.store.seal import COLUMN, UNSEALED, sealed_digest, sealed_text

Row = Mapping[str, Any]
Stored = tuple[Any, ...]
"""A row as the driver takes it, its columns in their order."""


class RowForm:
    """The columns of one table on one kind of database."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        columns, keys = list(table.columns), [column.name for column in table.primary_key.columns]
        self._name = table.name
        self._keys = keys
        self._defaults = [(column.name, _default(column)) for column in columns]
        self._binds = [(column.name, _bind(column.type, dialect)) for column in columns]
        self.digest: Callable[[Stored], str] = raw_digest(table)
        """Returns the digest of a row as it is stored; nothing when a value in it is not of its column's type."""
        names = [column.name for column in columns]
        self.is_sealed = table.name in UNSEALED
        self._table = table
        if self.is_sealed:
            apart = UNSEALED[table.name]
            self.seals_all = not apart
            """The seal covers every column, so that it is the digest of the row's event that is sealed."""
            self._sealed = raw_digest(table, apart=apart) if apart else None
            self._seal_at = names.index(COLUMN)
        mark = "?" if dialect.paramstyle == "qmark" else "%s"
        quoted = {name: dialect.identifier_preparer.quote(name) for name in (table.name, *names)}
        named, marks = ", ".join(quoted[name] for name in names), ", ".join([mark] * len(names))
        self._insert = f"INSERT INTO {quoted[table.name]} ({named}) VALUES ({marks})"
        if "revision" in names:  # only such rows are ever updated
            changing = [name for name in names if name not in keys]
            changes = ", ".join(f"{quoted[name]} = {mark}" for name in changing)
            same = " AND ".join(f"{quoted[name]} = {mark}" for name in (*keys, "revision"))
            self._update = f"UPDATE {quoted[table.name]} SET {changes} WHERE {same}"
            self._places = [names.index(name) for name in (*changing, *keys)]
            self._revision = names.index("revision")

    @classmethod
    def of(cls, table: Table, dialect: Dialect) -> RowForm:
        """Return the form of *table* on *dialect*'s kind of database."""
        key = (table, dialect.name)
        if key not in _FORMS:
            _FORMS[key] = cls(table, dialect)
        return _FORMS[key]

    def subject(self, row: Row) -> str:
        """Return how events name *row*: table and primary key."""
        return f"{self._name}:" + ":".join([str(row[key]) for key in self._keys])

    def whole(self, row: Row) -> dict[str, Any]:
        """Return *row* with every column, those that it leaves out with their defaults."""
        return {name: row.get(name, default) for name, default in self._defaults}

    def stored(self, row: Row) -> Stored:
        """Return a whole row as the driver takes it."""
        return tuple(
            [value if (value := row[name]) is None or bind is None else bind(value) for name, bind in self._binds]
        )

    def sealed(self, row: Row, stored: Stored, row_digest: str, sealer: Sealer | None) -> Stored:
        """
        Return a row as the driver takes it with its seal; without a key it has none.

        :param row_digest: that of the whole row.
        """
        seal = None
        if sealer is not None:
            digest = self._sealed(stored) or sealed_digest(self._table, row) if self._sealed else row_digest
            seal = sealer.seal(sealed_text(self._table, digest))
        return (*stored[: self._seal_at], seal, *stored[self._seal_at + 1 :])

    def is_as_sealed(self, stored: Stored, row_digest: str, sealer: Sealer) -> bool:
        """Tell whether the seal of a row as the driver gives it holds; one that does not is looked at once more."""
        seal = stored[self._seal_at]
        digest = self._sealed(stored) if self._sealed else row_digest
        return isinstance(seal, str) and sealer.holds(sealed_text(self._table, digest), seal)

    def seal_in(self, stored: Stored) -> str | None:
        """Return the seal of a row as the driver takes it."""
        seal: str | None = stored[self._seal_at]
        return seal

    def insert(self, connection: Connection, rows: Sequence[Stored], *, only_new: bool = False) -> None:
        """Insert *rows*; *only_new*: one whose key is there already is left as it is."""
        connection.exec_driver_sql(self._insert + (" ON CONFLICT DO NOTHING" if only_new else ""), list(rows))

    def update(self, connection: Connection, rows: Iterable[Stored]) -> int:
        """Write *rows* over what is there of the revision before; return how many were, -1: that is not known."""
        parameters = [(*[row[place] for place in self._places], row[self._revision] - 1) for row in rows]
        return connection.exec_driver_sql(self._update, parameters).rowcount


_FORMS: dict[tuple[Table, str], RowForm] = {}


def _default(column: Any) -> Any:
    return column.default.arg if column.default is not None and column.default.is_scalar else None


def _bind(kind: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return what turns a value into the driver's; None: it is that already."""
    if isinstance(kind, Float):
        return float
    bind: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    # All that one transaction writes has the same instant.
    return lru_cache(maxsize=4096)(bind) if isinstance(kind, UtcDateTime) and bind is not None else bind
