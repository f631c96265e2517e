"""
The one door for values: what comes in can be stored, digested, sent and shown, or is refused by name.

Rows, answers of agents, edits by people and bodies of the API pass :func:`admit`; what is quarantined passes
:func:`as_kept`, which never fails. Values of JSON's own types, which nearly all are, cost one quick look.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any
from uuid import UUID

from interlock.errors import UnfitValue

MAX_DEPTH = 64
"""Levels of lists and objects in each other."""
MAX_CHARACTERS = 8 * 1024 * 1024
"""Of one value, written as JSON."""
MAX_PARTS = 500_000
"""Of a value that is looked at piece by piece: one that holds itself has no end."""
LARGEST = 2**63 - 1
"""The largest whole number that databases, rules and other systems hold as one."""
CUT = 20_000
"""Characters that are kept of each text of a quarantined value that is too large."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_ADDRESSES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)  # the interfaces, which PostgreSQL's drivers give for inet, are addresses
_BAD_TEXT = re.compile("[\0\ud800-\udfff]")


def admit(value: Any) -> Any:
    """
    Return *value* with JSON types only, as it can be stored, digested, sent and shown.

    What drivers and file formats bring is converted: aware instants to UTC, days, times, durations, UUIDs, addresses,
    decimals and numbers of numpy to text or numbers.

    :raises UnfitValue: it holds what has no such form; the message has the path, and never the value.
    """
    if _is_plain(value):
        return value
    admitted = _Walk().step(value, (), 0)
    if len(_encode(admitted)) > MAX_CHARACTERS:
        raise UnfitValue("", f"is larger than {MAX_CHARACTERS // 2**20} million characters")
    return admitted


def as_kept(value: Any) -> Any:
    """Return *value* as it is kept in quarantine: what :func:`admit` refuses becomes text with a note. Never raises."""
    try:
        if _is_plain(value):
            return value
        kept = _KeepingWalk().step(value, (), 0)
        if len(_encode(kept)) > MAX_CHARACTERS:
            kept = _KeepingWalk(longest=CUT).step(value, (), 0)
            if len(_encode(kept)) > MAX_CHARACTERS:
                kept = {"problem": "is too large to be kept"}
    except Exception as error:  # an object of somebody else's class can raise anything when it is read
        return {"problem": f"cannot be read: {type(error).__name__}"}
    return kept


def defect_of(value: Any) -> str | None:
    """
    Return what keeps *value*, or a part of it, from ever being kept; None: nothing does.

    For sources, whose readers give typed values to a contract or a dataset: types are not converted and not refused.
    """
    if isinstance(value, str):
        return _text_defect(value)
    if isinstance(value, float):
        return None if isfinite(value) else "is not a finite number"
    if isinstance(value, (Mapping, list, tuple)):
        try:
            _DefectWalk().step(value, (), 0)
        except UnfitValue as error:
            return error.problem
    return None


def as_text(text: str, longest: int | None = None) -> str:
    """Return *text* without what no database holds as text (NUL, halves of characters), cut to *longest*."""
    if not text.isascii() or "\0" in text:
        text = _BAD_TEXT.sub(lambda found: "␀" if found[0] == "\0" else "\ufffd", text)
    return text if longest is None or len(text) <= longest else text[: max(longest - 1, 0)] + "…"


def decode_json(text: str) -> Any:
    """
    Return *text* as a JSON value, as the standard has it.

    :raises UnfitValue: it is none, a field occurs twice in one object, or a number is not finite.
    """
    try:
        return _decode(text)
    except RecursionError:
        raise UnfitValue("", "is not JSON that can be read: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UnfitValue("", f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except UnfitValue:
        raise
    except ValueError as error:  # a whole number of thousands of digits
        raise UnfitValue("", f"is not JSON: {error}") from None


def read_json(text: str | bytes) -> Any:
    """
    Return *text* as a JSON value that :func:`admit` lets in.

    :raises UnfitValue: it is none, or holds what is not let in.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            raise UnfitValue("", "is not UTF-8") from None
    return admit(decode_json(text))


def _is_plain(value: Any) -> bool:
    """Tell quickly whether *value* has exactly JSON's types and breaks no bound."""
    return _left_after((value,), MAX_CHARACTERS, MAX_DEPTH) >= 0


def _left_after(items: Iterable[Any], left: int, levels: int) -> int:
    """Return how many of *left* characters plain *items* leave; below 0: they are too many, or not plain."""
    for item in items:
        kind = type(item)
        if kind is str:
            left -= len(item) + 3
            if "\0" in item or not (item.isascii() or _has_utf8(item)):
                return -1
        elif kind is dict:
            for key in item:
                if type(key) is not str or "\0" in key or not (key.isascii() or _has_utf8(key)):
                    return -1
                left -= len(key) + 4
            left = _left_after(item.values(), left - 2, levels - 1) if levels else -1
        elif kind is list:
            left = _left_after(item, left - 2, levels - 1) if levels else -1
        elif kind is int:
            left -= 8
            if not -LARGEST <= item <= LARGEST:
                return -1
        elif kind is float:
            left -= 8
            if not isfinite(item):
                return -1
        elif item is None or kind is bool:
            left -= 5
        else:
            return -1
        if left < 0:
            return -1
    return left


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_defect(text: str) -> str | None:
    if text.isascii() and "\0" not in text:
        return None
    found = _BAD_TEXT.search(text)
    if found is None:
        return None
    return "holds a NUL character" if found[0] == "\0" else "holds half of a character (a lone surrogate)"


class _Walk:
    """Looks at a value piece by piece and converts it."""

    def __init__(self) -> None:
        self._left = MAX_PARTS

    def refuse(self, path: tuple[str, ...], problem: str, value: Any) -> Any:
        """Say that a part is not let in."""
        raise UnfitValue(".".join(as_text(part, 100) for part in path), problem)

    def step(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """Return one part, converted."""
        self._left -= 1
        if self._left < 0:
            return self.refuse(path, f"has more than {MAX_PARTS} parts", "(…)")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.step(value.value, path, depth)
        if isinstance(value, str):
            problem = _text_defect(value)
            return str(value) if problem is None else self.refuse(path, problem, value)
        if isinstance(value, int):
            fits = -LARGEST - 1 <= value <= LARGEST
            return int(value) if fits else self.refuse(path, "is a whole number of more than 64 bits", value)
        if isinstance(value, float):
            return float(value) if isfinite(value) else self.refuse(path, "is not a finite number", value)
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            if depth >= MAX_DEPTH:
                return self.refuse(path, f"is nested deeper than {MAX_DEPTH} levels", "(…)")
            return self._group(value, path, depth + 1)
        return self._converted(value, path, depth)

    def _group(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if isinstance(value, Mapping):
            found: dict[str, Any] = {}
            for key, item in value.items():
                name = self._name(key, path)
                if name in found:
                    name = self.twice(name, path, found)
                found[name] = self.step(item, (*path, name), depth)
            return found
        items = [self.step(item, (*path, str(place)), depth) for place, item in enumerate(value)]
        return sorted(items, key=_encode) if isinstance(value, (set, frozenset)) else items

    def _name(self, key: Any, path: tuple[str, ...]) -> str:
        name = self.step(key, path, 0) if isinstance(key, str) else str(key)
        return name if isinstance(name, str) else str(name)

    def twice(self, name: str, path: tuple[str, ...], found: Mapping[str, Any]) -> str:
        """Return the name of a field whose name another has."""
        self.refuse((*path, name), "is a field twice", None)
        return name

    def _converted(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """Return what is not of a JSON type."""
        if isinstance(value, Decimal):
            return str(value) if value.is_finite() else self.refuse(path, "is not a finite number", value)
        if type(value).__name__ in ("NaTType", "NAType"):  # what pandas has where there is no value
            return None
        if isinstance(value, datetime):
            if value.tzinfo is None:
                return self.naive(value, path)
            try:
                return value.astimezone(UTC).isoformat(timespec="microseconds")
            except (OverflowError, ValueError):
                return self.refuse(path, "is an instant outside of the years 1 to 9999", value)
        if isinstance(value, (date, time)):
            return value.isoformat()
        if isinstance(value, timedelta):
            return _duration(value)
        if isinstance(value, (UUID, PurePath, *_ADDRESSES)):
            return self.step(str(value), path, depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value).hex()
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            plain = value.tolist()
            if type(plain) is not type(value):
                return self.step(plain, path, depth)
        return self.refuse(path, f"is a {type(value).__name__}, which has no form as text or number", value)

    def naive(self, value: datetime, path: tuple[str, ...]) -> Any:
        """Return a timestamp without a time zone."""
        return self.refuse(path, "is a timestamp without a time zone", value)


class _KeepingWalk(_Walk):
    """Puts text with a note in the place of what is not let in."""

    def __init__(self, longest: int | None = None) -> None:
        super().__init__()
        self._longest = longest

    def refuse(self, path: tuple[str, ...], problem: str, value: Any) -> Any:
        """Return the value as text, and why it is no more."""
        try:
            text = as_text(str(value), CUT)
        except Exception:  # as above, and a whole number of thousands of digits
            text = "…"
        return f"{text} ({problem})"

    def step(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """Return one part; a text that is too long is cut."""
        kept = super().step(value, path, depth)
        if self._longest is not None and isinstance(kept, str):
            return as_text(kept, self._longest)
        return kept

    def twice(self, name: str, path: tuple[str, ...], found: Mapping[str, Any]) -> str:
        """Return a name that nothing has."""
        return next(other for number in range(2, MAX_PARTS) if (other := f"{name} ({number})") not in found)

    def naive(self, value: datetime, path: tuple[str, ...]) -> Any:
        """Return it as it is written."""
        return value.isoformat()


class _DefectWalk(_Walk):
    """Looks at values and leaves their types alone."""

    def step(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        """Look at one part."""
        return value if isinstance(value, int) else super().step(value, path, depth)

    def _converted(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        return value


def _duration(value: timedelta) -> str:
    """Return a length of time as ISO 8601 has it."""
    sign, rest = ("-", -value) if value < timedelta(0) else ("", value)
    fraction = f".{rest.microseconds:06d}".rstrip("0") if rest.microseconds else ""
    return f"{sign}P{rest.days}DT{rest.seconds}{fraction}S"


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnfitValue("", "is not JSON: a field occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise UnfitValue("", f"is not JSON: {name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise UnfitValue("", "is not JSON: a number is too large")
    return number


_decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite).decode
