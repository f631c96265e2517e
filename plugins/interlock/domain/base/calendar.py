"""
The hours in which people work, as written in ``company/calendar.yaml``, and time counted in them.

A length of business time is ``4h`` (hours in which somebody works) or ``2d`` (working days); ``2 business days`` is the
same as ``2d``. Without a calendar every hour of every day counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from interlock.domain.base.contract import explain
from interlock.errors import ConfigurationError

_PARTS = re.compile(r"(\d+)\s*(m|h|d|minutes?|hours?|(?:business |working )?days?)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class BusinessTime:
    """A length of time in which people work."""

    days: int = 0
    """Working days."""
    time: timedelta = timedelta(0)
    """Working hours on top of them."""

    def __str__(self) -> str:
        minutes = int(self.time.total_seconds()) // 60
        parts = [(self.days, "d"), (minutes // 60, "h"), (minutes % 60, "m")]
        return "".join(f"{number}{unit}" for number, unit in parts if number) or "0m"


def parse_business_time(value: Any) -> BusinessTime:
    """
    Return *value* as a length of business time.

    :raises ValueError: it is no such text.
    """
    if isinstance(value, BusinessTime):
        return value
    text = str(value).strip()
    if not text or _PARTS.sub("", text).strip():
        raise ValueError(f"{text!r} is not a length of business time; write 30m, 4h, 2d or '2 business days'")
    days, time = 0, timedelta(0)
    for number, unit in _PARTS.findall(text):
        if unit[0].lower() == "m":
            time += timedelta(minutes=int(number))
        elif unit[0].lower() == "h":
            time += timedelta(hours=int(number))
        else:
            days += int(number)
    return BusinessTime(days, time)


BusinessDuration = Annotated[BusinessTime, BeforeValidator(parse_business_time)]
"""A field of YAML that is a length of business time."""


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_FARTHEST = timedelta(days=3660)
"""A time that is not reached within ten years is never reached: nothing is open then."""


def _parse_spans(value: Any) -> tuple[tuple[int, int], ...]:
    """Return opening hours of a day as minutes since midnight."""
    if value in (None, "closed", False):
        return ()
    found = []
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(text, tuple):
            found.append(text)
            continue
        span = _SPAN.fullmatch(str(text).strip())
        if span is None:
            raise ValueError(f"{text!r} are no opening hours; write 09:00-17:30, a list of them, or closed")
        start, end = int(span[1]) * 60 + int(span[2]), int(span[3]) * 60 + int(span[4])
        if not start < end <= 24 * 60:
            raise ValueError(f"{text!r} does not end after it begins, within one day")
        found.append((start, end))
    ordered = tuple(sorted(found))
    if any(after[0] < before[1] for before, after in pairwise(ordered)):
        raise ValueError(f"{value!r}: the spans overlap")
    return ordered


def _parse_holidays(value: Any) -> Any:
    return dict.fromkeys(value, "") if isinstance(value, list) else value or {}


Spans = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_parse_spans)]
_ALWAYS: dict[Weekday, tuple[tuple[int, int], ...]] = dict.fromkeys(WEEKDAYS, ((0, 24 * 60),))


class Leave(BaseModel):
    """Days on which a person is away, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    start: date = Field(alias="from")
    end: date = Field(alias="to")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Leave:
        if self.end < self.start:
            raise ValueError(
                f"the leave ends on {self.end}, before it begins on {self.start}, so nobody would be away; "
                "swap the days"
            )
        return self


class Calendar(BaseModel):
    """``calendar.yaml``. All is computed in instants, over local days, so that a change of clocks loses nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_zone: str = "UTC"
    hours: dict[Weekday, Spans] = Field(default_factory=lambda: dict(_ALWAYS))
    holidays: Annotated[dict[date, str | None], BeforeValidator(_parse_holidays)] = Field(default_factory=dict)
    off_peak: dict[Weekday, Spans] = Field(default_factory=dict)
    """Hours in which work that can wait is done; default: it is done at once."""
    away: dict[str, tuple[Leave, ...]] = Field(default_factory=dict)
    """Person's id to the days on which they are on leave."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{name!r} is no time zone; write one of the IANA names, such as Europe/London") from None
        return name

    @field_validator("hours")
    @classmethod
    def _opens_at_all(cls, hours: dict[Weekday, Any]) -> dict[Weekday, Any]:
        if not any(hours.values()):
            raise ValueError("no day has an hour in which somebody works, so no time would ever pass")
        return hours

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    def day_of(self, at: datetime) -> date:
        """Return the local day of an instant."""
        return at.astimezone(self.zone).date()

    def day_start(self, at: datetime) -> datetime:
        """Return the instant, in UTC, at which the local day of *at* began."""
        return self.midnight(self.day_of(at))

    def midnight(self, day: date) -> datetime:
        """Return the instant, in UTC, at which a local day begins."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def is_away(self, person: str, at: datetime) -> bool:
        """Return whether *person* is on leave."""
        return any(leave.start <= self.day_of(at) <= leave.end for leave in self.away.get(person, ()))

    def is_open(self, at: datetime) -> bool:
        """Return whether people work at an instant."""
        return any(start <= at < end for start, end in self._spans(self.day_of(at)))

    def next_open(self, at: datetime) -> datetime:
        """Return *at*, or the next instant at which people work."""
        return next(max(start, at) for start, end in self._from(at) if end > at)

    def next_off_peak(self, at: datetime) -> datetime | None:
        """Return *at*, or when the next of the ``off_peak`` hours begin; None when there are none."""
        first = self.day_of(at)
        for day in (first + timedelta(days=number) for number in range(8)):
            for start, end in self.off_peak.get(WEEKDAYS[day.weekday()], ()):
                if self._instant(day, end) > at:
                    return max(self._instant(day, start), at)
        return None

    def add(self, start: datetime, length: BusinessTime) -> datetime:
        """
        Return the instant at which *length* of business time has passed since *start*.

        Working days come first: each ends at the same local time of the next working day, or with that day's hours if
        those are over by then. From an instant at which nobody works they begin at the next opening; where that is the
        first of its day, that day is the first of them. Hours are counted while people work.
        """
        at = start.astimezone(UTC)
        if length.days:
            at = self._same_time_after(at, length.days)
        left = length.time
        if not left:
            return at if length.days else self.next_open(at)
        for begins, ends in self._from(at):
            here = max(begins, at)
            if ends <= here:
                continue
            if ends - here >= left:
                return here + left
            left -= ends - here
        raise AssertionError("the calendar opens again")  # _from goes on until it does, or raises

    def between(self, start: datetime, end: datetime) -> timedelta:
        """Return how much business time lies between two instants; none when *end* is not after *start*."""
        total = timedelta(0)
        if end <= start:
            return total
        for begins, ends in self._from(start):
            if begins >= end:
                break
            total += max(min(ends, end) - max(begins, start), timedelta(0))
        return total

    def _same_time_after(self, at: datetime, days: int) -> datetime:
        begins = at if self.is_open(at) else self.next_open(at)
        local = begins.astimezone(self.zone)
        day = local.date()
        if begins > at and begins == self._spans(day)[0][0]:
            return self._spans(self._working_day_after(day, days - 1))[-1][1]
        day = self._working_day_after(day, days)
        wanted = datetime.combine(day, local.timetz().replace(tzinfo=None), self.zone).astimezone(UTC)
        last = self._spans(day)[-1][1]
        return last if wanted >= last else self.next_open(wanted)

    def _working_day_after(self, day: date, days: int) -> date:
        first, left = day, days
        limit = day + _FARTHEST + timedelta(days=2 * days)
        while left:
            day += timedelta(days=1)
            if day > limit:
                raise ValueError(f"calendar.yaml has fewer than {days} working days in the years after {first}")
            left -= bool(self._spans(day))
        return day

    def _spans(self, day: date) -> list[tuple[datetime, datetime]]:
        """Return the opening hours of a local day as instants."""
        if day in self.holidays:
            return []
        return [
            (self._instant(day, start), self._instant(day, end))
            for start, end in self.hours.get(WEEKDAYS[day.weekday()], ())
        ]

    def _instant(self, day: date, minutes: int) -> datetime:
        days, rest = divmod(minutes, 24 * 60)
        local = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), self.zone)
        return local.astimezone(UTC)

    def _from(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield opening hours from the day of *at* on."""
        day = self.day_of(at) - timedelta(days=1)
        limit = day + _FARTHEST
        while day <= limit:
            spans = self._spans(day)
            if spans:
                limit = day + _FARTHEST
            yield from (span for span in spans if span[1] > span[0])
            day += timedelta(days=1)
        raise ValueError("calendar.yaml has no working day within ten years: its holidays leave none")


def parse_calendar(document: Any, *, where: str = "company/calendar.yaml") -> Calendar:
    """
    Return the calendar of a parsed YAML *document*; None: every hour counts, in UTC.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Calendar.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None
