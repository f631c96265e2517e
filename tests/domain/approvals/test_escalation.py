"""The steps of a gate that nobody answers, in working hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from interlock.domain.approvals.escalation import Ladder, all_away
from interlock.domain.base.calendar import parse_calendar
from pydantic import ValidationError

CALENDAR = parse_calendar(
    {
        "hours": dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), "09:00-17:00"),
        "away": {
            "lea": [{"from": "2026-03-02", "to": "2026-03-06"}],
            "leo": [{"from": "2026-03-03", "to": "2026-03-03"}],
        },
    }
)
LADDER = Ladder.model_validate(
    {
        "remind": "4h",
        "reassign": {"after": "1d", "to": "others"},
        "escalate": {"after": "2d", "to": "heads"},
        "expire": "5d",
    }
)
FRIDAY = datetime(2026, 2, 27, 15, 0, tzinfo=UTC)


def test_hours_in_which_nobody_works_do_not_count():
    assert LADDER.due(FRIDAY, FRIDAY + timedelta(hours=60), CALENDAR, ()) == []
    monday = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
    assert LADDER.due(FRIDAY, monday - timedelta(minutes=1), CALENDAR, ()) == []
    assert LADDER.due(FRIDAY, monday, CALENDAR, ()) == ["remind"]


def test_what_is_asked_while_nobody_works_counts_from_the_next_opening():
    saturday, monday = datetime(2026, 2, 28, 15, 0, tzinfo=UTC), datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    assert LADDER.due(saturday, monday + timedelta(hours=4), CALENDAR, ()) == ["remind"]
    assert LADDER.due(saturday, monday + timedelta(hours=23), CALENDAR, ["remind"]) == []
    assert LADDER.due(saturday, monday + timedelta(hours=24), CALENDAR, ["remind"]) == ["reassign"]


def test_a_step_is_taken_once():
    later = FRIDAY + timedelta(days=3)
    assert LADDER.due(FRIDAY, later, CALENDAR, ["remind"]) == ["reassign"]
    assert LADDER.due(FRIDAY, later, CALENDAR, ["remind", "reassign"]) == []
    assert LADDER.due(FRIDAY, later, CALENDAR, ["reassign"]) == []  # the reminder was passed over


def test_when_several_were_missed_nobody_is_reminded_of_what_expires():
    assert LADDER.due(FRIDAY, FRIDAY + timedelta(days=30), CALENDAR, ()) == ["reassign", "escalate", "expire"]


def test_a_gate_without_a_ladder_waits_for_ever():
    assert Ladder().due(FRIDAY, FRIDAY + timedelta(days=3000), CALENDAR, ()) == []


@pytest.mark.parametrize(
    "ladder",
    [
        {"remind": "2d", "expire": "1d"},
        {"remind": "4h", "escalate": {"after": "4h", "to": "heads"}},
        {"remind": "soon"},
    ],
)
def test_a_ladder_climbs(ladder):
    with pytest.raises(ValidationError):
        Ladder.model_validate(ladder)


def test_a_ladder_climbs_in_the_hours_of_the_company_too():
    ladder = Ladder.model_validate({"escalate": {"after": "20h", "to": "heads"}, "expire": "2d"})

    assert ladder.out_of_order(parse_calendar(None)) is None
    assert ladder.out_of_order(CALENDAR) == "expire does not come after escalate"


def test_everybody_is_away_when_each_of_them_is():
    assert not all_away(["lea", "leo"], datetime(2026, 3, 2, 12, tzinfo=UTC), CALENDAR)
    assert all_away(["lea", "leo"], datetime(2026, 3, 3, 12, tzinfo=UTC), CALENDAR)
    assert not all_away([], datetime(2026, 3, 3, 12, tzinfo=UTC), CALENDAR)
