"""
From indicators to facts: the value of a period, what it is held against, the change, and what explains it.

Facts over rows carry a condition and an expression that give the value again; all others carry the formula over the
facts that they follow from. Nothing is stated that cannot be done again from the snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from interlock.analysis.measure import Measured, Table, of_segment, within
from interlock.domain.base.period import Period, Periods
from interlock.domain.facts.fact import Fact, Kind, of_period
from interlock.domain.facts.formula import compute
from interlock.domain.facts.indicator import Indicator, Kpis

PERIOD_WORDS = {
    "day": "day",
    "week": "week",
    "month": "month",
    "quarter": "quarter",
    "hour": "hour",
}


@dataclass
class Stating:
    """States the facts of one set of KPIs for one period."""

    kpis: Kpis
    table: Table
    periods: Periods
    period: Period
    as_of: datetime
    reading: str
    warnings: tuple[str, ...] = ()
    facts: list[Fact] = field(default_factory=list)

    def state_all(self) -> list[Fact]:
        """State every indicator; return the facts."""
        for name, indicator in self.kpis.indicators.items():
            self._state(name, indicator)
        return self.facts

    def withhold_all(self, why: str) -> list[Fact]:
        """State of every indicator that its value is withheld, because of *why*; return the facts."""
        for name, indicator in self.kpis.indicators.items():
            self._add(name, indicator, name, "value", indicator.title, None, expression="", withheld=why)
        return self.facts

    def _state(self, name: str, indicator: Indicator) -> None:
        value = self.over_rows(name, indicator, name, "value", indicator.title, self.period)
        before = self.periods.before(self.period)
        for comparison in indicator.compare:
            if comparison == "target":
                target = self._add(
                    name,
                    indicator,
                    f"{name}.target",
                    "target",
                    f"{indicator.title}, target",
                    indicator.target,
                    expression=f"target of {name} in kpis/{self.kpis.kpis}.yaml",
                )
                self._change(name, indicator, "gap", f"{indicator.title} against target", value, target)
                continue
            word = self._word(comparison)
            other = before if comparison == "previous" else self.periods.year_before(self.period)
            kind: Kind = "previous" if comparison == "previous" else "last_year"
            base = self.over_rows(name, indicator, f"{name}.{kind}", kind, f"{indicator.title}, {word}", other)
            suffix = "change" if comparison == "previous" else "change_on_year"
            self._change(name, indicator, suffix, f"{indicator.title}, change on the {word}", value, base)
        for column in indicator.explain:
            self._explain(name, indicator, column, value, before if "previous" in indicator.compare else None)

    def _word(self, comparison: str) -> str:
        period = PERIOD_WORDS.get(self.kpis.period, "period")
        return f"{period} before" if comparison == "previous" else f"same {period} of the year before"

    def over_rows(
        self,
        indicator_name: str,
        indicator: Indicator,
        name: str,
        kind: Kind,
        label: str,
        period: Period,
        *,
        expression: str | None = None,
        segment: dict[str, str] | None = None,
        unit: str | None = None,
    ) -> Fact:
        """State an aggregate over the rows of *period*."""
        parts = [within(period), *([f"({indicator.where})"] if indicator.where else [])]
        parts += [of_segment(column, value) for column, value in (segment or {}).items()]
        where = " AND ".join(parts)
        measured = self.table.measure(expression or indicator.expression, where)
        return self._add(
            indicator_name,
            indicator,
            name,
            kind,
            label,
            measured.value,
            measured=measured,
            where=where,
            period=period,
            expression=expression or indicator.expression,
            segment=segment or {},
            unit=unit,
            withheld=measured.why_none and f"{label}: {measured.why_none} in {period.label}",
        )

    def follow(
        self,
        indicator_name: str,
        indicator: Indicator,
        name: str,
        kind: Kind,
        label: str,
        formula: str,
        inputs: Sequence[Fact],
        **more: Any,
    ) -> Fact:
        """State what follows from other facts."""
        value = compute(formula, [fact.value for fact in inputs])
        why = next((fact.withheld for fact in inputs if fact.withheld), f"{label}: it is divided by zero")
        return self._add(
            indicator_name,
            indicator,
            name,
            kind,
            label,
            value,
            expression=formula,
            inputs=tuple(fact.id for fact in inputs),
            withheld=why if value is None else "",
            **more,
        )

    def _change(self, name: str, indicator: Indicator, suffix: str, label: str, value: Fact, base: Fact) -> None:
        points = "percentage points" if indicator.unit == "%" else None
        self.follow(name, indicator, f"{name}.{suffix}", "change", label, "a - b", [value, base], unit=points)
        if indicator.unit != "%":
            self.follow(
                name,
                indicator,
                f"{name}.{suffix}_percent",
                "change_percent",
                f"{label}, in percent",
                "100 * (a - b) / b",
                [value, base],
                unit="%",
                decimals=1,
            )

    def _explain(self, name: str, indicator: Indicator, column: str, value: Fact, before: Period | None) -> None:
        """Take the total apart by the values of *column*: the largest, and those that explain the change most."""
        parts = [indicator.value, *([indicator.per] if indicator.per else [])]
        condition = f" AND ({indicator.where})" if indicator.where else ""
        now = self.table.by_segment(parts, column, within(self.period) + condition)
        then = self.table.by_segment(parts, column, within(before) + condition) if before else {}
        if indicator.per is None:
            largest = sorted(now, key=lambda segment: (-(now[segment][0] or 0), segment))[: indicator.top]
            for rank, segment in enumerate(largest, 1):
                part = self._segment_value(name, indicator, column, segment, self.period)
                self.follow(
                    name,
                    indicator,
                    f"{name}.share.{column}.{rank}",
                    "share",
                    f"{indicator.title}, share of {segment}",
                    "100 * a / b",
                    [part, value],
                    segment={column: segment},
                    unit="%",
                    decimals=1,
                )
        if before is None or value.value is None:
            return
        effects = {s: _effect(now.get(s), then.get(s), _total(now), _total(then)) for s in {*now, *then}}
        ranked = sorted((s for s in effects if effects[s]), key=lambda s: (-abs(effects[s]), s))[: indicator.top]
        for rank, segment in enumerate(ranked, 1):
            self._contribution(name, indicator, column, segment, rank, before)

    def _contribution(
        self, name: str, indicator: Indicator, column: str, segment: str, rank: int, before: Period
    ) -> None:
        label = f"{indicator.title}, part of {segment} in the change"
        where = {"segment": {column: segment}}
        fact_name = f"{name}.by.{column}.{rank}"
        if indicator.per is None:
            now = self._segment_value(name, indicator, column, segment, self.period)
            then = self._segment_value(name, indicator, column, segment, before)
            self.follow(name, indicator, fact_name, "contribution", label, "a - b", [now, then], **where)
            return
        inputs = [
            self._part(name, indicator, part, period, {column: segment} if is_segment else {})
            for period in (self.period, before)
            for part in ("numerator", "denominator")
            for is_segment in (True, False)
        ]
        was, is_now = bool(inputs[6].value), bool(inputs[2].value)
        formula = RATIO_EFFECT if was and is_now else RATIO_EFFECT_OF_NEW if is_now else RATIO_EFFECT_OF_GONE
        self.follow(
            name,
            indicator,
            fact_name,
            "contribution",
            label,
            formula.format(scale=indicator.scale),
            inputs,
            unit="percentage points" if indicator.unit == "%" else None,
            **where,
        )

    def _part(self, name: str, indicator: Indicator, part: str, period: Period, segment: dict[str, str]) -> Fact:
        """State the numerator or the denominator of a ratio."""
        when = "now" if period == self.period else "before"
        return self.over_rows(
            name,
            indicator,
            ".".join([name, part, when, *segment]),
            "value",
            f"{indicator.title}, {part}" + "".join(f" of {value}" for value in segment.values()),
            period,
            expression=f"coalesce({indicator.value if part == 'numerator' else indicator.per}, 0)",
            segment=segment,
            unit="",
        )

    def _segment_value(self, name: str, indicator: Indicator, column: str, segment: str, period: Period) -> Fact:
        when = "now" if period == self.period else "before"
        return self.over_rows(
            name,
            indicator,
            f"{name}.of.{column}.{when}",
            "value",
            f"{indicator.title} of {segment}",
            period,
            expression=f"coalesce({indicator.value}, 0)",
            segment={column: segment},
        )

    def _add(
        self,
        indicator_name: str,
        indicator: Indicator,
        name: str,
        kind: Kind,
        label: str,
        value: Decimal | None,
        *,
        expression: str,
        measured: Measured | None = None,
        where: str = "",
        period: Period | None = None,
        segment: dict[str, str] | None = None,
        inputs: tuple[str, ...] = (),
        unit: str | None = None,
        decimals: int | None = None,
        withheld: str = "",
    ) -> Fact:
        fact = Fact(
            name=name,
            indicator=indicator_name,
            kind=kind,
            label=label,
            value=value,
            unit=indicator.unit if unit is None else unit,
            decimals=indicator.decimals if decimals is None else decimals,
            segment=segment or {},
            **of_period(period or self.period),
            as_of=self.as_of,
            dataset=self.kpis.dataset,
            reading=self.reading,
            where=where,
            expression=expression,
            rows=measured.rows if measured else 0,
            rows_digest=measured.digest if measured else "",
            inputs=inputs,
            transformations=(f"rows where {indicator.where}",) if indicator.where else (),
            assumptions=indicator.assumptions,
            warnings=self.warnings,
            withheld=withheld,
        ).identified()
        same = next((one for one in self.facts if one.id == fact.id), None)
        if same is not None:
            return same
        self.facts.append(fact)
        return fact


_MEAN_OF_ALL = "(b / d + f / h) / 2"
RATIO_EFFECT = (
    "{scale} * (((a / c + e / g) / 2 - " + _MEAN_OF_ALL + ") * (c / d - g / h) + (c / d + g / h) / 2 * (a / c - e / g))"
)
"""
A segment's part in the change of a ratio: how much more its weight counts for being better or worse than all, and the
change of its own ratio at its mean weight. Over all segments these parts add up to the change of the ratio.

``a`` and ``b`` are the numerators now, of the segment and of all, ``c`` and ``d`` the denominators; ``e`` to ``h`` the
same before. A segment that was not there before, or is not now, has the one ratio that it has.
"""
RATIO_EFFECT_OF_NEW = "{scale} * (a / c - " + _MEAN_OF_ALL + ") * c / d"
RATIO_EFFECT_OF_GONE = "0 - {scale} * (e / g - " + _MEAN_OF_ALL + ") * g / h"


def _total(parts: dict[str, list[Decimal | None]]) -> list[Decimal]:
    width = max((len(values) for values in parts.values()), default=0)
    return [sum((values[i] or Decimal(0) for values in parts.values()), Decimal(0)) for i in range(width)]


def _effect(
    now: list[Decimal | None] | None, then: list[Decimal | None] | None, all_now: list[Decimal], all_then: list[Decimal]
) -> Decimal:
    """How much of a change a segment explains, to rank segments by."""
    new, old = [part or Decimal(0) for part in now or []], [part or Decimal(0) for part in then or []]
    if max(len(new), len(old)) < 2:
        return sum(new, Decimal(0)) - sum(old, Decimal(0))
    new, old = new or [Decimal(0)] * 2, old or [Decimal(0)] * 2
    if not (all_now[1:] and all_then[1:] and all_now[1] and all_then[1]) or not (new[1] or old[1]):
        return Decimal(0)
    formula = RATIO_EFFECT if new[1] and old[1] else RATIO_EFFECT_OF_NEW if new[1] else RATIO_EFFECT_OF_GONE
    given = (new[0], all_now[0], new[1], all_now[1], old[0], all_then[0], old[1], all_then[1])
    return compute(formula.format(scale=1), given) or Decimal(0)
