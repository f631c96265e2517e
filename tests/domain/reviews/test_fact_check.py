from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from interlock.domain.facts.fact import Fact, show_number
from interlock.domain.reviews.fact_check import carried, uncarried
from reviews import a_fact

SPEND = a_fact("spend", "12345.60")
FELL = a_fact("spend.change_percent", "-3.14", unit="%", kind="change_percent", decimals=1, label="Change")
ROSE = a_fact("spend.change_percent", "3.14", unit="%", kind="change_percent", decimals=1, label="Change")
SHARE = a_fact("s", "50", unit="%", kind="share", decimals=1, label="Share", segment={"vendor": "Fitness 24/7"})
STORE = a_fact("store", "7", unit="", decimals=0, label="Orders", segment={"store": "3"})
POINTS = a_fact("gap", "-0.5", unit="percentage points", kind="change", decimals=1, label="Gap")


def problems(text: str, *facts: Fact, **more: Any) -> list[str]:
    return [str(found) for found in uncarried(text, facts, **more)]


@pytest.mark.parametrize(
    "text",
    [
        "Spend was 12,345.60 USD, 12,345.6, 12,346 and $12.3k.",
        "Spend was twelve thousand, about 12,000, over 12 thousand, nearly 12,346 and more than 12,300 USD.",
        "In the week of 2014-06-16, from 16 June to June 22, 2014, in 2014-W25, week 25, June 2014, Q2 and 2014.",
        "As of 2014-06-23 00:00 UTC.",
    ],
)
def test_a_number_is_carried_at_the_precision_at_which_it_is_written(text: str):
    assert problems(text, SPEND) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("12,345.61 USD", "12,345.61 USD"),
        ("13 thousand", "13 thousand"),
        ("12,000 USD", "12,000 USD"),
        ("12,346 EUR", "12,346 EUR"),
        ("12,345.60%", "12,345.60%"),
        ("under 12,000", "12,000"),
        ("over 13,000", "13,000"),
        ("on 18 June 2014", "18 June 2014"),
        ("on 2014-06-18", "2014-06-18"),
        ("in week 26", "week 26"),
        ("in 2013", "2013"),
        ("three vendors", "three"),
        ("it doubled", "doubled"),
        ("half of it", "half"),
        ("hundreds of orders", "hundreds of"),
        ("B2B", "2B"),
    ],
)
def test_what_no_fact_carries_is_refused(text: str, said: str):
    (problem,) = uncarried(text, [SPEND])
    assert problem.text == said


def test_direction_must_be_that_of_the_fact():
    assert problems("down 3.1%", FELL) == problems("−3.1%", FELL) == problems("up 3.1%", ROSE) == []
    assert "wrong direction" in problems("up 3.1%", FELL)[0]
    assert "wrong direction" in problems("It fell by 3.1%", ROSE)[0]
    assert "wrong direction" not in problems("+3.1%", FELL)[0]
    assert problems("+3.1%", FELL) != []


def test_a_percentage_and_points_are_not_the_same():
    assert problems("0.5 percentage points below", POINTS) == problems("50 bps less", POINTS) == []
    assert problems("0.5% below", POINTS) != []
    assert problems("3.1 percentage points more", ROSE) != []
    assert problems("3.1 more", ROSE) != []


def test_fractions_and_multiples_are_held_against_percentages():
    assert problems("Fitness 24/7 had half of it, 50%", SHARE) == []
    assert problems("a third of it", SHARE) != []
    doubled = a_fact("x.change_percent", "100", unit="%", kind="change_percent", decimals=1)
    assert problems("It doubled.", doubled) == []
    assert problems("It tripled.", doubled) != []


def test_names_state_nothing_but_a_bare_number_is_no_name():
    assert problems("Fitness 24/7 bought more", SHARE) == []
    assert problems("Store 3 had 7", STORE) == []
    assert [found.text for found in uncarried("3 had 7", [STORE])] == ["3"]
    assert problems("24 hours at 7", SHARE) != []


def test_texts_of_ours_may_be_quoted_word_for_word():
    warning = "3 rows have no vendor"
    assert problems(f"Note: {warning}.", given=[warning]) == []
    assert problems("Note: 4 rows have no vendor.", given=[warning]) != []


numbers = st.decimals(min_value=Decimal("-1e7"), max_value=Decimal("1e7"), places=4)


@given(numbers, st.integers(0, 4))
def test_a_value_as_it_is_shown_is_carried(value: Decimal, decimals: int):
    fact = a_fact(value=str(value), decimals=decimals, unit="orders")
    assert problems(f"There were {fact.shown}.", fact) == []


@given(numbers, numbers, st.integers(0, 4), st.sampled_from(["", " USD", " thousand", "%", "k"]))
def test_a_number_that_no_fact_carries_is_refused_whatever_it_is(
    value: Decimal, said: Decimal, decimals: int, unit: str
):
    written = show_number(said, decimals=decimals)
    means = Decimal(written.replace(",", ""))
    step = Decimal(1).scaleb(-decimals)
    if unit in (" thousand", "k"):
        means, step = means * 1000, step * 1000
    assume(abs(means - value) > step and abs(abs(means) - abs(value)) > step)
    fact = a_fact(value=str(value))

    assert problems(f"Spend was {written}{unit} or less, more or below.", fact) != []


@given(st.text(max_size=60))
def test_no_text_is_too_strange(text: str):
    problems(text, SPEND, SHARE, STORE)


def test_facts_that_show_one_figure_are_met_each_in_its_turn():
    price = a_fact("price", "5", unit="%", decimals=2, label="Price")
    target = a_fact("price.target", "5", unit="%", kind="target", decimals=2, label="Target")
    text = "Prices were 5.00% above; the target is 5.00%, and 5.00% is 5.00%."

    found = [one.fact.id for one in carried(text, [price, target])]

    assert found == [price.id, target.id, price.id, price.id]
    assert [one.fact.id for one in carried(text, [target, price])][:2] == [target.id, price.id]
