"""
The business key of a case, as its source says it: keys that look the same are one.

A Mac writes an umlaut as two characters and Windows as one, a web form brings a space that nobody sees, and a number of
an API is the text of a CSV file. Each pair would be two cases of one thing, and its effect would take place twice.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any

_EXACT = 2**53
"""Up to here each whole number is a double of its own; beyond, two keys could be one."""
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_SPACE = re.compile(r"[^\S ]")


def key_text(value: Any) -> str:
    """Return the business key that *value* is, in the one form that all its spellings have; empty: it is none."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        value = int(value)
    text = str(value)
    if not text.isascii():
        text = _SPACE.sub(" ", unicodedata.normalize("NFC", _INVISIBLE.sub("", text)))
    return text.strip()


def is_number(value: Any) -> bool:
    """Return whether *value* is a number that :func:`key_text` writes without a loss."""
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= _EXACT
    return isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite())
