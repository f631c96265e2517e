from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from interlock.domain.facts.fact import Fact, show_number

WEEK = {
    "period": "week of 2014-07-21",
    "period_start": datetime(2014, 7, 21, tzinfo=UTC),
    "period_end": datetime(2014, 7, 28, tzinfo=UTC),
}


def a_fact(**changes: Any) -> Fact:
    given: dict[str, Any] = {
        "name": "spend", "indicator": "spend", "kind": "value", "label": "Spend", "value": Decimal("1710704.4990"),
        "unit": "USD", "as_of": datetime(2014, 7, 28, tzinfo=UTC), "dataset": "orders", "reading": "r" * 32,
        "where": "true", "expression": "sum(line_total)", "rows": 232, "rows_digest": "0" * 32, **WEEK,
    }  # fmt: skip
    return Fact(**given | changes).identified()


@pytest.mark.parametrize(
    "change",
    [
        {"value": Decimal("1710704.5")}, {"rows_digest": "1" * 32}, {"rows": 231}, {"where": "false"}, {"unit": "EUR"},
        {"expression": "avg(line_total)"}, {"segment": {"vendor": "Proseware"}}, {"inputs": ("0" * 16,)},
        {"period_start": datetime(2014, 7, 14, tzinfo=UTC)}, {"value": None, "withheld": "there are no rows"},
    ],
)  # fmt: skip
def test_a_fact_that_states_something_else_has_another_id(change):
    assert a_fact(**change).id != a_fact().id


@pytest.mark.parametrize(
    "change", [{"as_of": datetime(2014, 8, 4, tzinfo=UTC)}, {"reading": "s" * 32}, {"warnings": ("stale",)}]
)
def test_who_computed_it_when_does_not_matter(change):
    """A backfill states the same facts as the day itself."""
    assert a_fact(**change).id == a_fact().id


def test_a_value_with_other_zeros_is_the_same_value():
    assert a_fact(value=Decimal("5.00")).id == a_fact(value=Decimal("5")).id


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "shown"),
    [
        ("1710704.499", "USD", 0, "1,710,704 USD"),
        ("2.125", "%", 2, "2.12%"),
        ("2.135", "%", 2, "2.14%"),
        ("-0.001", "", 2, "0.00"),
        ("-1234.5", "USD", 1, "-1,234.5 USD"),
    ],
)
def test_numbers_are_shown_rounded_half_to_even(value, unit, decimals, shown):
    assert show_number(Decimal(value), unit, decimals) == shown


def test_a_number_that_there_is_not_is_not_shown_as_zero():
    assert show_number(None, "USD") == "n/a"


def test_it_comes_back_from_json_as_it_was():
    fact = a_fact(segment={"vendor": "Trikes, Inc."}, confidence=0.5)

    assert Fact.model_validate(fact.model_dump(mode="json")) == fact
