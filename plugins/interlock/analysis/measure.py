"""
Measuring a snapshot: aggregates over conditions, by period and by segment, each with the rows that it rests on.

The snapshot is loaded into a database of its own, which is then shut off: no expression reads a file or a setting. When
the quarantined rows counted is loaded as well, so that a figure can say how many rows of its period are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from interlock.analysis.staging import cast, duckdb_type, first_line, open_duckdb, q
from interlock.domain.base.period import Period
from interlock.domain.data.dataset import Dataset
from interlock.errors import ConfigurationError

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """An aggregate and the rows that it was taken over."""

    value: Decimal | None
    """None: there are no rows, or it is not a number (a division by zero)."""
    rows: int
    digest: str
    """Over the rows, whatever their order: 128 bits in hexadecimal digits."""

    @property
    def why_none(self) -> str:
        """Why there is no value."""
        if self.value is not None:
            return ""
        return "it is divided by zero, or has no value" if self.rows else "there are no rows"


@dataclass(frozen=True)
class Weight:
    """How much of a period is there."""

    rows: int
    quarantined: int

    @property
    def share(self) -> float:
        """The share of its rows that is quarantined."""
        return self.quarantined / (self.rows + self.quarantined) if self.quarantined else 0.0


class SnapshotTable:
    """The rows of a snapshot."""

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._begins: tuple[datetime | None] | None = None

    def measure(self, expression: str, where: str) -> Aggregate:
        """
        Return an aggregate over the rows that *where* picks.

        :raises ConfigurationError: it cannot be computed: an unknown column, a wrong type.
        """
        rows = self._all(
            f"SELECT ({expression}), count(*), bit_xor(md5_number(_digest)) FROM rows WHERE {where}", expression
        )
        value, count, digest = rows[0]
        return Aggregate(value=to_decimal(value, expression), rows=count, digest=f"{digest or 0:032x}")

    def by_period(self, expression: str, periods: Sequence[Period], where: str | None = None) -> list[Decimal | None]:
        """
        Return the aggregate of each of *periods*, which follow each other; None where the period has no row.

        A period whose rows *where* omits has the aggregate of nothing: a count of 0, and no sum.
        """
        if not periods:
            return []
        joined = f"FROM {_bounds(periods)} JOIN rows ON _at >= first AND _at < last"
        found = dict(
            self._all(f"SELECT i, ({expression}) {joined} WHERE {where or 'true'} GROUP BY i", expression),
        )
        if where:
            nothing = self._all(f"SELECT ({expression}) FROM rows WHERE false", expression)[0][0]
            found = {i: found.get(i, nothing) for (i,) in self._all(f"SELECT DISTINCT i {joined}", expression)}
        return [to_decimal(found.get(i), expression) for i in range(len(periods))]

    def by_segment(self, expressions: Sequence[str], column: str, where: str) -> dict[str, list[Decimal | None]]:
        """
        Return, for each value of *column* in the rows that *where* picks, each of the aggregates.

        Rows in which the column is empty are a segment of their own: ``""``.
        """
        picked = ", ".join(f"({expression})" for expression in expressions)
        rows = self._all(
            f"SELECT coalesce(CAST({q(column)} AS VARCHAR), '') AS _segment, {picked} FROM rows "
            f"WHERE {where} GROUP BY _segment ORDER BY _segment",
            picked,
        )
        return {row[0]: [to_decimal(v, e) for v, e in zip(row[1:], expressions, strict=True)] for row in rows}

    def weights(self, periods: Sequence[Period]) -> list[Weight]:
        """
        Return how much of each of *periods* is there.

        A quarantined row without a readable time counts in the periods of the rows before and after it in the source.
        """
        if not periods:
            return []
        bounds = _bounds(periods)
        rows = f"SELECT i, count(*) FROM {bounds} JOIN rows ON _at >= first AND _at < last GROUP BY i"
        either = " UNION ".join(
            f"SELECT i, _number FROM {bounds} JOIN aside ON {at} >= first AND {at} < last" for at in ("_first", "_last")
        )
        missing = f"SELECT i, count(*) FROM ({either}) GROUP BY i"
        kept, gone = (dict(self._all(query, "quarantined rows")) for query in (rows, missing))
        return [Weight(kept.get(i, 0), gone.get(i, 0)) for i in range(len(periods))]

    def begins(self) -> datetime | None:
        """Return when the oldest row counts."""
        if self._begins is None:
            found = self._all("SELECT min(_at) FROM rows", "min")[0][0]
            self._begins = (None if found is None else found.astimezone(UTC),)
        return self._begins[0]

    def rows(self, where: str, columns: Sequence[str], limit: int) -> list[tuple[Any, ...]]:
        """Return the first *limit* rows that *where* picks, with the row's number in its source first."""
        picked = ", ".join(map(q, columns))
        return self._all(f"SELECT _number, {picked} FROM rows WHERE {where} ORDER BY _number LIMIT {limit}", where)

    def newest(self) -> datetime | None:
        """Return when the newest row counts."""
        found = self._all("SELECT max(_at) FROM rows", "max")[0][0]
        return None if found is None else found.astimezone(UTC)

    def _all(self, query: str, asked: str) -> list[Any]:
        import duckdb

        try:
            return self._database.execute(query).fetchall()
        except duckdb.Error as error:
            raise ConfigurationError(f"{asked!r} cannot be computed: {first_line(error)}") from None


@contextmanager
def open_table(
    snapshot: Path, *, quarantine: Path | None = None, dataset: Dataset | None = None
) -> Iterator[SnapshotTable]:
    """
    Open the rows of the Parquet file *snapshot*.

    :param quarantine: the rows that were quarantined when it was read; they are weighed as *dataset* reads their times.
    """
    with TemporaryDirectory(prefix="interlock-table-") as folder:
        database = open_duckdb(Path(folder) / "table.db", Path(folder))
        try:
            database.execute("CREATE TABLE rows AS SELECT * FROM read_parquet(?)", [str(snapshot)])
            database.execute(_ASIDE)
            if quarantine is not None and dataset is not None:
                _weigh(database, quarantine, dataset)
            _shut_off(database)
            yield SnapshotTable(database)
        finally:
            database.close()


_ASIDE = "CREATE TABLE aside (_number BIGINT, _first TIMESTAMPTZ, _last TIMESTAMPTZ)"


def _weigh(database: duckdb.DuckDBPyConnection, quarantine: Path, dataset: Dataset) -> None:
    """Take in when the quarantined rows counted; one that repeats a row which is there is not missing."""
    kind = dataset.columns[dataset.time]
    at = cast(dataset.time, kind, dataset.time_zone)
    if kind == "date":
        at = f"(CAST({at} AS TIMESTAMP) AT TIME ZONE '{dataset.time_zone}')"
    database.execute(
        f"CREATE TEMP TABLE missing AS SELECT _number, {at} AS _at FROM read_parquet(?) "
        "WHERE NOT list_bool_and(list_transform(_reasons, lambda reason: "
        "regexp_matches(reason, '^the same .* as row [0-9]+$')))",
        [str(quarantine)],
    )
    database.execute(
        "CREATE TEMP TABLE dated AS SELECT _number, _at FROM rows UNION ALL SELECT * FROM missing WHERE _at IS NOT NULL"
    )
    database.execute(
        "INSERT INTO aside SELECT missing._number, coalesce(missing._at, before._at), coalesce(missing._at, after._at) "
        "FROM missing ASOF LEFT JOIN dated AS before ON missing._number >= before._number "
        "ASOF LEFT JOIN dated AS after ON missing._number <= after._number"
    )
    database.execute("DROP TABLE missing; DROP TABLE dated")


@contextmanager
def empty_table(columns: Mapping[str, str]) -> Iterator[SnapshotTable]:
    """Open a table of *columns* without a row, to see whether expressions can be computed."""
    with TemporaryDirectory(prefix="interlock-table-") as folder:
        database = open_duckdb(":memory:", Path(folder))
        try:
            declared = ", ".join(f"{q(name)} {duckdb_type(kind)}" for name, kind in columns.items())
            database.execute(
                f"CREATE TABLE rows ({declared}, _number BIGINT, _at TIMESTAMPTZ, _known TIMESTAMPTZ, _digest VARCHAR)"
            )
            database.execute(_ASIDE)
            _shut_off(database)
            yield SnapshotTable(database)
        finally:
            database.close()


def _shut_off(database: duckdb.DuckDBPyConnection) -> None:
    database.execute("SET threads = 1")  # sums of doubles depend on the order in which they are added
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def instant(at: datetime) -> str:
    """Return *at* as SQL writes it."""
    return f"TIMESTAMPTZ '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"


def within(period: Period) -> str:
    """Return the condition on the rows of *period*."""
    return f"_at >= {instant(period.start)} AND _at < {instant(period.end)}"


def _bounds(periods: Sequence[Period]) -> str:
    values = ", ".join(f"({i}, {instant(p.start)}, {instant(p.end)})" for i, p in enumerate(periods))
    return f"(VALUES {values}) AS period(i, first, last)"


def of_segment(column: str, value: str) -> str:
    """Return the condition on the rows whose *column* is *value*, or is empty when that is ``""``."""
    if not value:
        return f"coalesce(CAST({q(column)} AS VARCHAR), '') = ''"
    return f"CAST({q(column)} AS VARCHAR) = '" + value.replace("'", "''") + "'"


def to_decimal(value: Any, expression: str) -> Decimal | None:
    """
    Return a value of SQL as an exact number; None where it is none.

    :raises ConfigurationError: it is a text or a date.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return Decimal(int(value))
    if isinstance(value, (int, float, Decimal)):
        found = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return found if found.is_finite() else None
    raise ConfigurationError(f"{expression!r} gives a {type(value).__name__}, and a number is asked for")
