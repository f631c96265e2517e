"""What a period's facts are, and that each of them can be done again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock.analysis.indicator_fact import Stating
from interlock.analysis.measure import SnapshotTable, empty_table, open_table
from interlock.analysis.staging import staging
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.source import SourceRow
from interlock.domain.facts.fact import Fact, by_name
from interlock.domain.facts.formula import compute
from interlock.domain.facts.indicator import Kpis, is_splittable, parse_kpis
from interlock.errors import ConfigurationError

AS_OF = datetime(2014, 7, 28, tzinfo=UTC)
MONDAY = date(2014, 7, 21)
DATASET = Dataset.model_validate(
    {
        "source": "x.csv",
        "time": "day",
        "columns": {"id": "integer", "day": "date", "vendor": "string", "amount": "decimal", "bad": "integer"},
    }
)
Rows = Sequence[tuple[int, str, Any, int]]
"""Days after the Monday before last, vendor, amount, bad."""


def kpis(**indicators: Any) -> Kpis:
    return parse_kpis({"kpis": "k", "dataset": "d", "period": "week", "history": 4, "indicators": indicators})


SPEND = {"title": "Spend", "value": "sum(amount)", "unit": "USD", "explain": ["vendor"]}
BAD = {"title": "Bad", "value": "sum(bad)", "per": "count(*)", "unit": "%", "explain": ["vendor"], "top": 20}


@contextmanager
def table_of(rows: Rows) -> Iterator[SnapshotTable]:
    with tempfile.TemporaryDirectory() as folder, staging(DATASET) as opened:
        opened.add(
            SourceRow(
                number=number,
                values={
                    "id": number, "day": MONDAY + timedelta(days=day - 7), "vendor": vendor, "amount": amount,
                    "bad": bad,
                },
            )
            for number, (day, vendor, amount, bad) in enumerate(rows, 2)
        )  # fmt: skip
        opened.type_rows()
        opened.read_as_of(AS_OF)
        file = Path(folder) / "rows.parquet"
        opened.write_rows(file)
        with open_table(file) as table:
            yield table


def stated(rows: Rows, which: Kpis) -> list[Fact]:
    with table_of(rows) as table:
        periods = which.periods("UTC")
        return Stating(which, table, periods, periods.last_full(AS_OF), AS_OF, "r" * 32).state_all()


ROWS: Rows = [(1, "A", "10", 0), (2, "B", "20", 1), (8, "A", "15.5", 1), (9, "B", "5", 0), (9, "C", "2", 0)]


def test_the_last_full_week_is_held_against_the_week_before():
    facts = by_name(stated(ROWS, kpis(spend=SPEND)))

    assert facts["spend"].shown == "22.50 USD"
    assert facts["spend"].period == "week of 2014-07-21"
    assert facts["spend.previous"].shown == "30.00 USD"
    assert facts["spend.change"].shown == "-7.50 USD"
    assert facts["spend.change_percent"].shown == "-25.0%"


def test_a_change_is_taken_apart_by_segment():
    facts = stated(ROWS, kpis(spend=SPEND))
    parts = {fact.segment["vendor"]: fact.value for fact in facts if fact.kind == "contribution"}

    assert parts == {"B": Decimal(-15), "A": Decimal("5.5"), "C": Decimal(2)}


rows = st.lists(
    st.tuples(st.integers(0, 13), st.sampled_from("ABCDE"), st.decimals(1, 1000, places=2).map(str), st.integers(0, 1)),
    min_size=1,
    max_size=25,
)


@settings(deadline=None, max_examples=30)
@given(rows=rows)
def test_what_explains_a_change_adds_up_to_it(rows):
    facts = stated(rows, kpis(spend=SPEND | {"top": 20}, bad=BAD))
    changes = by_name(facts)
    for name in ("spend", "bad"):
        change = changes[f"{name}.change"].value
        parts = [fact.value for fact in facts if fact.kind == "contribution" and fact.indicator == name]
        if change is not None:
            assert None not in parts
            assert abs(sum(parts, Decimal(0)) - change) < Decimal("0.000001")


@settings(deadline=None, max_examples=20)
@given(rows=rows)
def test_each_fact_can_be_done_again(rows):
    which = kpis(spend=SPEND, bad=BAD)
    facts = stated(rows, which)
    by_id = {fact.id: fact for fact in facts}
    with table_of(rows) as table:
        for fact in facts:
            if fact.inputs:
                again = compute(fact.expression, [by_id[one].value for one in fact.inputs])
            else:
                measured = table.measure(fact.expression, fact.where)
                again = measured.value
                assert (measured.rows, measured.digest) == (fact.rows, fact.rows_digest)
            assert again == fact.value
            assert (fact.value is None) == bool(fact.withheld)


@settings(deadline=None, max_examples=20)
@given(rows=rows.filter(lambda rows: len(rows) > 2), data=st.data())
def test_a_row_that_changes_changes_the_facts_that_rest_on_it_and_no_other(rows, data):
    """Of the facts over rows, exactly those whose condition picks the row, before or after."""
    place = data.draw(st.integers(0, len(rows) - 1))
    day, vendor, amount, bad = rows[place]
    changed = [*rows]
    changed[place] = (day, vendor, str(Decimal(amount) + 1), bad)
    which = kpis(spend=SPEND | {"explain": []}, bad=BAD | {"explain": []})
    before, after = stated(rows, which), stated(changed, which)
    differs = {fact.name for fact in before} - {f.name for f in before if f.id in {one.id for one in after}}
    touched = set()
    with table_of(changed) as table:
        for fact in before:
            if not fact.inputs and table.measure("count(*)", f"({fact.where}) AND id = {place + 2}").value:
                touched.add(fact.name)
    follows = {fact.name for fact in before if any(one.id in fact.inputs for one in before if one.name in touched)}
    assert differs == touched | follows


def test_a_week_without_rows_has_no_sum_and_says_so():
    facts = by_name(stated([(1, "A", "10", 0)], kpis(spend=SPEND)))

    assert facts["spend"].value is None
    assert facts["spend"].withheld == "Spend: there are no rows in week of 2014-07-21"
    assert facts["spend.change"].withheld == facts["spend"].withheld


def test_a_division_by_zero_is_no_number():
    ratio = {"title": "Ratio", "value": "sum(amount)", "per": "sum(bad)"}
    facts = by_name(stated(ROWS[:1] + ROWS[3:], kpis(ratio=ratio)))

    assert facts["ratio"].value is None
    assert "divided by zero" in facts["ratio"].withheld


def test_a_change_from_zero_is_no_percentage():
    facts = by_name(stated([(1, "A", "0", 0), (8, "A", "5", 0)], kpis(spend=SPEND)))

    assert facts["spend.change"].value == 5
    assert facts["spend.change_percent"].withheld == (
        "Spend, change on the week before, in percent: it is divided by zero"
    )


def test_a_target_is_a_fact_of_its_own():
    facts = by_name(stated(ROWS, kpis(spend=SPEND | {"compare": ["target"], "target": 20})))

    assert facts["spend.gap"].shown == "2.50 USD"


def test_everything_is_withheld_where_the_data_are_not_fit():
    which = kpis(spend=SPEND, bad=BAD)
    with table_of(ROWS) as table:
        periods = which.periods("UTC")
        stating = Stating(which, table, periods, periods.last_full(AS_OF), AS_OF, "r" * 32)
        facts = stating.withhold_all("source 'd' is not fit: it is stale")

    assert [(fact.name, fact.value, fact.withheld) for fact in facts] == [
        ("spend", None, "source 'd' is not fit: it is stale"),
        ("bad", None, "source 'd' is not fit: it is stale"),
    ]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("sum(amuont)", 'Referenced column "amuont" not found'),
        ("sum(vendor)", "No function matches"),
        ("max(vendor)", "gives a str, and a number is asked for"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd'))", "disabled by configuration"),
    ],
)
def test_an_expression_that_cannot_be_computed_says_why(expression, told):
    with table_of(ROWS) as table, pytest.raises(ConfigurationError) as raised:
        table.measure(expression, "true")
    assert told in str(raised.value)


def test_expressions_are_tried_without_data():
    with empty_table(DATASET.columns) as table:
        assert table.measure("sum(amount)", "vendor = 'A'").value is None
        with pytest.raises(ConfigurationError, match="nobody"):
            table.measure("sum(nobody)", "true")


AGGREGATES = ["sum(amount)", "count(*)", "count(DISTINCT id)", "count(DISTINCT bad)", "avg(amount)", "max(amount)"]
some_rows = st.lists(
    st.tuples(
        st.integers(-3, 16), st.sampled_from(["A", "B", None]), st.decimals(-100, 100, places=2).map(str),
        st.integers(0, 2),
    ),
    max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(
    rows=some_rows, value=st.sampled_from(AGGREGATES), per=st.sampled_from([None, "count(*)", "count(DISTINCT bad)"])
)
def test_parts_are_stated_only_where_they_add_up_and_nothing_is_stated_of_no_rows(rows, value, per):
    facts = stated(rows, kpis(x={"title": "X", "value": value, "per": per, "explain": ["vendor"], "top": 20}))
    named = by_name(facts)
    parts = [fact for fact in facts if fact.kind == "contribution" and fact.value is not None]
    shares = [fact.value for fact in facts if fact.kind == "share" and fact.value is not None]

    if parts:
        assert abs(sum(fact.value for fact in parts) - named["x.change"].value) < Decimal("0.00001")
    if shares:
        assert abs(sum(shares) - 100) < Decimal("0.00001")
        assert all(0 <= share <= 100 for share in shares)
    for name, days in (("x", range(7, 14)), ("x.previous", range(7))):
        if not any(day in days for day, *_ in rows):
            assert named[name].value is None
            assert named["x.change"].value is None
    percent = named["x.change_percent"]
    if percent.value is not None:
        assert named["x.previous"].value > 0
        assert named["x"].value >= 0


def test_parts_of_a_distinct_count_are_withheld_with_the_reason():
    """A and B share their customers: each has one more than before, and all have as many."""
    rows = [(1, "A", "1", 1), (1, "B", "1", 2), (8, "A", "1", 1), (8, "A", "1", 2), (8, "B", "1", 1), (8, "B", "1", 2)]
    customers = {"title": "Customers", "value": "count(DISTINCT bad)", "explain": ["vendor"]}
    facts = by_name(stated(rows, kpis(customers=customers)))

    assert facts["customers.change"].value == 0
    assert facts["customers.by.vendor.1"].value is None
    assert facts["customers.by.vendor.1"].withheld.endswith(
        "count(DISTINCT bad) of each vendor does not add up to that of all"
    )
    assert facts["customers.share.vendor.1"].withheld


def test_rows_without_the_segment_are_a_part():
    facts = stated([(1, "A", "10", 0), (8, "A", "10", 0), (8, None, "5", 0)], kpis(spend=SPEND))

    assert {fact.segment["vendor"]: fact.value for fact in facts if fact.kind == "contribution"} == {"no vendor": 5}


def test_a_count_before_the_data_begin_or_of_no_rows_is_no_zero():
    orders = kpis(orders={"title": "Orders", "value": "count(*)"}, late={"title": "Late", "value": "count(*)",
                  "where": "bad = 1"})  # fmt: skip
    begun, over = by_name(stated([(8, "A", "1", 0)], orders)), by_name(stated([(1, "A", "1", 0)], orders))

    assert begun["orders.previous"].withheld == ("Orders, week before: the data begin after week of 2014-07-14")
    assert over["orders"].withheld == "Orders: there are no rows in week of 2014-07-21"
    assert over["orders.change_percent"].value is None
    assert begun["late"].value == 0


def test_by_period_gives_the_value_that_is_stated():
    with table_of([(1, "A", "1", 0), (8, "A", "1", 1)]) as table:
        periods = kpis(spend=SPEND).periods("UTC")
        three = periods.up_to(periods.last_full(AS_OF), 3)

        assert table.by_period("count(*)", three, "bad = 1") == [None, 0, 1]
        assert table.by_period("sum(amount)", three, "bad = 1") == [None, None, 1]


@pytest.mark.parametrize(("before", "now", "stated_"), [("-100", "50", False), ("-100", "-50", False),
                                                        ("100", "-50", False), ("100", "50", True)])  # fmt: skip
def test_a_percentage_whose_sign_turns_is_not_stated(before, now, stated_):
    facts = by_name(stated([(1, "A", before, 0), (8, "A", now, 0)], kpis(spend=SPEND)))

    assert facts["spend.change"].value == Decimal(now) - Decimal(before)
    assert (facts["spend.change_percent"].value is not None) == stated_
    assert bool(facts["spend.change_percent"].withheld) != stated_


@pytest.mark.parametrize(
    ("aggregate", "adds_up"),
    [
        ("sum(amount)", True),
        ("count(*) FILTER (WHERE (a <= b) AND c)", True),
        ("sum((price - cost) * quantity) / 1000", True),
        ("coalesce(sum(a), 0) - sum(b)", True),
        ("count(DISTINCT po)", False),
        ("avg(amount)", False),
        ("sum(a) / count(*)", False),
        ("sum(a) * sum(b)", False),
        ("max(amount)", False),
        ("sum(a) + 5", False),
    ],
)
def test_it_is_known_beforehand_which_aggregates_can_be_split(aggregate, adds_up):
    assert is_splittable(aggregate) is adds_up
