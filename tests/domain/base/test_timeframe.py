"""The period that somebody asks for, in the days of those who ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from interlock.domain.base.calendar import Calendar
from interlock.domain.base.timeframe import days_passed, parse_period
from interlock.errors import InputError

BERLIN = Calendar(time_zone="Europe/Berlin")
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("day", utc(2026, 3, 1, 23), utc(2026, 3, 2, 23)),
        ("month", utc(2026, 2, 28, 23), utc(2026, 3, 31, 22)),
        ("2026-03", utc(2026, 2, 28, 23), utc(2026, 3, 31, 22)),
        ("2026-02-14", utc(2026, 2, 13, 23), utc(2026, 2, 14, 23)),
        ("7d", utc(2026, 2, 23, 23), utc(2026, 3, 2, 23)),
        ("all", utc(1970, 1, 1), utc(9999, 1, 1)),
    ],
)
def test_a_period_begins_and_ends_at_midnights_of_the_calendar(text, start, end):
    """March ends an hour earlier than it began: the clocks change in it."""
    period = parse_period(text, BERLIN, NOW)

    assert (period.start, period.end) == (start, end)


@pytest.mark.parametrize("text", ["", "soon", "0d", "2026-13", "2026-02-30", "99999999d", "2026"])
def test_what_is_no_period_is_refused_with_those_there_are(text):
    with pytest.raises(InputError, match="write day, month, all, 7d"):
        parse_period(text, BERLIN, NOW)


def test_a_period_that_has_not_begun_is_refused():
    with pytest.raises(InputError, match="has not begun"):
        parse_period("2026-04", BERLIN, NOW)


def test_days_are_counted_until_now_and_from_the_first_run():
    month = parse_period("2026-03", BERLIN, NOW)

    assert days_passed(month, NOW, since=None) == 0
    assert days_passed(month, NOW, since=NOW - timedelta(hours=12)) == Decimal("0.5")
    assert days_passed(month, utc(2027, 1, 1), since=utc(2026, 1, 1)) == Decimal(31 * 24 - 1) / 24
