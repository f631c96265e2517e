"""
Reading a dataset into a table: each value of its declared type, rows that cannot be read quarantined with their reason.

All of it happens in a DuckDB file in a temporary folder, so memory stays flat however many rows there are. Values come
as text and are cast with checks of our own, because a plain cast rounds ``12.7`` to an integer and takes ``NaN``.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.domain.data.dataset import Dataset, base_type, scale_of
from interlock.domain.data.notation import Notation, ValueKind, read_as_declared
from interlock.domain.data.source import ReadSummary, ReturnedSummary, SourceRow
from interlock.errors import SourceError

if TYPE_CHECKING:
    import duckdb

BATCH = 20_000
MEMORY = "1GB"
"""What DuckDB may hold in memory; the rest is on disk."""

_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMPTZ",
}
_BLANK_ROW, _HEADER_ROW = "every field is empty", "repeats the header"
"""What a line is that is no row, while a file is taken in at once."""


def duckdb_type(kind: str) -> str:
    """Return what a column's declared type is in the table."""
    return f"DECIMAL(18,{scale_of(kind)})" if base_type(kind) == "decimal" else _DUCKDB_TYPES[kind]


@dataclass
class Staging:
    """A dataset while it is read: table ``raw`` (texts), then ``rows`` (typed) and ``aside`` (with reasons)."""

    dataset: Dataset
    database: duckdb.DuckDBPyConnection
    folder: Path
    found: tuple[str, ...] = ()
    """Columns that the source has, in its order."""
    later: int = 0
    """Rows that became known after the instant of the reading, and are omitted."""
    omitted: str = ""
    """What of the source was omitted because it holds no data: blank rows, repeated headers, empty columns."""

    def add(self, rows: Iterable[SourceRow]) -> int:
        """Take *rows* in as text; return how many. The first may say which columns there are."""
        import pyarrow

        columns, number, given = list(self.dataset.columns), 0, ReturnedSummary(rows)
        iterator, kinds_of = iter(given), _notation_kinds(self.dataset)
        found: dict[str, None] = dict.fromkeys(self.found)
        while batch := list(islice(iterator, BATCH)):
            for row in batch:
                if row.values:
                    found.update(dict.fromkeys(row.values))
            batch = [_as_declared(row, kinds_of) if row.notation and row.values else row for row in batch]
            data = {"_number": [row.number for row in batch], "_problem": [row.problem for row in batch]}
            texts = {name: [_text((row.values or {}).get(name)) for row in batch] for name in columns}
            kinds = {"_number": pyarrow.int64()}
            arrow = pyarrow.table(
                {
                    name: pyarrow.array(values, kinds.get(name, pyarrow.string()))
                    for name, values in (data | texts).items()
                }
            )
            self.database.register("batch", arrow)
            self.database.execute("INSERT INTO raw SELECT * FROM batch")
            self.database.unregister("batch")
            number += len(batch)
        if given.summary is not None:
            found.update(dict.fromkeys(given.summary.columns or ()))
            self.omitted = given.summary.describe_omitted()
        self.found = tuple(found)
        return number

    def add_csv(self, path: Path, header: Sequence[str], *, delimiter: str, lines: int, delimiters: int) -> bool:
        """
        Take the rows of a CSV file in, all at once, when each line of it is a row; return whether it was.

        A file of which a line cannot be read, or where rows are not lines, is left to :meth:`add`, which says what is
        wrong with which line.

        :param header: its columns; it is line 1.
        :param lines: how many lines there are, with the header.
        :param delimiters: how many there are in all: DuckDB takes one too many at the end of a line without a word.
        """
        import duckdb

        columns = self.dataset.columns
        typed = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in header)
        source = (
            f"read_csv({quoted(str(path))}, columns={{{typed}}}, auto_detect=false, header=false, skip=1, "
            f"delim={quoted(delimiter)}, quote='\"', escape='\"', nullstr='', strict_mode=true, max_line_size=16777216)"
        )
        picked = ", ".join(_clean(q(name)) if name in header else "NULL" for name in columns)
        blank = quoted(_BLANK)
        empty = " AND ".join(f"({q(name)} IS NULL OR trim({q(name)}, {blank}) = '')" for name in header)
        again = " AND ".join(f"trim({q(name)}, {blank}) = {quoted(name)}" for name in header)
        self.found = tuple(header)
        try:
            self.database.execute(
                f"INSERT INTO raw SELECT row_number() OVER () + 1, CASE WHEN {empty} THEN '{_BLANK_ROW}' WHEN {again} "
                f"THEN '{_HEADER_ROW}' END, {picked} FROM {source}"
            )
            if self.number("SELECT count(*) FROM raw") == lines - 1:
                over = delimiters - lines * (len(header) - 1) - sum(name.count(delimiter) for name in header)
                within = " + ".join(f"coalesce(len(string_split({q(n)}, {quoted(delimiter)})) - 1, 0)" for n in header)
                if over == 0 or self.number(f"SELECT coalesce(sum({within}), 0) FROM {source}") == over:
                    self._omit_lines()
                    return True
        except duckdb.Error:
            pass
        self.database.execute("DELETE FROM raw")
        return False

    def _omit_lines(self) -> None:
        """Take out the lines that are no rows."""
        lines = dict(self.rows_of("SELECT _problem, count(*) FROM raw WHERE _problem IS NOT NULL GROUP BY _problem"))
        if lines:
            self.database.execute("DELETE FROM raw WHERE _problem IS NOT NULL")
        summary = ReadSummary(blank_rows=lines.get(_BLANK_ROW, 0), repeated_headers=lines.get(_HEADER_ROW, 0))
        self.omitted = summary.describe_omitted()

    def add_parquet(self, path: Path) -> int:
        """
        Take the rows of a Parquet file in; return how many.

        :raises SourceError: it is none, or not whole.
        """
        import duckdb

        where = quoted(str(path))
        try:
            self.found = tuple(str(row[0]) for row in self.rows_of(f"DESCRIBE SELECT * FROM read_parquet({where})"))
            columns = self.dataset.columns
            picked = ", ".join(_clean(f"CAST({q(c)} AS VARCHAR)") if c in self.found else "NULL" for c in columns)
            self.database.execute(
                f"INSERT INTO raw SELECT row_number() OVER (), NULL, {picked} FROM read_parquet({where})"
            )
        except duckdb.Error as error:
            reason = first_line(error).replace(str(path), path.name)
            raise SourceError(
                f"{path.name!r} cannot be read as Parquet: {reason}. Was it written to its end?"
            ) from None
        return self.number("SELECT count(*) FROM raw")

    def forget_rows(self) -> None:
        """Give up what was taken in, because it is not all."""
        self.database.execute("DELETE FROM raw")
        self.found = ()

    @property
    def missing(self) -> list[str]:
        """Declared columns that the source has not."""
        return [name for name in self.dataset.columns if name not in self.found]

    @property
    def undeclared(self) -> list[str]:
        """Columns of the source that are not declared."""
        return [name for name in self.found if name not in self.dataset.columns]

    def type_rows(self) -> None:
        """Make ``rows`` and ``aside`` from ``raw``: typed, with ``_at``, ``_known`` and a digest of each row."""
        columns, time = self.dataset.columns, self.dataset.time
        known = self.dataset.known_at or time
        typed = {name: q(f"_typed {name}") for name in columns}
        casts = ", ".join(
            f"{cast(name, kind, self.dataset.time_zone)} AS {typed[name]}" for name, kind in columns.items()
        )
        wrong = {name: f"({q(name)} IS NOT NULL AND {typed[name]} IS NULL)" for name in columns}
        bad = f"(_problem IS NOT NULL OR {q(time)} IS NULL OR {' OR '.join(wrong.values())})"
        reasons = ", ".join(f"CASE WHEN {wrong[name]} THEN {_reason(name, kind)} END" for name, kind in columns.items())
        both = f"(SELECT *, {casts} FROM raw)"
        self.database.execute(
            f"CREATE TABLE aside AS SELECT * EXCLUDE ({', '.join(typed.values())}), list_filter(list_value(_problem, "
            f"CASE WHEN _problem IS NULL AND {q(time)} IS NULL "
            f"THEN '{time}: is empty, and it says when the row counts' END, {reasons}), "
            f"lambda reason: reason IS NOT NULL) AS _reasons FROM {both} WHERE {bad}"
        )
        named = ", ".join(f"{typed[name]} AS {q(name)}" for name in columns)
        texts = ", ".join(f"coalesce(CAST({q(name)} AS VARCHAR), '\\x00')" for name in columns)
        self.database.execute(
            f"CREATE TABLE rows AS SELECT *, {self._instant(time)} AS _at, "
            f"{self._instant(known, ends=True)} AS _known, md5(concat_ws('\\x1f', {texts})) AS _digest "
            f"FROM (SELECT _number, {named} FROM {both} WHERE NOT {bad})"
        )

    def put_future_aside(self, now: datetime) -> int:
        """Quarantine the rows that say to be known since later than *now*; return how many."""
        known = self.dataset.known_at or self.dataset.time
        return self.put_aside(
            f"SELECT _number, '{known}: lies in the future' FROM rows WHERE {self._instant(known)} > $now", {"now": now}
        )

    def newest_known(self) -> datetime | None:
        """Return since when the newest row is known."""
        return _utc(self._one("SELECT max(_known) FROM rows"))

    def newest_at(self) -> datetime | None:
        """Return when the newest row counts."""
        return _utc(self._one("SELECT max(_at) FROM rows"))

    def read_as_of(self, as_of: datetime) -> int:
        """
        Omit the rows that were not known at *as_of*, and all but one row of each key; return how many are left.

        Where the dataset says since when a row is known, the last version of a key counts; otherwise the first row,
        and the others are quarantined.
        """
        before = self.count()
        self.database.execute("DELETE FROM rows WHERE _known > ? OR _known IS NULL", [as_of])
        self.later = before - self.count()
        if self.dataset.key:
            key = ", ".join(map(q, self.dataset.key))
            if self.dataset.known_at:
                self.database.execute(
                    f"DELETE FROM rows WHERE _number IN (SELECT _number FROM rows QUALIFY "
                    f"_known < max(_known) OVER (PARTITION BY {key}))"
                )
            self.put_aside(
                f"SELECT _number, 'the same {' and '.join(self.dataset.key)} as row ' || first || "
                "CASE WHEN _digest = kept THEN '' ELSE ', with other values' END FROM (SELECT _number, _digest, "
                "min(_number) OVER same AS first, first(_digest) OVER same AS kept FROM rows "
                f"WINDOW same AS (PARTITION BY {key} ORDER BY _number)) WHERE _number > first"
            )
        return self.count()

    def put_aside(self, query: str, values: Mapping[str, Any] | None = None) -> int:
        """Quarantine the rows that *query* names: it gives ``_number`` and a reason. Return how many."""
        self.database.execute(
            f"CREATE OR REPLACE TEMP TABLE failing AS "
            f"SELECT number, list(reason) AS reasons FROM ({query}) AS named(number, reason) GROUP BY number",
            dict(values or {}),
        )
        self.database.execute(
            "INSERT INTO aside SELECT raw.*, failing.reasons FROM raw JOIN failing ON failing.number = raw._number "
            "JOIN rows ON rows._number = raw._number"
        )
        self.database.execute("DELETE FROM rows WHERE _number IN (SELECT number FROM failing)")
        return self.number("SELECT count(*) FROM failing")

    def put_aside_rows(self, reasons: Mapping[int, Sequence[str]]) -> int:
        """Quarantine rows by number, each with its reasons; return how many."""
        import pyarrow

        pairs = [(number, reason) for number, why in reasons.items() for reason in why]
        self.database.register(
            "named",
            pyarrow.table(
                {
                    "number": pyarrow.array([number for number, _ in pairs], pyarrow.int64()),
                    "reason": pyarrow.array([reason for _, reason in pairs], pyarrow.string()),
                }
            ),
        )
        put = self.put_aside("SELECT number, reason FROM named")
        self.database.unregister("named")
        return put

    def rows_of(self, query: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows that a query of ours gives."""
        return self.database.execute(query, dict(values or {})).fetchall()

    def number(self, query: str) -> int:
        """Return the count that a query of ours gives."""
        return int(self._one(query))

    def count(self) -> int:
        """Return how many rows there are."""
        return self.number("SELECT count(*) FROM rows")

    def count_aside(self) -> int:
        """Return how many rows were quarantined."""
        return self.number("SELECT count(*) FROM aside")

    def write_rows(self, path: Path) -> str:
        """Write the rows to *path* as Parquet; return the file's SHA-256."""
        self.database.execute(f"COPY (SELECT * FROM rows ORDER BY _number) TO {quoted(str(path))} (FORMAT parquet)")
        return _digest(path)

    def write_aside(self, path: Path) -> str:
        """Write the quarantined rows, as texts and with their reasons; return the file's SHA-256."""
        self.database.execute(
            f"COPY (SELECT * EXCLUDE (_problem) FROM aside ORDER BY _number) TO {quoted(str(path))} (FORMAT parquet)"
        )
        return _digest(path)

    def aggregate(self, expression: str) -> Any:
        """
        Return the value of a SQL aggregate over the rows.

        :raises SourceError: it cannot be computed.
        """
        import duckdb

        try:
            return self._one(f"SELECT {expression} FROM rows")
        except duckdb.Error as error:
            raise SourceError(f"{expression!r} cannot be computed: {first_line(error)}") from None

    def frame(self, limit: int | None = None) -> Any:
        """Return the rows as a pandas frame, in order, with ``_number``; *limit*: always the same sample of so many."""
        picked = "rows" if limit is None else f"(SELECT * FROM rows ORDER BY md5(_number || '') LIMIT {limit})"
        return self.database.execute(f"SELECT * EXCLUDE (_at, _known, _digest) FROM {picked} ORDER BY _number").df()

    def _instant(self, column: str, *, ends: bool = False) -> str:
        if self.dataset.columns[column] == "datetime":
            return q(column)
        day = f"({q(column)} + INTERVAL 1 DAY)" if ends else q(column)
        return f"(CAST({day} AS TIMESTAMP) AT TIME ZONE '{self.dataset.time_zone}')"

    def _one(self, query: str) -> Any:
        rows = self.database.execute(query).fetchall()  # all: one that is left unread blocks the connection
        return rows[0][0] if rows else None


def _reason(name: str, kind: str) -> str:
    """Return the SQL of what is wrong with a value of a column that is not of its type."""
    if base_type(kind) != "decimal":
        return quoted(f"{name}: is no {kind}")
    scale = scale_of(kind)
    longer = f"{name}: has more than {scale} digits after the point; declare it as decimal({min(scale + 4, 17)})"
    return (
        f"CASE WHEN regexp_full_match({q(name)}, '[+-]?[0-9]*\\.[0-9]{{{scale + 1},}}') THEN {quoted(longer)} "
        f"ELSE {quoted(f'{name}: is no decimal')} END"
    )


@contextmanager
def staging(dataset: Dataset) -> Iterator[Staging]:
    """Open the staging of a dataset; all of it is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="interlock-dataset-") as folder:
        database = open_duckdb(Path(folder) / "staging.db", Path(folder))
        try:
            columns = ", ".join(f"{q(name)} VARCHAR" for name in dataset.columns)
            database.execute(f"CREATE TABLE raw (_number BIGINT, _problem VARCHAR, {columns})")
            yield Staging(dataset, database, Path(folder))
        finally:
            database.close()


def control_problems(name: str, dataset: Dataset) -> list[str]:
    """Return what is wrong with the SQL of the controls of dataset *name*; it is tried on a table without rows."""
    found = []
    with staging(dataset) as staged:
        staged.type_rows()
        for control in dataset.controls:
            for text in (control.total, control.equals):
                try:
                    if text is not None:
                        staged.aggregate(text)
                except SourceError as error:
                    found.append(f"datasets.yaml, {name}, control {control.name!r}: {error}")
    return found


def open_duckdb(path: Path | str, folder: Path | None) -> duckdb.DuckDBPyConnection:
    """Return a database that loads nothing from the network and spills to *folder*, if there is one."""
    import duckdb

    database = duckdb.connect(
        str(path),
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY,
            "temp_directory": "" if folder is None else str(folder),
            "threads": "2",
        },
    )
    database.execute("SET TimeZone = 'UTC'")
    return database


def first_line(error: BaseException) -> str:
    """Return what a DuckDB error says, without its drawing of the place."""
    return str(error).strip().split("\n")[0]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    text = str(value).strip()
    return text or None


_BLANK = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What :meth:`str.strip` takes off."""


def _clean(text: str) -> str:
    """Return the SQL that does to *text* what :func:`_text` does; looking first is five times as fast."""
    trimmed = f"nullif(trim({text}, {quoted(_BLANK)}), '')"
    return f"CASE WHEN {text} = '' OR regexp_matches({text}, '^[^!-~]|[^!-~]$') THEN {trimmed} ELSE {text} END"


def q(name: str) -> str:
    """Return *name* as SQL writes an identifier."""
    return '"' + name.replace('"', '""') + '"'


def cast(column: str, kind: str, zone: str) -> str:
    """Return the SQL that gives the text in *column* as a value of *kind*; NULL: it is none."""
    name = q(column)
    if base_type(kind) == "decimal":
        return _cast_decimal(name, scale_of(kind))
    match kind:
        case "string":
            return name
        case "integer":
            return f"CASE WHEN regexp_full_match({name}, '[+-]?[0-9]+(\\.0+)?') THEN TRY_CAST({name} AS BIGINT) END"
        case "number":
            return f"CASE WHEN isfinite(TRY_CAST({name} AS DOUBLE)) THEN TRY_CAST({name} AS DOUBLE) END"
        case "boolean":
            return (
                f"CASE WHEN lower({name}) IN ('true', 't', 'yes', 'y', '1', '1.0') THEN true "
                f"WHEN lower({name}) IN ('false', 'f', 'no', 'n', '0', '0.0') THEN false END"
            )
        case "date":
            return f"CAST(TRY_CAST({name} AS TIMESTAMP) AS DATE)"
    return (
        f"CASE WHEN regexp_matches({name}, ':.*(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$') "
        f"THEN TRY_CAST({name} AS TIMESTAMPTZ) ELSE TRY_CAST({name} AS TIMESTAMP) AT TIME ZONE '{zone}' END"
    )


def _cast_decimal(name: str, scale: int) -> str:
    """Return the SQL of a decimal; NULL where it has more digits after the point, because a cast would round them."""
    kind = f"DECIMAL(18,{scale})"
    part = f"(\\.[0-9]{{0,{scale}}}0*)?" if scale else "(\\.0*)?"
    short = f"(\\.[0-9]{{1,{scale}}}0*)" if scale else "(\\.0+)"
    return (
        f"CASE WHEN regexp_full_match({name}, '[+-]?([0-9]+{part}|{short})') THEN TRY_CAST({name} AS {kind}) "
        f"WHEN regexp_full_match({name}, '[+-]?[0-9.]+[eE][+-]?[0-9]+') "
        f"AND TRY_CAST({name} AS DOUBLE) = CAST(TRY_CAST({name} AS {kind}) AS DOUBLE) "
        f"THEN TRY_CAST({name} AS {kind}) END"
    )


def _notation_kinds(dataset: Dataset) -> dict[str, ValueKind]:
    """Return the columns whose texts a declared notation is for."""
    kinds = {name: base_type(kind) for name, kind in dataset.columns.items()}
    numbers: dict[str, ValueKind] = {n: "number" for n, k in kinds.items() if k in ("integer", "number", "decimal")}
    return numbers | {name: "date" for name, kind in kinds.items() if kind in ("date", "datetime")}


def _as_declared(row: SourceRow, kinds: Mapping[str, ValueKind]) -> SourceRow:
    values, problems = read_as_declared(row.values or {}, row.notation or Notation(), kinds)
    return replace(row, values=values, problem="; ".join(problems) or row.problem)


def _utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def quoted(text: str) -> str:
    """Return *text* as SQL writes a text."""
    return "'" + text.replace("'", "''") + "'"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
