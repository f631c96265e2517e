from __future__ import annotations

from datetime import timedelta

import pytest
from interlock.domain.base.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("8h", 28800), ("2d", 172800), ("1h30m", 5400), ("1.5h", 5400), (" 1 H 5 m ", 3900)],
)
def test_lengths_are_read_as_people_write_them(text: str, seconds: int):
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(timedelta(seconds=seconds)) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["8", 8, "", "-1h", "h", "1w", "1h and more", "1e3s", "99999999999999d", None])
def test_anything_else_is_a_value_error_that_says_how(text):
    with pytest.raises(ValueError, match="write "):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.44, "0.4 s"),
        (12, "12 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_lengths_are_told_to_a_person(seconds: float, told: str):
    assert format_duration(seconds) == told
