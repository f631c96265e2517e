"""Expectations in SQL over all rows give what Great Expectations gives on a frame of them; a sample says its error."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from interlock.analysis.staging import Staging, staging
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.quality import parse_suite
from interlock.domain.data.source import SourceRow
from interlock.errors import UnknownName
from interlock.quality import table as table_module
from interlock.quality.check import check_frame
from interlock.quality.pushdown import OfRows, translate
from interlock.quality.table import CheckedTable, check_table, upper_bound

DATASET = Dataset(
    source="a.csv",
    time="day",
    columns={"day": "date", "text": "string", "n": "integer", "x": "number", "amount": "decimal"},
)


def filled(one: Staging, rows: list[dict[str, Any]]) -> Staging:
    one.add(
        SourceRow(number=n, values={"day": str(date(2026, 1, 1) + timedelta(days=n)), **row})
        for n, row in enumerate(rows, start=1)
    )
    one.type_rows()
    assert one.count_aside() == 0
    return one


def as_table(one: Staging) -> CheckedTable:
    return CheckedTable(one.dataset.columns, one.count(), one.rows_of, lambda n: one.frame(n).drop(columns="_number"))


def a_suite(*expectations: dict[str, Any]) -> Any:
    named = [{"name": f"e{n}", **item} for n, item in enumerate(expectations)]
    return parse_suite({"suite": "lines", "expectations": named})


MOSTLY = [{"mostly": share} for share in (0.5, 0.75)]
LIMITS = [
    {"min_value": 0},
    {"max_value": 2, "strict_max": True},
    {"min_value": -1, "max_value": 2.5},
    {"min_value": 2, "strict_min": True},
]
NUMBERS = ("n", "x", "amount")
EXPECTATIONS = [
    *({"expect": f"column_values_to_{what}", "column": "n"} for what in ("not_be_null", "be_null")),
    *({"expect": "column_values_to_be_unique", "column": column} for column in ("text", "n", "x")),
    {"expect": "column_values_to_be_in_set", "column": "text", "value_set": ["a", "b"]},
    {"expect": "column_values_to_not_be_in_set", "column": "text", "value_set": ["a", "b"]},
    *({"expect": "column_values_to_be_in_set", "column": column, "value_set": [1, 2.5]} for column in NUMBERS),
    *({"expect": "column_values_to_be_between", "column": c, **limits} for c in NUMBERS for limits in LIMITS),
    {"expect": "column_value_lengths_to_be_between", "column": "text", **LIMITS[1]},
    *({"expect": "column_values_to_match_regex", "column": "text", "regex": r} for r in ("^[a-b]+$", r"\d", "^a.?$")),
    {"expect": "column_values_to_not_match_regex", "column": "text", "regex": "b|1"},
    {"expect": "table_row_count_to_be_between", **LIMITS[0]},
    {"expect": "table_row_count_to_equal", "value": 4},
    *(
        {"expect": f"column_{what}_to_be_between", "column": column, **LIMITS[2]}
        for what in ("sum", "mean", "min", "max")
        for column in NUMBERS
    ),
    {"expect": "column_unique_value_count_to_be_between", "column": "text", "min_value": 1, "max_value": 2},
]
NOTHING = {"text": None, "n": None, "x": None, "amount": None}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(["a", "b", "ab", "b1", "٣", "ü", "A", None]),
            "n": st.sampled_from([-1, 0, 1, 2, 3, None]),
            "x": st.sampled_from([-1.5, 0.0, 1.0, 2.0, 2.5, None]),
            "amount": st.sampled_from(["-0.01", "0", "1", "2.0000", "2.5", None]),
        }
    ),
    min_size=1,
    max_size=8,
)


@given(rows=ROWS)
@example(rows=[NOTHING])
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_sql_over_all_rows_gives_what_a_frame_gives(rows: list[dict[str, Any]]):
    """If they differed, a table would pass or fail by its size."""
    suite = a_suite(*EXPECTATIONS, *({**item, **more} for item in EXPECTATIONS[:8:2] for more in MOSTLY))
    with staging(DATASET) as one:
        filled(one, rows)
        frame = one.frame()
        numbers = frame.pop("_number").tolist()
        expected = check_frame(suite, frame)
        found = check_table(suite, as_table(one)).result
        for item, of_sql, of_frame in zip(suite.expectations, found.results, expected.results, strict=True):
            rule = translate(item, DATASET.columns)
            assert rule is not None, item
            assert of_sql.success == of_frame.success, item
            assert dict(of_sql.observed) == pytest.approx(dict(of_frame.observed)), item
            assert (of_sql.message, of_sql.failing, of_sql.stops_run) == (
                of_frame.message,
                of_frame.failing,
                of_frame.stops_run,
            ), item
            if isinstance(rule, OfRows):
                asked = table_module._condition(rule)
                failing = [n for (n,) in one.rows_of(f"SELECT _number FROM rows WHERE {asked} ORDER BY 1")]
                assert failing == [numbers[row] for row in of_frame.failing_rows], item


@pytest.mark.parametrize(
    "item",
    [
        {"expect": "column_values_to_match_regex", "column": "text", "regex": r"\w+"},
        {"expect": "column_values_to_match_regex", "column": "text", "regex": "(?=a)"},
        {"expect": "column_values_to_match_regex", "column": "text", "regex": "ü"},
        {"expect": "column_values_to_be_in_set", "column": "text", "value_set": ["a", 1]},
        {"expect": "column_values_to_be_between", "column": "text", "min_value": 1},
        {"expect": "column_values_to_be_between", "column": "n", "min_value": 1, "row_condition": "n > 2"},
        {"expect": "column_values_to_be_unique", "column": "amount"},
        {"expect": "column_median_to_be_between", "column": "n", "min_value": 1},
    ],
)
def test_what_sql_would_read_differently_is_left_to_a_sample(item: dict[str, Any]):
    [expectation] = a_suite(item).expectations

    assert translate(expectation, DATASET.columns) is None


def test_a_sample_says_how_many_rows_may_fail_and_puts_nothing_aside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table_module, "FRAME_ROWS", 100)
    suite = a_suite(
        {"expect": "column_values_to_match_regex", "column": "text", "regex": r"^\w$"},
        {"expect": "column_values_to_match_regex", "column": "text", "regex": r"^[^\W\d]$", "quarantine": True},
        {"expect": "column_values_to_be_in_set", "column": "n", "value_set": [1], "quarantine": True},
    )
    with staging(DATASET) as one:
        filled(one, [{"text": "1" if n % 2 else "a", "n": 0 if n < 3 else 1} for n in range(400)])
        found = check_table(suite, as_table(one))
        again = check_table(suite, as_table(one))
        put = one.put_aside(found.aside)
        reasons = one.rows_of("SELECT DISTINCT _reasons FROM aside")

    fine, half, in_sql = found.result.results
    assert fine.success
    assert fine.message == "of a sample of 100 of 400 rows, 0 fail: at most 2.9513% of all, at 95%"
    assert fine.observed["sampled"] == 100
    assert half.stops_run, "not all of the failing rows are known"
    assert half.message.endswith("a sample quarantines nothing)")
    assert not in_sql.stops_run
    assert (put, reasons) == (3, [(["e2"],)])
    assert again == found, "the same sample is drawn each time"


def test_a_misspelt_expectation_is_refused_on_a_large_table_as_well():
    with staging(DATASET) as one, pytest.raises(UnknownName):
        check_table(a_suite({"expect": "column_values_to_be_nul", "column": "n"}), as_table(filled(one, [{}])))


def test_the_bound_is_that_of_clopper_and_pearson():
    assert upper_bound(0, 200_000) == pytest.approx(1 - 0.05 ** (1 / 200_000))
    assert upper_bound(3, 10) == pytest.approx(0.6066, abs=1e-4)
    assert upper_bound(10, 10) == 1.0
