from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.base.period import Periods

GRAINS = ["5min", "30min", "hour", "day", "week", "month", "quarter"]
ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
instants = st.datetimes(datetime(2000, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))


@given(at=instants, grain=st.sampled_from(GRAINS), zone=st.sampled_from(ZONES))
def test_every_instant_is_in_exactly_one_period_and_periods_follow_each_other(at, grain, zone):
    periods = Periods(grain=grain, time_zone=zone)
    here = periods.containing(at)

    assert here.start <= at < here.end
    assert periods.before(here).end == here.start
    assert periods.after(here).start == here.end
    assert periods.containing(here.end - timedelta(microseconds=1)) == here


@given(at=instants, grain=st.sampled_from(GRAINS), zone=st.sampled_from(ZONES))
def test_the_last_full_period_is_over(at, grain, zone):
    periods = Periods(grain=grain, time_zone=zone)
    last = periods.last_full(at)

    assert last.end <= at < periods.after(last).end


def test_a_period_that_ends_at_the_instant_is_full():
    assert Periods(grain="week").last_full(datetime(2014, 7, 28, tzinfo=UTC)).label == "week of 2014-07-21"


def test_a_day_in_which_clocks_change_has_23_hours():
    day = Periods(grain="day", time_zone="Europe/London").containing(datetime(2014, 3, 30, 12, tzinfo=UTC))

    assert day.end - day.start == timedelta(hours=23)


def test_weeks_begin_on_the_day_of_ones_choice():
    sunday = Periods(grain="week", week_starts="sunday").containing(datetime(2014, 7, 23, tzinfo=UTC))

    assert (sunday.label, sunday.key) == ("week of 2014-07-20", "2014-07-20")


@pytest.mark.parametrize(
    ("grain", "at", "label"),
    [
        ("week", datetime(2014, 7, 23, tzinfo=UTC), "week of 2013-07-22"),
        ("month", datetime(2016, 2, 29, tzinfo=UTC), "2015-02"),
        ("day", datetime(2016, 2, 29, tzinfo=UTC), "2015-02-28"),
        ("quarter", datetime(2014, 7, 23, tzinfo=UTC), "2013-Q3"),
    ],
)
def test_the_same_period_a_year_before(grain, at, label):
    periods = Periods(grain=grain)

    assert periods.year_before(periods.containing(at)).label == label


def test_periods_up_to_one():
    periods = Periods(grain="month")
    labels = [p.label for p in periods.up_to(periods.containing(datetime(2014, 1, 5, tzinfo=UTC)), 3)]

    assert labels == ["2013-11", "2013-12", "2014-01"]


@given(at=instants, zone=st.sampled_from([*ZONES, "Europe/Berlin", "America/Havana"]), grain=st.sampled_from(GRAINS))
def test_periods_that_follow_each_other_have_labels_of_their_own(at, zone, grain):
    """When a clock is set back an hour comes twice: a key that both share would lose the second."""
    periods = Periods(grain=grain, time_zone=zone)
    autumn = at.replace(month=11 if zone.startswith("America") else 10, day=25)
    for around in (at, autumn):
        labels = [period.label for period in periods.up_to(periods.containing(around), 60)]
        assert len(set(labels)) == len(labels)


def test_the_hour_that_comes_twice_is_named_with_its_offset():
    berlin = Periods(grain="hour", time_zone="Europe/Berlin")
    first = berlin.containing(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))

    assert [first.label, berlin.after(first).label, berlin.after(berlin.after(first)).label] == [
        "2026-10-25 02:00+02:00",
        "2026-10-25 02:00+01:00",
        "2026-10-25 03:00",
    ]
