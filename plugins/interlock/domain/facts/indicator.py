"""
The KPIs of a dataset, as ``kpis/<name>.yaml`` declares them: what is measured, and compared with what.

An indicator is a SQL aggregate over the rows of a period, or a ratio of two. Ratios are declared as such, because what
explains a change of a ratio is the segments' own ratios and their weights, which a finished quotient does not show.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from interlock.domain.base.contract import explain
from interlock.domain.base.period import Grain, Periods, Weekday
from interlock.domain.data.dataset import IDENTIFIER
from interlock.domain.facts.anomaly import Detector
from interlock.errors import ConfigurationError, UnknownName

Comparison = Literal["previous", "last_year", "target"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Indicator(_Frozen):
    """One KPI."""

    title: str = Field(min_length=1)
    value: str = Field(min_length=1)
    """SQL aggregate over the rows of a period: ``sum(amount)``."""
    per: str | None = None
    """SQL aggregate that it is divided by. With unit ``%``, the quotient counts a hundredfold."""
    where: str | None = None
    """SQL condition on the rows that count."""
    unit: str = ""
    decimals: int = Field(default=2, ge=0, le=6)
    good: Literal["up", "down", "none"] = "none"
    """The direction that is better."""
    compare: tuple[Comparison, ...] = ("previous",)
    target: Decimal | None = None
    explain: tuple[str, ...] = ()
    """Columns by whose values a change is taken apart, and a total shared out."""
    top: int = Field(default=3, ge=1, le=20)
    """How many values of each such column are stated."""
    owner: str = ""
    """Who owns the decision that it informs: a group or a person, for ``case_owner``."""
    assumptions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_its_target(self) -> Indicator:
        if "target" in self.compare and self.target is None:
            raise ValueError("is compared with a target, and there is none")
        return self

    @property
    def scale(self) -> int:
        """What a quotient is multiplied by."""
        return 100 if self.per is not None and self.unit == "%" else 1

    @property
    def expression(self) -> str:
        """The SQL aggregate of the whole."""
        if self.per is None:
            return self.value
        factor = f"{self.scale} * " if self.scale != 1 else ""
        return f"{factor}({self.value}) / ({self.per})"


_ADDITIVE = re.compile(r"\b(?:sum|count|count_if|countif|count_star)\s*\(", re.IGNORECASE)


def is_splittable(aggregate: str) -> bool:
    """
    Return whether the values of *aggregate* over parts of the rows add up to its value over all of them.

    Sums and counts do, and what is added and subtracted of them or multiplied by a number; counts of distinct values,
    averages, quotients, extremes and medians do not, though they may on some rows.
    """
    left = re.sub(r"'(?:[^']|'')*'", "''", aggregate)
    while match := _ADDITIVE.search(left):
        depth, end = 1, match.end()
        while depth and end < len(left):
            depth += {"(": 1, ")": -1}.get(left[end], 0)
            end += 1
        if re.match(r"\s*distinct\b", left[match.end() : end], re.IGNORECASE):
            return False
        rest = re.sub(r"^\s*filter\s*\((?:[^()]|\([^()]*\))*\)", "", left[end:], flags=re.IGNORECASE)
        left = f"{left[: match.start()]}@{rest}"
    left = re.sub(r"\bcoalesce\s*\(\s*@\s*,\s*0\s*\)", "@", left, flags=re.IGNORECASE)
    if not re.fullmatch(r"[@\d.\s()+*/-]*", left) or "@" not in left:
        return False
    return not re.search(r"/[\s(]*@|@[\s)]*\*[\s(]*@|[+-]\s*\d[\d.]*\s*(?![\d.\s]*[*/])|^\s*\d[\d.]*\s*[+-]", left)


class Kpis(_Frozen):
    """The indicators of one dataset, over the same periods."""

    kpis: str
    dataset: str
    period: Grain
    week_starts: Weekday = "monday"
    time_zone: str | None = None
    """Default: the dataset's."""
    history: int = Field(default=104, ge=2, le=50_000)
    """Periods that are looked back on, for charts and baselines."""
    anomalies: Detector | None = None
    """How anomalies are detected; default: not at all."""
    indicators: dict[str, Indicator] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Kpis:
        for name in self.indicators:
            if not re.match(IDENTIFIER, name):
                raise ValueError(f"indicator {name!r} needs a name of letters, digits and '_'")
        return self

    def periods(self, dataset_zone: str) -> Periods:
        """Return the calendar of its periods."""
        return Periods(grain=self.period, time_zone=self.time_zone or dataset_zone, week_starts=self.week_starts)

    def pick(self, name: str) -> Indicator:
        """
        Return the indicator *name*.

        :raises UnknownName: with the known ones and the nearest.
        """
        if name not in self.indicators:
            raise UnknownName("indicator", name, self.indicators, where=f"kpis/{self.kpis}.yaml")
        return self.indicators[name]


def parse_kpis(document: Any, *, where: str = "kpis") -> Kpis:
    """
    Return the KPIs of a parsed YAML *document*.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Kpis.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None
