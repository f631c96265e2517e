from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.calendar import BusinessTime, Calendar, parse_business_time, parse_calendar
from interlock.errors import ConfigurationError

WEEK = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), "09:00-17:00")
LONDON = parse_calendar(
    {
        "time_zone": "Europe/London",
        "hours": {**WEEK, "friday": ["09:00-12:00", "13:00-16:00"]},
        "holidays": {date(2026, 12, 25): "Christmas Day"},
        "away": {"lea": [{"from": date(2026, 12, 21), "to": date(2026, 12, 31)}]},
    }
)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))
lengths = st.builds(BusinessTime, st.just(0), st.integers(1, 6000).map(lambda m: timedelta(minutes=m)))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LONDON.zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4h", BusinessTime(0, timedelta(hours=4))),
        ("2d", BusinessTime(2)),
        ("2 business days", BusinessTime(2)),
        ("1 business day", BusinessTime(1)),
        ("1d 4h 30m", BusinessTime(1, timedelta(hours=4, minutes=30))),
    ],
)
def test_a_length_of_business_time_is_read(text: str, expected: BusinessTime):
    assert parse_business_time(text) == expected
    assert parse_business_time(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "soon", "4 weeks", "4", "h", "4h soon"])
def test_what_is_no_length_is_refused_with_what_to_write(text: str):
    with pytest.raises(ValueError, match="write 30m, 4h, 2d or '2 business days'"):
        parse_business_time(text)


@pytest.mark.parametrize(
    ("start", "length", "end"),
    [
        ("2026-11-24T10:00", "4h", "2026-11-24T14:00"),
        ("2026-11-24T16:00", "4h", "2026-11-25T12:00"),
        ("2026-11-27T15:00", "2h", "2026-11-30T10:00"),  # over a weekend, and a Friday that ends at 16:00
        ("2026-11-27T11:30", "1h", "2026-11-27T13:30"),  # over a pause
        ("2026-11-28T12:00", "1h", "2026-11-30T10:00"),  # begun on a Saturday
        ("2026-12-24T16:30", "1h", "2026-12-28T09:30"),  # over a holiday and a weekend
        ("2026-11-24T10:00", "2d", "2026-11-26T10:00"),
        ("2026-12-24T10:00", "1d", "2026-12-28T10:00"),
        ("2026-11-28T10:00", "1d", "2026-11-30T17:00"),  # begun on a Saturday: Monday is the day, to its end
        ("2026-11-27T18:00", "1d", "2026-11-30T17:00"),  # begun on Friday evening: no later than from Saturday
        ("2026-11-28T10:00", "2d", "2026-12-01T17:00"),
        ("2026-11-24T20:00", "1d", "2026-11-25T17:00"),  # after hours: the next day is the first
        ("2026-11-24T08:00", "1d", "2026-11-24T17:00"),  # before hours: this day is
        ("2026-11-24T09:00", "1d", "2026-11-25T09:00"),
        ("2026-12-25T10:00", "1d", "2026-12-28T17:00"),  # begun on a holiday
        ("2026-11-26T16:30", "1d", "2026-11-27T16:00"),  # Friday is over at 16:00
        ("2026-11-27T12:30", "1d", "2026-11-30T13:00"),  # begun in a pause
        ("2026-11-28T10:00", "1d 2h", "2026-12-01T11:00"),
        ("2026-03-27T10:00", "1d", "2026-03-30T10:00"),  # the clocks go forward on the Sunday between
    ],
)
def test_time_passes_while_people_work(start: str, length: str, end: str):
    assert LONDON.add(at(start), parse_business_time(length)) == at(end)


@given(instants, lengths)
def test_what_was_added_has_passed(start: datetime, length: BusinessTime):
    assert LONDON.between(start, LONDON.add(start, length)) == length.time


@given(instants, instants, lengths)
def test_a_later_start_never_ends_earlier(one: datetime, other: datetime, length: BusinessTime):
    first, second = sorted((one, other))

    assert LONDON.add(first, length) <= LONDON.add(second, length)


@given(instants, st.integers(1, 30))
def test_days_end_in_working_hours_or_with_them_and_ahead(start: datetime, days: int):
    end = LONDON.add(start, BusinessTime(days))

    assert end > start
    assert LONDON.is_open(end) or LONDON.is_open(end - timedelta(minutes=1))
    assert LONDON.between(start, end) > timedelta(0)


@given(instants, instants, st.integers(1, 9))
def test_what_came_earlier_is_due_no_later(one: datetime, other: datetime, days: int):
    first, second = sorted((one, other))

    assert LONDON.add(first, BusinessTime(days)) <= LONDON.add(second, BusinessTime(days))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"])
def test_hours_over_a_change_of_clocks_are_the_minutes_in_which_people_work(zone: str):
    hours = {"sunday": ["01:30-02:30", "02:45-03:30"], "saturday": "22:00-24:00", "monday": "09:00-17:00"}
    calendar = parse_calendar({"time_zone": zone, "hours": hours})
    for begin in (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)):
        for length in (30, 90, 240):
            at, left = begin, length
            while left:
                left -= calendar.is_open(at)
                at += timedelta(minutes=1)
            assert calendar.add(begin, BusinessTime(0, timedelta(minutes=length))) == at


@given(instants, instants)
def test_no_time_passes_backwards(one: datetime, other: datetime):
    first, second = sorted((one, other))

    assert LONDON.between(second, first) == timedelta(0)
    assert timedelta(0) <= LONDON.between(first, second) <= second - first


def test_a_day_with_a_change_of_clocks_has_the_hours_that_it_has():
    always = Calendar(time_zone="Europe/London")

    assert always.between(at("2026-03-29T00:00"), at("2026-03-30T00:00")) == timedelta(hours=23)
    assert always.between(at("2026-10-25T00:00"), at("2026-10-26T00:00")) == timedelta(hours=25)


def test_a_day_is_a_local_one():
    assert LONDON.day_of(datetime(2026, 6, 30, 23, 30, tzinfo=UTC)) == date(2026, 7, 1)
    assert LONDON.day_start(datetime(2026, 6, 30, 23, 30, tzinfo=UTC)) == datetime(2026, 6, 30, 23, tzinfo=UTC)


def test_people_are_away_on_both_days_that_are_named():
    assert [LONDON.is_away("lea", at(f"2026-12-{day}T12:00")) for day in (20, 21, 31)] == [False, True, True]
    assert not LONDON.is_away("leo", at("2026-12-25T12:00"))


def test_a_leave_that_ends_before_it_begins_is_refused():
    away = {"lea": [{"from": date(2026, 3, 5), "to": date(2026, 3, 1)}]}

    with pytest.raises(ConfigurationError, match=r"ends on 2026-03-01, before it begins on 2026-03-05.*swap the days"):
        parse_calendar({"away": away})


def test_without_a_calendar_every_hour_counts():
    assert parse_calendar(None).add(at("2026-11-28T10:00"), parse_business_time("4h")) == at("2026-11-28T14:00")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"time_zone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone; write one of the IANA names"),
        ({"hours": {"monday": "9 to 5"}}, "'9 to 5' are no opening hours; write 09:00-17:30"),
        ({"hours": {"monday": "17:00-09:00"}}, "does not end after it begins"),
        ({"hours": {"monday": ["09:00-12:00", "11:00-14:00"]}}, "the spans overlap"),
        ({"hours": {"monday": "closed"}}, "no day has an hour in which somebody works"),
        ({"hours": {"moonday": "09:00-17:00"}}, "hours.moonday"),
        ({"holiday": []}, "holiday: Extra inputs are not permitted"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(document: dict, told: str):
    with pytest.raises(ConfigurationError, match=told):
        parse_calendar(document)


def test_holidays_that_leave_no_day_are_told_when_time_is_counted():
    never = Calendar(
        hours={"monday": "09:00-10:00"}, holidays=[date(2026, 11, 30) + timedelta(7 * n) for n in range(700)]
    )

    with pytest.raises(ValueError, match="no working day within ten years"):
        never.add(datetime(2026, 11, 29, tzinfo=UTC), parse_business_time("1h"))
