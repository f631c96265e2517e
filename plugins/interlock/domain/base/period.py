"""
Periods of reporting: which day, week, month or quarter a moment belongs to, in a time zone, and which came before.

A period begins at midnight of its zone, so a day can have 23 or 25 hours; its ends are instants, and half open. Weeks
begin on a day of one's choice, and are named by their first day, because the numbers of weeks differ by country. Hours
that come twice when the clock is set back are named with their offset: ``2026-10-25 02:00+01:00``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Grain = Literal["5min", "10min", "15min", "30min", "hour", "day", "week", "month", "quarter"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MINUTES = {"5min": 5, "10min": 10, "15min": 15, "30min": 30, "hour": 60}
_DAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, kw_only=True)
class Period:
    """A span of time with a name."""

    start: datetime
    end: datetime
    """The first instant that is not in it."""
    label: str

    @property
    def key(self) -> str:
        """Its name in keys: the first day, or the first hour."""
        return key_of(self.label)


def key_of(label: str) -> str:
    """Return the name in keys of the period that people read as *label*."""
    return label.removeprefix("week of ")


@dataclass(frozen=True, kw_only=True)
class Periods:
    """The periods of one calendar."""

    grain: Grain
    time_zone: str = "UTC"
    week_starts: Weekday = "monday"

    def containing(self, at: datetime) -> Period:
        """Return the period that the instant *at* is in."""
        local = at.astimezone(ZoneInfo(self.time_zone))
        minutes = MINUTES.get(self.grain)
        if minutes is not None:
            hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            begin = hour + timedelta(minutes=at.minute // minutes * minutes)
            shown = begin.astimezone(ZoneInfo(self.time_zone))
            label = f"{shown:%Y-%m-%d %H:%M}"
            if shown.replace(fold=0).utcoffset() != shown.replace(fold=1).utcoffset():
                label += shown.isoformat(timespec="minutes")[16:]  # the clock is set back: the same time comes twice
            return Period(start=begin, end=begin + timedelta(minutes=minutes), label=label)
        first = self._first_day(local.date())
        return self._of(first)

    def last_full(self, as_of: datetime) -> Period:
        """Return the last period that was over at the instant *as_of*."""
        return self.before(self.containing(as_of))

    def before(self, period: Period) -> Period:
        """Return the period before *period*."""
        return self.containing(period.start - timedelta(seconds=1))

    def up_to(self, period: Period, count: int) -> list[Period]:
        """Return *count* periods in order, *period* the last."""
        found = [period]
        while len(found) < count:
            found.append(self.before(found[-1]))
        return found[::-1]

    def after(self, period: Period) -> Period:
        """Return the period after *period*."""
        return self.containing(period.end)

    def year_before(self, period: Period) -> Period:
        """Return the same period a year before: for a week, the one 52 weeks before, so that weekdays match."""
        if self.grain == "week":
            local = period.start.astimezone(ZoneInfo(self.time_zone)).date()
            return self._of(local - timedelta(weeks=52))
        local_start = period.start.astimezone(ZoneInfo(self.time_zone))
        year, day = local_start.year - 1, local_start.day
        if (local_start.month, day) == (2, 29):
            day = 28
        return self.containing(local_start.replace(year=year, day=day))

    def _first_day(self, day: date) -> date:
        match self.grain:
            case "week":
                return day - timedelta(days=(day.weekday() - _DAYS.index(self.week_starts)) % 7)
            case "month":
                return day.replace(day=1)
            case "quarter":
                return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
        return day

    def _of(self, first: date) -> Period:
        match self.grain:
            case "week":
                following, label = first + timedelta(days=7), f"week of {first}"
            case "month":
                following, label = _add_months(first, 1), f"{first:%Y-%m}"
            case "quarter":
                following, label = _add_months(first, 3), f"{first.year}-Q{(first.month + 2) // 3}"
            case _:
                following, label = first + timedelta(days=1), str(first)
        return Period(start=self._midnight(first), end=self._midnight(following), label=label)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)


def _add_months(first: date, months: int) -> date:
    month = first.month - 1 + months
    return date(first.year + month // 12, month % 12 + 1, 1)
