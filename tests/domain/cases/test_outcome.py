"""What an outcome is called, until when it can be undone, and what it does to another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from interlock.domain.cases.outcome import Outcomes, outcome_status, read_instant, read_value
from interlock.errors import UnknownName
from pydantic import ValidationError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NAMES = Outcomes(completed=("resolved", "paid"), undone=("reopened",), dispute_window="14d")


@dataclass(frozen=True)
class Told:
    happened_at: datetime
    final_at: datetime | None


def row(name: str, days_ago: float) -> Told:
    happened_at = NOW - timedelta(days=days_ago)
    return Told(happened_at, NAMES.final_at(name, happened_at))


def stands(name: str, days_ago: float, *others: tuple[str, float]) -> str:
    mine = row(name, days_ago)
    return outcome_status(mine, [mine, *(row(*other) for other in others)], NOW)


def test_an_outcome_is_provisional_until_its_dispute_window_has_passed():
    assert stands("resolved", 13.9) == "provisional"
    assert stands("resolved", 14) == "final"


def test_an_outcome_is_undone_within_its_window_and_not_after_it():
    assert stands("resolved", 30, ("reopened", 16)) == "undone"
    assert stands("resolved", 30, ("reopened", 15.9)) == "final"
    assert stands("reopened", 16, ("resolved", 30)) == "undoes"
    assert stands("reopened", 15.9, ("resolved", 30)) == "too late"


def test_what_completes_again_after_it_was_undone_counts():
    assert stands("paid", 3, ("resolved", 10), ("reopened", 5)) == "provisional"
    assert stands("resolved", 10, ("reopened", 5), ("paid", 3)) == "undone"


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(UnknownName, match=r"no outcome 'resolvd'.*Did you mean 'resolved'.*'paid', 'reopened'"):
        NAMES.final_at("resolvd", NOW)


@pytest.mark.parametrize(
    "document",
    [{"completed": ["paid"], "undone": ["paid"]}, {"completed": [" "]}, {"completed": ["x" * 61]}, {"paid": []}],
)
def test_names_that_cannot_be_told_apart_are_refused(document):
    with pytest.raises(ValidationError):
        Outcomes.model_validate(document)


@pytest.mark.parametrize(
    ("said", "instant"),
    [
        ("2026-11-24", "2026-11-24T00:00:00+00:00"),
        ("2026-11-24T17:00:00+01:00", "2026-11-24T16:00:00+00:00"),
        (" 2026-11-24 17:00 ", "2026-11-24T17:00:00+00:00"),
        (datetime(2026, 11, 24, 17), "2026-11-24T17:00:00+00:00"),
    ],
)
def test_instants_are_read_as_utc_unless_they_say_otherwise(said, instant):
    assert read_instant(said).isoformat() == instant


@pytest.mark.parametrize("said", ["24.11.2026", "11/24/2026", "", None, "soon", "0001-01-01T00:00:00+14:00"])
def test_what_could_be_two_dates_is_none(said):
    with pytest.raises(ValueError, match="is no date"):
        read_instant(said)


def test_amounts_are_exact_and_everything_else_is_refused():
    assert [read_value(said) for said in ("12.50", 3, "", None, " ")] == [
        Decimal("12.50"),
        Decimal(3),
        None,
        None,
        None,
    ]
    for said in ("1,234.50", "NaN", "inf", "twelve"):
        with pytest.raises(ValueError, match="is no amount"):
            read_value(said)
