"""The wait before a repeat."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from interlock.domain.base.backoff import backoff_seconds, retry_after_seconds

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def test_each_wait_is_twice_the_one_before():
    assert [backoff_seconds(attempt, first=0.5) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]


def test_no_wait_at_first_is_none_later():
    assert backoff_seconds(7, first=0.0, uniform=random.uniform) == 0.0


def test_jitter_spreads_the_waits_between_half_and_one_and_a_half_times_the_seconds():
    rng = random.Random(7)

    waits = [backoff_seconds(3, first=1.0, uniform=rng.uniform) for _ in range(2000)]

    assert 2.0 <= min(waits) < 2.2
    assert 5.8 < max(waits) <= 6.0
    assert sum(waits) / len(waits) == pytest.approx(4.0, rel=0.05)


def test_the_wait_that_a_server_asks_for_wins_when_it_is_longer():
    assert backoff_seconds(2, first=0.5, retry_after=30.0) == 30.0
    assert backoff_seconds(4, first=0.5, retry_after=1.0) == 4.0
    assert backoff_seconds(1, first=0.5, retry_after=None) == 0.5


def test_jitter_never_shortens_what_a_server_asks_for():
    rng = random.Random(7)

    assert {backoff_seconds(1, first=0.5, uniform=rng.uniform, retry_after=30.0) for _ in range(50)} == {30.0}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ((NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S"), 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_anything_else_asks_for_no_wait(header, seconds):
    assert retry_after_seconds(header, NOW) == seconds
