from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.reviews.number_parser import numbers_in


def read(text: str) -> list[str]:
    """Return the readings of each number, ``|`` between several."""
    return ["|".join(f"{value.normalize():f}" for value, _ in number.readings) for number in numbers_in(text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("12,345.60 USD", ["12345.6"]),
        ("12\u00a0345 and 12'345 and 1.234,50 and 1.234.567", ["12345", "12345", "1234.5", "1234567"]),
        ("1,23", ["1", "23"]),
        ("12k, 4bn, $1.2M", ["12000", "4000000000", "1.2|1200000"]),
        ("12 thousand, 1.2 million, 3 dozen", ["12000", "1200000", "36"]),
        ("−3.1% and -$5 and + 7", ["-3.1", "-5", "7"]),
        ("10-12, 10–12 and 10 – 12", ["10", "12", "10", "12", "10", "12"]),
        ("1e6 and .5", ["1000000", "0.5"]),
        ("50 bps", ["0.5"]),
        ("three of twenty-one vendors", ["3", "21"]),
        ("two hundred and five thousand", ["205000"]),
        ("two and a half million", ["2500000"]),
        ("half a million, a million, a dozen", ["500000", "1000000", "12"]),
        ("half, a quarter of it, three quarters", ["0.5", "0.25", "0.75"]),
        ("½ and 1½ and 3/4", ["0.5", "1.5", "0.75"]),
        ("doubled, halved, tenfold, 3-fold, twice", ["2", "0.5", "10", "3", "2"]),
        ("the 3rd, the third and the first", ["3", "3", "1"]),
        ("a single vendor, both, zero", ["1", "2", "0"]),
    ],
)
def test_a_number_is_read_however_it_is_written(text: str, values: list[str]):
    assert read(text) == values


@pytest.mark.parametrize("text", ["hundreds of vendors", "10²", "Ⅳ", "三 vendors", "5/0"])
def test_what_cannot_be_understood_is_a_number_all_the_same(text: str):
    assert any(not number.readings for number in numbers_in(text))


@pytest.mark.parametrize("text", ["no one knew", "this quarter", "per second", "for this one", "one another", "rent"])
def test_words_that_count_nothing_are_no_numbers(text: str):
    assert numbers_in(text) == []


def test_the_last_of_a_pair_says_what_both_are():
    first, second = numbers_in("between 3.1 and 4.5%")
    assert (first.is_percent, second.is_percent) == (True, True)
    assert [value for value, _ in numbers_in("1.2 to 1.3 million")[0].readings] == [Decimal("1.2"), Decimal(1_200_000)]


def test_percentage_points_are_no_percentage():
    assert [number.is_points for number in numbers_in("3% and 3 percentage points and 3 pp")] == [False, True, True]


@given(st.text())
def test_no_digit_is_overlooked_and_no_text_is_too_strange(text: str):
    covered = {place for number in numbers_in(text) for place in range(number.start, number.end)}
    assert [character for place, character in enumerate(text) if character.isnumeric() and place not in covered] == []


@given(st.decimals(min_value=0, max_value=10**9, places=2), st.sampled_from(["", " USD", "%", " orders"]))
def test_a_number_as_facts_show_it_is_read_back(value: Decimal, unit: str):
    (number,) = numbers_in(f"It stood at {value:,}{unit}.")
    assert (value, Decimal("0.01")) in number.readings
