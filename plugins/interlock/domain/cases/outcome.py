"""
What the business got from a case: the names that a workflow gives its outcomes, and what undoes what.

An outcome that completes a case is provisional until its dispute window has passed. One that undoes counts when it
happened within that window; afterwards it is kept and changes nothing, so a figure of a closed month stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from interlock.domain.base.duration import Duration
from interlock.errors import UnknownName

OutcomeStatus = Literal["provisional", "final", "undone", "undoes", "too late"]
"""The first three of an outcome that completes, the others of one that undoes."""
LONGEST_NAME = 60


class Outcomes(BaseModel):
    """The outcomes that cases of a workflow can have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    completed: tuple[str, ...] = ()
    """The business got what it wanted; an executed case is closed by one."""
    undone: tuple[str, ...] = ()
    """It did not last: reopened, disputed, returned."""
    dispute_window: Duration = Field(default=timedelta(days=14), ge=timedelta(0))
    """How long after it happened an outcome can be undone."""

    @model_validator(mode="after")
    def _distinct(self) -> Outcomes:
        names = (*self.completed, *self.undone)
        for name in names:
            if not name.strip() or len(name) > LONGEST_NAME:
                raise ValueError(f"outcome {name!r} needs a name of at most {LONGEST_NAME} characters")
            if names.count(name) > 1:
                raise ValueError(f"outcome {name!r} is listed twice")
        return self

    def final_at(self, name: str, happened_at: datetime) -> datetime | None:
        """
        Return when outcome *name* can no longer be undone; None when it is one that undoes.

        :raises UnknownName: the workflow has no such outcome.
        """
        if name in self.completed:
            return happened_at + self.dispute_window
        if name in self.undone:
            return None
        raise UnknownName("outcome", name, (*self.completed, *self.undone), where="outcomes of workflow.yaml")


@dataclass(frozen=True, kw_only=True)
class NewOutcome:
    """An outcome as it was reported, before its case is looked for."""

    business_key: str
    outcome: str
    happened_at: datetime
    final_at: datetime | None
    value: Decimal | None
    """In the workflow's own currency."""
    row: int
    source: str
    """Where it comes from: ``payments.csv, row 12``."""


class OutcomeTimes(Protocol):
    """What is read of an outcome that was recorded."""

    @property
    def happened_at(self) -> datetime: ...

    @property
    def final_at(self) -> datetime | None: ...


def outcome_status(row: OutcomeTimes, others: Iterable[OutcomeTimes], now: datetime) -> OutcomeStatus:
    """
    Return the status of an outcome at the instant *now*.

    :param others: all outcomes of its case, itself among them or not.
    """
    if row.final_at is None:
        return "undoes" if any(undoes(row, other) for other in others) else "too late"
    if any(undoes(other, row) for other in others):
        return "undone"
    return "provisional" if now < row.final_at else "final"


def undoes(row: OutcomeTimes, completed: OutcomeTimes) -> bool:
    """Return whether outcome *row* undoes *completed*: it happened within its dispute window."""
    return (
        row.final_at is None
        and completed.final_at is not None
        and completed.happened_at <= row.happened_at <= completed.final_at
    )


def read_instant(value: Any) -> datetime:
    """
    Return *value* as an instant; a date alone is its midnight, and what names no time zone is UTC.

    :raises ValueError: it is none.
    """
    if isinstance(value, datetime):
        instant = value
    elif isinstance(value, date):
        instant = datetime.combine(value, time())
    else:
        try:
            instant = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise ValueError(f"{value!r} is no date; write 2026-11-24 or 2026-11-24T17:00:00+01:00") from None
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value!r} is no date that can be counted with") from None


MOST_DIGITS = 20
"""Before or behind the point of an amount."""


def read_value(value: Any) -> Decimal | None:
    """
    Return *value* as an amount; None when it is empty.

    :raises ValueError: it is no number.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or len(str(amount)) > 40 or abs(amount.adjusted()) > MOST_DIGITS:
        raise ValueError(f"{text!r} is no amount; write 1234.50")
    return amount
