"""Lengths of time as people write them in YAML: ``90s``, ``15m``, ``8h``, ``2d``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WHOLE = re.compile(r"(\d+(?:\.\d+)?\s*[smhd]\s*)+", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.IGNORECASE)


def parse_duration(value: Any) -> timedelta:
    """
    Return *value* as a timedelta.

    :raises ValueError: it is no such text.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a length of time; write 90s, 15m, 8h or 2d")
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(text)))
    except OverflowError:
        raise ValueError(f"{text!r} is longer than can be counted; write at most some thousand days") from None


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
"""A field of YAML that is a length of time."""


def format_duration(seconds: float) -> str:
    """Return *seconds* for a person: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
