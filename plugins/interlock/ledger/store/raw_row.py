"""
Rows as the database driver gives them, and their digests without turning a row into Python's types and back.

For verifying millions of rows, and for writing them (:mod:`interlock.ledger.store.bulk_write`). The text that is
digested is the canonical JSON of :func:`interlock.ledger.store.transaction.row_digest`, put together from the stored
texts. A row whose digest is not the one that was recorded is digested once more by that function, so that a doubt here
is never an accusation there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring  # the C one, where there is one
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Float, Integer, Select, String, Table

from interlock.domain.base.canonical import canonical_json, digest_bytes
from interlock.ledger.store.column import Json, Money, UtcDateTime
from interlock.ledger.store.seal import COLUMN

AT_ONCE = 5000
IN_ONE = 400
"""Values in one condition: SQLite takes a limited number of parameters in a statement."""


def raw_rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """Yield what *query* finds as the driver gives it; the query may have no parameters."""
    text = str(query.compile(dialect=connection.dialect))
    options = {"stream_results": True, "max_row_buffer": AT_ONCE}
    parts = connection.exec_driver_sql(text, execution_options=options).partitions(AT_ONCE)
    if connection.dialect.name != "postgresql":
        for part in parts:
            yield from part
        return
    with ThreadPoolExecutor(max_workers=1) as ahead:  # the server works on the next rows while these are digested
        coming = ahead.submit(next, parts, None)
        while (rows := coming.result()) is not None:
            coming = ahead.submit(next, parts, None)
            yield from rows


def raw_rows_where(
    connection: Connection,
    columns: Sequence[Column[Any]],
    column: Column[Any],
    values: Sequence[str],
    *,
    order: str = "",
) -> list[Any]:
    """
    Return the rows whose *column* has one of *values*, as the driver gives them: *columns* of one table.

    :param order: columns to order by, as SQL writes them.
    """
    quote = connection.dialect.identifier_preparer.quote
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    named = ", ".join([quote(one.name) for one in columns])
    found: list[Any] = []
    for start in range(0, len(values), IN_ONE):
        group = tuple(values[start : start + IN_ONE])
        marks = ", ".join([mark] * len(group))
        text = f"SELECT {named} FROM {quote(column.table.name)} WHERE {quote(column.name)} IN ({marks})"
        found += connection.exec_driver_sql(f"{text} ORDER BY {order}" if order else text, group).fetchall()
    return found


def read_leniently(connection: Connection) -> None:
    """Let bytes that are no UTF-8 be read: SQLite hands out whatever a changed file holds, or nothing at all."""
    raw: Any = connection.connection.driver_connection
    raw.text_factory = lambda data: data.decode("utf-8", "replace")


def instant_text(value: Any) -> str:
    """Return a stored instant as it stands in canonical JSON; what is none, as something that is none."""
    if isinstance(value, datetime):  # PostgreSQL, in the time zone of the session
        return _in_utc(value)
    if isinstance(value, str) and len(value) == 26 and value[10] == " ":
        return f"{value[:10]}T{value[11:]}+00:00"
    return f"not an instant: {value!r}"


@lru_cache(maxsize=4096)
def _in_utc(value: datetime) -> str:  # all that one transaction wrote has the same
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def raw_digest(table: Table, *, apart: Collection[str] = ()) -> Callable[[Any], str]:
    """
    Return a function from a raw row of *table*, with its columns in their order, to the digest of the row.

    :param apart: columns that are not digested, beside the row's seal.
    """
    order = sorted(range(len(table.columns)), key=lambda index: table.columns[index].name)
    columns = list(table.columns)
    parts = [
        (f'"{columns[index].name}":', index, _writer(columns[index].type))
        for index in order
        if columns[index].name not in (COLUMN, *apart)
    ]

    def _digest(row: Any) -> str:
        try:
            written = [name + write(value) for name, index, write in parts if (value := row[index]) is not None]
        except TypeError:  # a value that is not of its column's type
            return ""
        return digest_bytes(f"{{{','.join(written)}}}".encode())

    return _digest


def _writer(kind: Any) -> Callable[[Any], str]:
    """Return what writes a value of *kind*; all but the instants' are C, since there are millions of values."""
    if isinstance(kind, UtcDateTime):
        return _quoted_instant
    if isinstance(kind, Json):
        return str
    if isinstance(kind, Boolean):
        return lambda value: "true" if value else "false"
    if isinstance(kind, Integer):
        return int.__repr__
    if isinstance(kind, Float):
        return float.__repr__
    if isinstance(kind, (String, Money)):
        return encode_basestring
    return canonical_json


def _quoted_instant(value: Any) -> str:
    return f'"{instant_text(value)}"'
