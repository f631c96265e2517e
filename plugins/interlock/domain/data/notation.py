"""
How numbers and dates are written in a source: the decimal mark, the thousands separator, the order of day and month.

It is declared, never guessed: ``1.234`` is a thousand in one file and one and a bit in the next. What is not written as
declared is refused for its row, because to read it anyway would be to take one number for another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

ValueKind = Literal["number", "date"]

_ISO = re.compile(r"\d{4}-\d\d?-\d\d?(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?!\d)[ T]*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Notation:
    """How the texts of a source are to be read where a number or a date is expected."""

    decimal: str = "."
    thousands: str | None = None
    day_first: bool = False

    def read(self, text: str, kind: ValueKind) -> str:
        """
        Return *text* as it is written everywhere: ``1234.5``, ``2026-03-01``.

        :raises ValueError: it is not written as declared.
        """
        text = text.strip()
        return self._number(text) if kind == "number" else self._date(text)

    def _number(self, text: str) -> str:
        found = _number_pattern(self.decimal, self.thousands).fullmatch(text)
        if found is None:
            raise ValueError(f"is no number as the source declares them ({self._describe()})")
        whole = found["whole"] if self.thousands is None else found["whole"].replace(self.thousands, "")
        return (
            f"{found['sign']}{whole or '0'}" + (f".{found['part']}" if found["part"] else "") + (found["power"] or "")
        )

    def _date(self, text: str) -> str:
        if not self.day_first or _ISO.match(text):
            return text
        found = _DAY_FIRST.fullmatch(text)
        if found is None:
            raise ValueError("is no date as the source declares them (day first, such as 31.12.2026, or 2026-12-31)")
        day, _, month, year, time = found.groups()
        return f"{year}-{int(month):02d}-{int(day):02d}" + (f"T{time}" if time else "")

    def _describe(self) -> str:
        thousands = "no thousands separator" if self.thousands is None else f"thousands {self.thousands!r}"
        return f"decimal {self.decimal!r}, {thousands}"


@cache
def _number_pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    mark, group = re.escape(decimal), re.escape(thousands or "")
    grouped = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|" if thousands else ""
    return re.compile(
        rf"(?P<sign>[+-]?)(?P<whole>{grouped}[0-9]+|(?={mark}[0-9]))(?:{mark}(?P<part>[0-9]*))?(?P<power>[eE][+-]?[0-9]+)?"
    )


@cache
def kinds_of_fields(contract: type[BaseModel]) -> Mapping[str, ValueKind]:
    """Return the fields of *contract* that hold a number or a date, and no text."""
    found: dict[str, ValueKind] = {}
    for name, field in contract.model_fields.items():
        types = set(_types(field.annotation))
        if types and types <= {int, float, Decimal}:
            found[name] = "number"
        elif types and types <= {date, datetime}:
            found[name] = "date"
    return found


def text_alone(annotation: Any) -> bool:
    """Return whether *annotation* is a text, or one that may be empty."""
    return set(_types(annotation)) == {str}


def _types(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [one for part in get_args(annotation) for one in _types(part)]
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _types(get_args(annotation)[0])
    return [] if annotation is type(None) else [annotation]


def read_as_declared(
    values: Mapping[str, Any], notation: Notation, kinds: Mapping[str, ValueKind]
) -> tuple[dict[str, Any], list[str]]:
    """Return *values* with the numbers and dates of *kinds* read as *notation* says, and what is not written so."""
    read, problems = dict(values), []
    for name, kind in kinds.items():
        if isinstance(text := values.get(name), str):
            try:
                read[name] = notation.read(text, kind)
            except ValueError as error:
                problems.append(f"{name}: {error}")
    return read, problems
