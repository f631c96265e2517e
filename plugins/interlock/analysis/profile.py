"""
A first declaration and suite for a file, proposed from a sample of its rows.

It is conservative: what it proposes holds for the sample with room to spare, and nearly all of it only warns. Somebody
who knows the data must read it; a sample cannot know what is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from typing import Any

from interlock.analysis.staging import cast, open_duckdb, q
from interlock.domain.data.notation import Notation, ValueKind
from interlock.domain.data.source import SourceRow
from interlock.errors import SourceError

SAMPLE = 50_000
_KINDS = ("integer", "decimal", "number", "date", "datetime")
_NOTED: tuple[ValueKind, ...] = ("number", "date")
_CODE = re.compile(r"[+-]?0[0-9]|\+[0-9]|[0-9]+[eE][0-9]+$|-?[0-9]{16,}(\.0*)?$")
"""
What looks like a number and is none: as one, 00123 loses its zeros, +49… its plus, an article 1E5 becomes 100000, and
an account number of 22 digits its last ones.
"""
_FEW = 20
"""So many different texts at most are taken for a set."""
_A_VALUE = 20
"""So many rows each of them must have on average."""
_SHAPES = 20
"""So many different texts of one shape are taken for identifiers."""


def propose(rows: Iterable[SourceRow], *, name: str, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return the declaration of dataset *name* and a suite for it, as YAML holds them.

    :raises SourceError: there is no row, or no column that says when a row counts.
    """
    sample = [row for row in islice(rows, SAMPLE) if row.values]
    values = [row.values or {} for row in sample]
    if not values:
        raise SourceError("there is no row that can be read, so nothing can be proposed")
    columns = list(dict.fromkeys(column for row in values for column in row))
    texts = {column: [_text(row.get(column)) for row in values] for column in columns}
    if (notation := next((row.notation for row in sample if row.notation), None)) is not None:
        texts = {column: _as_declared(found, notation) for column, found in texts.items()}
    kinds = _kinds(texts)
    time = _time(texts, kinds)
    key = _key(texts, kinds)
    dataset: dict[str, Any] = {"source": source, "time": time, "columns": kinds}
    if key is not None:
        dataset["key"] = [key]
    suite = {"suite": name, "description": f"Proposed from {len(values)} rows; to be read by who knows them."}
    expectations: list[dict[str, Any]] = []
    for column, found in texts.items():
        expectations += _expectations(column, kinds[column], found, is_key=column == key)
    if not expectations:
        expectations = [{"expect": "table_row_count_to_be_between", "min_value": 1}]
    return {name: {**dataset, "suite": name}}, {**suite, "expectations": expectations}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.isoformat() if hasattr(value, "isoformat") else value).strip() or None


def _as_declared(texts: list[str | None], notation: Notation) -> list[str | None]:
    """Return a column's texts with its numbers, or its dates, as everybody writes them, where all of them are some."""
    for kind in _NOTED:
        try:
            return [None if text is None else notation.read(text, kind) for text in texts]
        except ValueError:
            continue
    return texts


def _kinds(texts: dict[str, list[str | None]]) -> dict[str, str]:
    import pyarrow

    database = open_duckdb(":memory:", None)
    try:
        database.register("sample", pyarrow.table({c: pyarrow.array(v, pyarrow.string()) for c, v in texts.items()}))
        return {column: _kind(database, column, found) for column, found in texts.items()}
    finally:
        database.close()


def _kind(database: Any, column: str, found: list[str | None]) -> str:
    filled = [text for text in found if text is not None]
    if not filled:
        return "string"
    words = {text.lower() for text in filled}
    if words <= {"true", "false"} or words == {"yes", "no"}:  # NO alone is Norway
        return "boolean"
    if any(_CODE.match(text) for text in filled):
        return "string"
    for kind in _KINDS:
        if kind in ("date", "datetime") and not all(re.match(r"\d{4}-\d\d?-\d\d?", text) for text in filled):
            continue
        if kind == "date" and any(":" in text for text in filled):
            continue
        if kind == "decimal" and any(len(text.partition(".")[2]) > 4 or "e" in text.lower() for text in filled):
            continue
        wrong = f"SELECT count(*) FROM sample WHERE {q(column)} IS NOT NULL AND {cast(column, kind, 'UTC')} IS NULL"
        if database.execute(wrong).fetchall()[0][0] == 0:
            return kind
    return "string"


def _time(texts: dict[str, list[str | None]], kinds: dict[str, str]) -> str:
    for column, kind in kinds.items():
        if kind in ("date", "datetime") and None not in texts[column]:
            return column
    raise SourceError(
        f"no column holds a date or a time in each row, so nothing says when one counts; there are: {', '.join(texts)}"
    )


def _key(texts: dict[str, list[str | None]], kinds: dict[str, str]) -> str | None:
    unique = [
        column
        for column, found in texts.items()
        if kinds[column] in ("string", "integer") and None not in found and len(set(found)) == len(found)
    ]
    named = [column for column in unique if re.search(r"(^|_)(id|key|no|number|code)$", column.lower())]
    return next(iter(named + unique), None)


def _expectations(column: str, kind: str, found: Sequence[str | None], *, is_key: bool) -> list[dict[str, Any]]:
    filled = [text for text in found if text is not None]
    about: dict[str, Any] = {"column": column, "severity": "warning"}
    proposed: list[dict[str, Any]] = []
    empty = 1 - len(filled) / len(found)
    if not empty:
        proposed.append(
            {"name": f"{column} is there", "expect": "column_values_to_not_be_null", "mostly": 0.99, **about}
        )
    elif filled and empty < 0.5:
        mostly = math.floor((1 - empty - 0.1) * 20) / 20
        proposed.append(
            {"name": f"{column} is mostly there", "expect": "column_values_to_not_be_null", "mostly": mostly, **about}
        )
    if not filled:
        return proposed
    if kind in ("integer", "decimal", "number") and not is_key:
        low, high = min(map(float, filled)), max(map(float, filled))
        room = max(high - low, abs(high), 1.0)
        least = 0.0 if low >= 0 else _round(low - room)
        proposed.append(
            {
                "name": f"{column} is in its range",
                "expect": "column_values_to_be_between",
                "min_value": least,
                "max_value": _round(high + room),
                **about,
            }
        )
    if kind == "string":
        several = set(filled)
        if len(several) <= _FEW and len(filled) >= _A_VALUE * len(several):
            known = {"name": f"{column} is one of those known", "expect": "column_values_to_be_in_set"}
            proposed.append({**known, "value_set": sorted(several), **about})
        elif len(several) >= _SHAPES and (shape := _shape(several)) is not None:
            form = {"name": f"{column} has its form", "expect": "column_values_to_match_regex"}
            proposed.append({**form, "regex": shape, **about})
    return proposed


def _round(value: float) -> float:
    """Return *value* with two digits that count, away from zero."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(round(math.copysign(math.ceil(abs(value) / unit) * unit, value), 10))


def _shape(texts: Iterable[str]) -> str | None:
    """Return a regular expression for texts that are the same but for runs of digits; None: they are not."""
    parts = [[(kind, "".join(run)) for kind, run in groupby(text, str.isdecimal)] for text in texts]
    first = parts[0]
    if not all(text.isascii() for _, text in first) or not any(kind for kind, _ in first):
        return None
    shape = "^"
    for position, (is_digits, text) in enumerate(first):
        runs = [part[position] if len(part) == len(first) else None for part in parts]
        if any(run is None or run[0] != is_digits or (not is_digits and run[1] != text) for run in runs):
            return None
        if is_digits:
            lengths = {len(run[1]) for run in runs if run is not None}
            shape += f"[0-9]{{{min(lengths)}}}" if len(lengths) == 1 else f"[0-9]{{{min(lengths)},{max(lengths) + 1}}}"
        else:
            shape += re.sub(r"([.\\+*?\[^\]$(){}|/])", r"\\\1", text)
    return f"{shape}$"
