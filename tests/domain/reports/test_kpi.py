"""What each figure means, on counts that are written here: of nothing there is no value."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interlock.domain.reports.kpi import KPIS, Counts, Kpi, Latency, breach, format_value, kpi_problems


def value(name: str, **counts) -> Decimal | None:
    return KPIS[name].measure(Counts(**counts)).value


@pytest.mark.parametrize("name", KPIS)
def test_of_nothing_no_figure_has_a_value(name):
    """Not zero, which would be a claim, and no division by zero."""
    measured = KPIS[name].measure(Counts())

    assert (measured.value, measured.over) == (None, 0)
    assert format_value(measured.value, KPIS[name].unit) == "no data"


@pytest.mark.parametrize(
    ("name", "counts", "expected"),
    [
        ("cycle_time", {"sent": 3, "cycle_seconds": 5400.0}, "1.5"),
        ("error_rate", {"labelled": 40, "wrong": 1}, "0.025"),
        ("error_rate", {"labelled": 40}, "0"),
        ("cost_to_serve", {"cost": Decimal("4.50"), "sent": 3}, "1.5"),
        ("cost_per_outcome", {"cost": Decimal("4.50"), "completed": 2, "sent": 9}, "2.25"),
        ("conversion_rate", {"taken_in": 8, "converted": 2, "has_outcomes": True}, "0.25"),
        ("straight_through_rate", {"taken_in": 8, "sent_straight": 6}, "0.75"),
        ("completion_rate", {"taken_in": 8, "done": 7}, "0.875"),
        ("undone_rate", {"undone": 1, "completed": 3}, "0.25"),
        ("fallback_rate", {"taken_in": 4, "fell_back": 1}, "0.25"),
        ("retry_rate", {"taken_in": 4, "repeated": 1}, "0.25"),
        ("retry_load", {"calls": 10, "repeats": 4}, "0.4"),
        ("throughput", {"sent": 30, "days": Decimal("1.5")}, "20"),
        ("throughput", {"taken_in": 5, "days": Decimal(1)}, "0"),
        ("mean_time_to_recovery", {"recoveries": 2, "recovery_seconds": 10800.0}, "1.5"),
        ("policy_violations", {"violations": 2, "sent": 5}, "2"),
        ("policy_violations", {"sent": 5}, "0"),
        ("approval_latency", {"approval_seconds": 1800.0, "approvals": (Latency("leads", 1, 1800.0, 4),)}, "0.5"),
        ("reviews_on_time", {"reviews": 4, "reviews_on_time": 3}, "0.75"),
    ],
)
def test_each_figure_is_what_its_definition_says(name, counts, expected):
    assert value(name, **counts) == Decimal(expected)


def test_two_cases_in_a_second_are_no_throughput_of_a_day():
    assert value("throughput", sent=2, taken_in=2, days=Decimal("0.00002")) is None
    assert value("throughput", sent=2, taken_in=2, days=Decimal("0.25")) == 8


def test_when_all_outcomes_are_undone_the_cost_of_one_is_not_known_and_the_rate_is_one():
    counts = {"cost": Decimal(9), "undone": 3, "taken_in": 3, "has_outcomes": True}

    assert value("cost_per_outcome", **counts) is None
    assert value("undone_rate", **counts) == 1
    assert value("conversion_rate", **counts) == 0


def test_where_nobody_tells_of_outcomes_nobody_says_that_no_case_converted():
    assert value("conversion_rate", taken_in=8) is None
    assert value("conversion_rate", taken_in=8, has_outcomes=True) == 0


def test_a_cost_says_which_outcomes_can_still_be_undone_and_which_calls_have_no_price():
    measured = KPIS["cost_per_outcome"].measure(Counts(cost=Decimal(6), completed=3, provisional=2, unpriced=1))

    assert measured.note == "1 call without a price is not in it; 2 of the outcomes can still be undone"


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_share_lies_between_none_and_all(part, more):
    share = value("straight_through_rate", taken_in=part + more, sent_straight=part)

    assert share is None if part + more == 0 else 0 <= share <= 1


# --- what workflow.yaml asks for ---


def kpi(**said) -> Kpi:
    return Kpi.model_validate({"baseline": 0, **said})


def test_an_unknown_name_is_refused_with_the_nearest():
    (told,) = kpi_problems({"strait_through_rate": kpi()})

    assert told.startswith(
        "workflow.yaml: there is no KPI 'strait_through_rate'. Did you mean 'straight_through_rate'?"
    )


def test_a_unit_is_the_one_of_the_definition_or_left_out():
    assert kpi_problems({"cycle_time": kpi(unit="h"), "error_rate": kpi()}) == []
    assert kpi_problems({"cycle_time": kpi(unit="min")}) == ["workflow.yaml: KPI 'cycle_time' is in 'h', not in 'min'"]


def test_thresholds_that_leave_nothing_between_them_are_refused():
    (told,) = kpi_problems({"error_rate": kpi(at_least=0.5, at_most=0.1)})
    assert "cannot be at least 0.5 and at most 0.1" in told


@pytest.mark.parametrize(
    ("said", "taken", "expected"),
    [
        ({"at_least": 0.1}, "0.1", None),
        ({"at_least": 0.1}, "0.0999", "below 0.1"),
        ({"at_most": 0.1}, "0.1", None),
        ({"at_most": 0.1}, "0.10001", "above 0.1"),
        ({"at_least": 0.1, "at_most": 0.2}, "0.3", "above 0.2"),
        ({}, "7", None),
    ],
)
def test_a_threshold_is_broken_past_it_and_not_at_it(said, taken, expected):
    assert breach(kpi(**said), Decimal(taken)) == expected


def test_what_is_not_known_breaks_no_threshold():
    assert breach(kpi(at_least=0.9), None) is None
