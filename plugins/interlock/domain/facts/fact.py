"""
A number with its provenance: what it says, over which rows of which reading, by which expression.

A fact's id is a digest of what it states and of the rows that it rests on. The same data give the same fact, whichever
run computes it; a row that changes gives a new one, and leaves the facts over other rows as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from interlock.domain.base.canonical import digest
from interlock.domain.base.period import Period

Kind = Literal[
    "value", "previous", "last_year", "target", "change", "change_percent", "contribution", "share", "expected", "rows"
]
"""
``contribution``: a segment's part of a change; ``share``: a segment's part of a value; ``expected``: what an anomaly is
compared with; ``rows``: how many rows a value rests on.
"""

ID_LENGTH = 16


class Fact(BaseModel):
    """A number that a report may state."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = ""
    name: str
    """``spend.change``, unique with its segment in a run."""
    indicator: str
    kind: Kind
    label: str
    """What people call it: ``Spend, change on the week before``."""
    value: Decimal | None
    """None: it is withheld."""
    unit: str = ""
    """``USD``, ``%``, ``orders``: written after the number. Percent values are 0 to 100."""
    decimals: int = 2
    """How many digits after the point are shown."""
    segment: dict[str, str] = Field(default_factory=dict)
    """Column to value, where it is about a part of the rows."""
    period: str
    period_start: datetime
    period_end: datetime
    as_of: datetime
    dataset: str
    reading: str
    """Id of the reading that its rows are in."""
    where: str
    """SQL condition that picks its rows from the reading's snapshot."""
    expression: str
    """SQL aggregate over those rows, or how it follows from ``inputs``."""
    rows: int
    rows_digest: str
    """Over the rows, whatever their order."""
    inputs: tuple[str, ...] = ()
    """Ids of the facts that it is computed from; a fact without any is computed from rows."""
    transformations: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Expectations of severity ``warning`` that the reading failed, and how many rows of its periods are missing."""
    confidence: float | None = None
    confidence_basis: str = ""
    withheld: str = ""
    """Why there is no value."""

    def identified(self) -> Fact:
        """Return it with its id."""
        stated = {
            "name": self.name,
            "segment": self.segment,
            "value": None if self.value is None else str(self.value.normalize()),
            "unit": self.unit,
            "period": (self.period_start, self.period_end),
            "dataset": self.dataset,
            "where": self.where,
            "expression": self.expression,
            "rows": (self.rows, self.rows_digest),
            "inputs": self.inputs,
            "withheld": self.withheld,
        }
        return self.model_copy(update={"id": digest(stated)[:ID_LENGTH]})

    @property
    def shown(self) -> str:
        """The value as a report writes it: ``12,345.60 USD``, ``3.1%``."""
        return show_number(self.value, self.unit, self.decimals)

    @property
    def remarks(self) -> list[str]:
        """Those of its warnings that name its period: they stand beside the figure."""
        return [warning for warning in self.warnings if self.period in warning]


def show_number(value: Decimal | None, unit: str = "", decimals: int = 2) -> str:
    """Return *value* for people, rounded half to even; ``n/a`` when there is none."""
    if value is None:
        return "n/a"
    rounded = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    text = f"{rounded + 0:,}"  # + 0: no minus before a zero
    if unit == "%":
        return f"{text}%"
    return f"{text} {unit}" if unit else text


def of_period(period: Period) -> dict[str, Any]:
    """Return a fact's fields that say when."""
    return {"period": period.label, "period_start": period.start, "period_end": period.end}


def by_name(facts: Mapping[str, Fact] | list[Fact]) -> dict[str, Fact]:
    """Return the facts without a segment by name."""
    found = facts.values() if isinstance(facts, Mapping) else facts
    return {fact.name: fact for fact in found if not fact.segment}
