"""
The period that somebody asks figures for: ``day``, ``month``, ``all``, ``7d``, ``2026-11`` or ``2026-11-23``.

It begins and ends at midnights of ``calendar.yaml``, so a month is the month of those who read of it. One that is not
over counts until now.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from interlock.domain.base.period import Period, Periods
from interlock.errors import InputError

if TYPE_CHECKING:
    from interlock.domain.base.calendar import Calendar

Every = Literal["day", "month"]
_LAST = re.compile(r"(\d{1,4})d")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)


def running(every: Every, calendar: Calendar, now: datetime) -> Period:
    """Return the local day or month that *now* is in."""
    return Periods(grain=every, time_zone=calendar.time_zone).containing(now)


def parse_period(text: str, calendar: Calendar, now: datetime) -> Period:
    """
    Return the period that *text* names.

    :raises InputError: it names none, or one that has not begun.
    """
    name = text.strip().lower()
    if name in ("day", "month"):
        return running("day" if name == "day" else "month", calendar, now)
    if name == "all":
        return Period(start=_BEGINNING, end=_END, label="all of the time")
    if (last := _LAST.fullmatch(name)) is not None and int(last[1]):
        today = calendar.day_of(now)
        first = calendar.midnight(today - timedelta(days=int(last[1]) - 1))
        return Period(start=first, end=calendar.midnight(today + timedelta(days=1)), label=f"last {int(last[1])} days")
    try:
        day = date.fromisoformat(f"{name}-01" if len(name) == 7 else name)
        period = running("month" if len(name) == 7 else "day", calendar, calendar.midnight(day))
    except (ValueError, OverflowError):
        raise InputError(f"{text!r} is no period; write day, month, all, 7d, 2026-11 or 2026-11-23") from None
    if period.start > now:
        raise InputError(f"{text!r} has not begun")
    return period


def days_passed(period: Period, now: datetime, *, since: datetime | None) -> Decimal:
    """Return how many days of *period* have passed at *now*, counted from *since* when that is later; None: none."""
    if since is None:
        return Decimal(0)
    seconds = (min(period.end, now) - max(period.start, since)).total_seconds()
    return Decimal(str(max(seconds, 0.0))) / 86400
