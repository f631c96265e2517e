"""
How long to wait before a repeat: twice as long each time, or as long as the server asks for in ``Retry-After``.

Nothing here sleeps, and the random number comes in as an argument. A wait has no upper bound here: who holds a worker
slot while it waits compares the seconds with what it can afford, and raises for more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def backoff_seconds(
    attempt: int,
    *,
    first: float,
    uniform: Callable[[float, float], float] | None = None,
    retry_after: float | None = None,
) -> float:
    """
    Return the seconds between *attempt* and the next one.

    :param attempt: how many attempts have failed, from 1.
    :param first: seconds after the first attempt; doubled after each further one.
    :param uniform: draws the jitter, as :func:`random.uniform` does: between half and one and a half times the seconds.
        Default: no jitter.
    :param retry_after: seconds that the server asked for, when it did; they win when they are longer.
    """
    jitter = 1.0 if uniform is None else uniform(0.5, 1.5)
    return max(first * 2.0 ** (attempt - 1) * jitter, retry_after or 0.0)


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """
    Return the seconds from *now* that *header* asks to wait, never negative; None when it asks for none.

    :param header: ``Retry-After``: seconds, or a date. What cannot be read is no wait at all.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
