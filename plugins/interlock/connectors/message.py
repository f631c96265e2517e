"""
The few words of a server's refusal that a log may show.

A server often quotes what it was sent (``no customer ann@example.com``), and messages end where no personal data
belongs. So only a field that is meant for a message is read, and every value of the payload is taken out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_FIELDS = ("message", "detail", "title", "error_description", "error")
_MOST = 200


def short_message(body: Any, payload: Mapping[str, Any]) -> str:
    """Return the message in *body*, a parsed JSON answer, without the values of *payload*; "" when there is none."""
    text = _find(body)
    for value in sorted(_leaves(payload), key=len, reverse=True):
        text = text.replace(value, "…")
    text = " ".join(text.split())
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def _find(body: Any) -> str:
    if not isinstance(body, Mapping):
        return ""
    for field in _FIELDS:
        value = body.get(field)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, Mapping) and (inner := _find(value)):
            return inner
    return ""


def _leaves(value: Any) -> Iterator[str]:
    """Each text and number in *value* that is long enough to mean something."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = str(value)
        words = (word.strip(".,;:!?()<>\"'") for word in text.split())
        # A word in small letters is a word; what has a capital, a digit or an @ may be a name, a number, an address.
        yield from (each for each in (text, *(word for word in words if not _is_plain(word))) if len(each) >= 3)


def _is_plain(word: str) -> bool:
    return word.isalpha() and word.islower()
