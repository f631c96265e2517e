from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from interlock.domain.base.contract import Contract, accept, check_payload, contract_digest, variable_prefix
from interlock.errors import ContractViolation
from pydantic import AwareDatetime, BaseModel, Field, field_validator


class Ticket(Contract):
    key: str = Field(min_length=1)
    amount: float = 0.0


def test_a_good_payload_becomes_the_contract():
    assert check_payload(Ticket, {"key": "a"}) == Ticket(key="a")
    assert Ticket.contract_ref() == "Ticket@1"


def test_a_violation_names_every_field_and_none_of_the_values():
    with pytest.raises(ContractViolation, match="does not satisfy contract Ticket@1") as caught:
        check_payload(Ticket, {"key": "", "amount": "secret-value", "colour": "hidden"})

    told = str(caught.value)
    assert [line.split(":")[0] for line in caught.value.problems] == ["key", "amount", "colour"]
    assert "secret-value" not in told
    assert "hidden" not in told


def test_a_contract_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Ticket(key="a").key = "b"


def test_the_digest_changes_with_fields_bounds_version_and_name():
    def variant(name: str, version: str = "1", bound: int = 1, kind: type = float) -> str:
        return contract_digest(
            type(
                name,
                (Contract,),
                {
                    "__annotations__": {"key": str, "amount": kind},
                    "key": Field(min_length=bound),
                    "amount": kind(0),
                    "contract_version": version,
                    "__module__": __name__,
                },
            )
        )

    same = variant("Ticket")
    assert variant("Ticket") == same
    assert (
        len({same, variant("Order"), variant("Ticket", "2"), variant("Ticket", bound=2), variant("Ticket", kind=int)})
        == 5
    )


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("Triage", "triage"), ("SupportReply", "support_reply"), ("A1B", "a1_b"), ("HTTPCall", "httpcall"), ("x", "x")],
)
def test_a_contract_is_named_in_snake_case_in_rules(name: str, prefix: str):
    assert variable_prefix(name) == prefix


class Span(BaseModel):
    start: date | None = None
    type: str = "date"


class Timed(Contract):
    day: date | None = None
    at: datetime | None = None
    aware: AwareDatetime | None = None
    clock: time | None = None
    length: timedelta | None = None
    days: list[date] = []
    by_name: dict[str, Span] = {}
    either: date | str | None = None
    loose: Any = None
    amount: float = 0.0
    before: Timed | None = None


NUMBERS = (
    0,
    46082,
    46082.5,
    Decimal(46082),
    True,
    "46082",
    "1772355600",
    " 46082 ",
    "1e5",
    "-5",
    b"46082",
    "1_000",
    "nan",
)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "place",
    [
        lambda value: {"day": value},
        lambda value: {"at": value},
        lambda value: {"aware": value},
        lambda value: {"clock": value},
        lambda value: {"length": value},
        lambda value: {"days": ["2026-03-01", value]},
        lambda value: {"by_name": {"a": {"start": value}}},
        lambda value: {"before": {"before": {"at": value}}},
    ],
)
def test_a_bare_number_is_no_time_wherever_it_stands(place, number):
    """pydantic takes it for seconds since 1970."""
    with pytest.raises(ContractViolation, match="a bare number is not"):
        accept(Timed, place(number))


@pytest.mark.parametrize("compact", ["20260301", 20260301, " 20260301 ", b"20260301"])
def test_a_compact_date_is_the_date_that_it_is(compact):
    found = accept(Timed, {"day": compact, "at": compact, "days": [compact]})

    assert (found["day"], found["at"], found["days"]) == ("2026-03-01", "2026-03-01T00:00:00Z", ["2026-03-01"])
    with pytest.raises(ContractViolation, match="bare number"):
        accept(Timed, {"day": "20261301"})


def test_times_that_are_written_as_such_are_read_as_before():
    given = {
        "day": date(2026, 3, 1),
        "at": "2026-03-01T09:00:00+01:00",
        "aware": datetime(2026, 3, 1, tzinfo=UTC),
        "clock": "09:30",
        "length": "PT90S",
        "either": "46082",
    }

    assert accept(Timed, given) == check_payload(Timed, given).model_dump(mode="json")
    assert accept(Timed, {"at": "2026-03-01T09:00:00"})["at"] == "2026-03-01T09:00:00Z"
    with pytest.raises(ContractViolation, match="aware: Input should have timezone info"):
        accept(Timed, {"aware": "2026-03-01T09:00:00"})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"amount": "1e999"}, "amount: is not a finite number"),
        ({"loose": float("inf")}, "loose: is not a finite number"),
        ({"loose": {"a": ["\ud800"]}}, "loose.a.0: holds half of a character"),
        ({"loose": 2**64}, "loose: is a whole number of more than 64 bits"),
        ({"loose": object()}, "cannot be written as JSON"),
        ({"\ud800": 1}, "unable to parse raw data"),
        (["no", "mapping"], "cannot be validated"),
        (None, "cannot be validated"),
    ],
)
def test_what_a_contract_takes_must_pass_the_door_as_well(given, problem):
    with pytest.raises(ContractViolation, match=problem) as refused:
        accept(Timed, given)

    assert str(refused.value).isprintable()


def test_a_validator_that_breaks_costs_its_own_payload():
    class Broken(Contract):
        number: int

        @field_validator("number")
        @classmethod
        def _divides(cls, value: int) -> int:
            return 1 // value

    assert accept(Broken, {"number": 1}) == {"number": 1}
    with pytest.raises(ContractViolation, match="cannot be validated: ZeroDivisionError"):
        accept(Broken, {"number": 0})
