"""
One way to write a value as bytes, so that equal values have equal digests on every machine.

Sorted keys, no blanks, UTF-8, no NaN. A datetime is written in UTC with microseconds, a Decimal as its string. What is
digested may be personal data: use :func:`keyed_digest` for it, because a bare digest of a phone number can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give an aware datetime")
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, set, frozenset)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def canonical_json(value: Any) -> str:
    """
    Return *value* as canonical JSON text.

    :raises ValueError: a NaN or infinity, or a datetime without a time zone.
    :raises TypeError: a type that has no canonical form.
    """
    return _encoder.encode(value)


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of *data* as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form of *value* as 64 hexadecimal digits."""
    return digest_bytes(canonical_json(value).encode())


def keyed_digest(secret: bytes, value: Any) -> str:
    """Return the HMAC-SHA-256 of the canonical form of *value*; without *secret* it cannot be guessed."""
    return hmac.digest(secret, canonical_json(value).encode(), "sha256").hex()
