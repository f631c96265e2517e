"""
Common expectations as SQL, for tables that are too large to hold as a frame.

What is translated gives exactly what Great Expectations gives on a frame of the same rows, and a test draws tables at
random to say so. What it would not give exactly (a regular expression that engines read differently, a set of mixed
kinds) is not translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.domain.data.dataset import base_type
from interlock.domain.data.quality import Expectation

NUMERIC = ("integer", "number", "decimal")

_COMMON = {"column", "mostly"}


@dataclass(frozen=True)
class OfRows:
    """Which rows fail."""

    column: str | None
    """Rows where it is empty are not looked at; None: all rows are."""
    fails: str
    """SQL condition."""


@dataclass(frozen=True)
class OfTable:
    """A number over all rows, and the limits that it must keep."""

    value: str
    """SQL aggregate."""
    at_least: float | None
    at_most: float | None
    is_strict: tuple[bool, bool] = (False, False)
    is_shown: bool = True
    """Whether it is over many rows, so that a result may show it."""

    def holds(self, value: float | None) -> bool:
        """Return whether *value* keeps the limits; none does not, where there are any."""
        if value is None:
            return self.at_least is None and self.at_most is None
        low, high = self.is_strict
        return (self.at_least is None or (value > self.at_least if low else value >= self.at_least)) and (
            self.at_most is None or (value < self.at_most if high else value <= self.at_most)
        )


def translate(item: Expectation, columns: Mapping[str, str]) -> OfRows | OfTable | None:
    """
    Return *item* as SQL over a table with *columns* (name to type); None: only Great Expectations can check it.
    """
    given = item.arguments
    make = _TRANSLATIONS.get(item.type.removeprefix("expect_"))
    if make is None or any(name not in columns for name in item.columns):
        return None
    kind = base_type(columns[item.columns[0]]) if item.columns else ""
    return make(given, kind)


def name(column: str) -> str:
    """Return *column* as SQL writes an identifier."""
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _only(given: Mapping[str, Any], *known: str) -> bool:
    return set(given) <= {*_COMMON, *known}


def _not_null(given: Mapping[str, Any], kind: str) -> OfRows | None:
    return OfRows(None, f"{name(given['column'])} IS NULL") if _only(given) else None


def _null(given: Mapping[str, Any], kind: str) -> OfRows | None:
    return OfRows(None, f"{name(given['column'])} IS NOT NULL") if _only(given) else None


def _unique(given: Mapping[str, Any], kind: str) -> OfRows | None:
    column = name(given["column"])
    if not _only(given) or kind == "decimal":  # a frame holds decimals as doubles
        return None
    return OfRows(given["column"], f"{column} IN (SELECT {column} FROM rows GROUP BY {column} HAVING count(*) > 1)")


def _in_set(given: Mapping[str, Any], kind: str) -> OfRows | None:
    values, column = given.get("value_set"), name(given["column"])
    if not _only(given, "value_set") or not isinstance(values, (list, tuple)) or not values:
        return None
    if kind == "string" and all(isinstance(value, str) for value in values):
        return OfRows(given["column"], f"{column} NOT IN ({', '.join(map(_text, values))})")
    if kind in NUMERIC and all(map(_is_number, values)):
        listed = ", ".join(f"{float(value)!r}::DOUBLE" for value in values)
        return OfRows(given["column"], f"CAST({column} AS DOUBLE) NOT IN ({listed})")
    return None


def _not_in_set(given: Mapping[str, Any], kind: str) -> OfRows | None:
    found = _in_set(given, kind)
    return None if found is None else OfRows(found.column, f"NOT ({found.fails})")


def _limits(given: Mapping[str, Any], *more: str) -> tuple[float | None, float | None, tuple[bool, bool]] | None:
    low, high = given.get("min_value"), given.get("max_value")
    if not _only(given, "min_value", "max_value", "strict_min", "strict_max", *more):
        return None
    if not all(value is None or _is_number(value) for value in (low, high)) or low is None is high:
        return None
    strict = (bool(given.get("strict_min")), bool(given.get("strict_max")))
    return (None if low is None else float(low), None if high is None else float(high), strict)


def _outside(value: str, limits: tuple[float | None, float | None, tuple[bool, bool]]) -> str:
    low, high, strict = limits
    conditions = []
    if low is not None:
        conditions.append(f"{value} {'<=' if strict[0] else '<'} {low!r}::DOUBLE")
    if high is not None:
        conditions.append(f"{value} {'>=' if strict[1] else '>'} {high!r}::DOUBLE")
    return " OR ".join(conditions)


def _between(given: Mapping[str, Any], kind: str) -> OfRows | None:
    limits = _limits(given)
    if limits is None or kind not in NUMERIC:
        return None
    return OfRows(given["column"], _outside(f"CAST({name(given['column'])} AS DOUBLE)", limits))


def _lengths(given: Mapping[str, Any], kind: str) -> OfRows | None:
    limits = _limits(given)
    if limits is None or kind != "string":
        return None
    return OfRows(given["column"], _outside(f"CAST(length({name(given['column'])}) AS DOUBLE)", limits))


_READ_DIFFERENTLY = re.compile(r"\\[^d.\-/+*?()\[\]{}|^$_@]|\(\?|[^\x00-\x7f]")
"""Shorthands that Python reads over all of Unicode and RE2 over ASCII, groups that only one of them has."""


def _regex(given: Mapping[str, Any], kind: str) -> OfRows | None:
    pattern = given.get("regex")
    if not _only(given, "regex") or kind != "string" or not isinstance(pattern, str):
        return None
    if _READ_DIFFERENTLY.search(pattern) or re.search(r"[*+?}]\+|\[[^\]]*\[", pattern):
        return None
    in_re2 = pattern.replace(r"\d", r"\p{Nd}")
    return OfRows(given["column"], f"NOT regexp_matches({name(given['column'])}, {_text(in_re2)})")


def _not_regex(given: Mapping[str, Any], kind: str) -> OfRows | None:
    found = _regex(given, kind)
    return None if found is None else OfRows(found.column, f"NOT ({found.fails})")


def _row_count(given: Mapping[str, Any], kind: str) -> OfTable | None:
    if set(given) == {"value"} and _is_number(given["value"]):
        return OfTable("count(*)", float(given["value"]), float(given["value"]))
    limits = _limits(given)
    return None if limits is None or "mostly" in given else OfTable("count(*)", *limits)


def _aggregate(function: str, *, is_shown: bool) -> Callable[[Mapping[str, Any], str], OfTable | None]:
    def make(given: Mapping[str, Any], kind: str) -> OfTable | None:
        limits = _limits(given)
        if limits is None or kind not in NUMERIC or "mostly" in given:
            return None
        value = f"{function}(CAST({name(given['column'])} AS DOUBLE))"
        return OfTable(f"coalesce({value}, 0)" if function == "sum" else value, *limits, is_shown)

    return make


def _distinct(given: Mapping[str, Any], kind: str) -> OfTable | None:
    limits = _limits(given)
    if limits is None or "mostly" in given or kind == "decimal":
        return None
    return OfTable(f"count(DISTINCT {name(given['column'])})", *limits)


_TRANSLATIONS: dict[str, Callable[[Mapping[str, Any], str], OfRows | OfTable | None]] = {
    "column_values_to_not_be_null": _not_null,
    "column_values_to_be_null": _null,
    "column_values_to_be_unique": _unique,
    "column_values_to_be_in_set": _in_set,
    "column_values_to_not_be_in_set": _not_in_set,
    "column_values_to_be_between": _between,
    "column_value_lengths_to_be_between": _lengths,
    "column_values_to_match_regex": _regex,
    "column_values_to_not_match_regex": _not_regex,
    "table_row_count_to_be_between": _row_count,
    "table_row_count_to_equal": _row_count,
    "column_sum_to_be_between": _aggregate("sum", is_shown=True),
    "column_mean_to_be_between": _aggregate("avg", is_shown=True),
    "column_min_to_be_between": _aggregate("min", is_shown=False),
    "column_max_to_be_between": _aggregate("max", is_shown=False),
    "column_unique_value_count_to_be_between": _distinct,
}
