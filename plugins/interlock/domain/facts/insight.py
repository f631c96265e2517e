"""
Which facts of a period are worth attention, by the rules of ``insights.yaml``, and how far to trust each finding.

A rule's confidence is its record: it is applied to every earlier period of the data, and how often what it claims was
still so afterwards is counted. A rule that fired too seldom has no confidence, which counts as uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from cel_expr_python import cel
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.domain.base.contract import explain
from interlock.domain.base.expression import Expression
from interlock.errors import ConfigurationError

VARIABLES: dict[str, Any] = {
    "value": cel.Type.DOUBLE,
    "previous": cel.Type.DOUBLE,
    "change": cel.Type.DOUBLE,
    "change_percent": cel.Type.DOUBLE,
    "last_year": cel.Type.DOUBLE,
    "target": cel.Type.DOUBLE,
    "gap": cel.Type.DOUBLE,
    "expected": cel.Type.DOUBLE,
    "anomaly": cel.Type.BOOL,
    "indicator": cel.Type.STRING,
}
"""
What a rule may read: numbers of the indicator in the period; ``expected`` and ``anomaly`` where anomalies are looked
for.
"""
AFTERWARDS = {**VARIABLES, "next": cel.Type.DOUBLE}
"""What ``holds_when`` may read: beside those, the value of the period after."""
ENOUGH = 5
"""A rule that fired less often has no record."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InsightRule(_Frozen):
    """When a case is made of an indicator's facts, and what it says."""

    name: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_]*$")
    indicators: tuple[str, ...] = Field(min_length=1)
    when: str = Field(min_length=1)
    """CEL over :data:`VARIABLES`."""
    title: str = Field(min_length=1)
    """Jinja: ``say('spend.change')`` writes a fact's number, ``who('spend.by.vendor.1')`` its segment."""
    recommendation: str = Field(min_length=1)
    assumptions: tuple[str, ...] = ()
    severity: Literal["info", "notable", "urgent"] = "notable"
    subject: str = ""
    """Who decides on it; default: the indicator's ``owner``."""
    once: Literal["period", "alarm"] = "period"
    """One case a period, or one for each anomaly, whatever period notices it."""
    holds_when: str | None = None
    """CEL over :data:`AFTERWARDS`: whether the claim was still so in the period after. Default: no record is kept."""

    @cached_property
    def fires(self) -> Expression:
        """``when``, compiled."""
        return Expression(self.when, VARIABLES)

    @cached_property
    def holds(self) -> Expression | None:
        """``holds_when``, compiled."""
        return Expression(self.holds_when, AFTERWARDS) if self.holds_when else None


class ReviewOf(_Frozen):
    """A review of each period."""

    title: str = Field(min_length=1)
    kpis: tuple[str, ...] = Field(min_length=1)
    subject: str = ""


class Insights(_Frozen):
    """``insights.yaml``."""

    kpis: tuple[str, ...] = Field(min_length=1)
    """Names of ``kpis/<name>.yaml``."""
    review: ReviewOf | None = None
    insights: tuple[InsightRule, ...] = ()


def parse_insights(document: Any, *, where: str = "insights.yaml") -> Insights:
    """
    Return the insights of a parsed YAML *document*, with every rule compiled.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    :raises PolicyError: a rule that does not compile.
    """
    try:
        found = Insights.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None
    names = [rule.name for rule in found.insights]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{where}: two insights are called {twice[0]!r}")
    for rule in found.insights:
        _ = rule.fires, rule.holds
    return found


@dataclass(frozen=True, kw_only=True)
class History:
    """An indicator's values up to now, the last of them of the present period."""

    indicator: str
    values: Sequence[float | None]
    year: int = 0
    """How many periods a year has, 0 when a year is not looked back."""
    target: float | None = None
    expected: Sequence[float | None] = ()
    alarms: frozenset[int] = frozenset()
    """Where anomalies began. Empty, too, where none are looked for: see ``expected``."""

    def at(self, index: int) -> dict[str, Any]:
        """Return what a rule reads of the period *index*; unknown values are omitted."""
        value, previous = self.values[index], self.values[index - 1] if index else None
        year = self.values[index - self.year] if self.year and index >= self.year else None
        known: dict[str, Any] = {
            "indicator": self.indicator,
            "value": value,
            "previous": previous,
            "last_year": year,
            "target": self.target,
            "expected": self.expected[index] if self.expected else None,
            "anomaly": index in self.alarms,
        }
        if value is not None and previous is not None:
            known["change"] = value - previous
            is_of_one_sign = previous > 0 and value >= 0  # else it has no percentage, as a fact has none
            known["change_percent"] = 100 * (value - previous) / previous if is_of_one_sign else None
        if value is not None and self.target is not None:
            known["gap"] = value - self.target
        return {name: found for name, found in known.items() if found is not None}


@dataclass(frozen=True)
class Record:
    """How often a rule's claims held."""

    fired: int
    held: int

    @property
    def confidence(self) -> float | None:
        """The chance that the next one holds: Laplace's rule of succession; None while it is hardly known."""
        return (self.held + 1) / (self.fired + 2) if self.fired >= ENOUGH else None

    def basis(self, period: str) -> str:
        """Return what the confidence rests on, in words."""
        if self.fired < ENOUGH:
            return f"it applied in {self.fired} earlier {period}s, too few to say how often it holds"
        return (
            f"it still held a {period} later in {self.held} of the {self.fired} earlier {period}s in which it applied"
        )


def record_of(rule: InsightRule, history: History) -> Record:
    """Apply *rule* to every period before the present one whose next period is known."""
    fired = held = 0
    if rule.holds is None:
        return Record(0, 0)
    for index in range(1, len(history.values) - 1):
        following = history.values[index + 1]
        known: Mapping[str, Any] = history.at(index)
        if following is None or rule.fires.evaluate(known).value is not True:
            continue
        fired += 1
        held += rule.holds.evaluate({**known, "next": following}).value is True
    return Record(fired, held)
