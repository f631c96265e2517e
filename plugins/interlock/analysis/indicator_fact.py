"""
From indicators to facts: the value of a period, what it is compared with, the change, and what explains it.

Facts over rows carry a condition and an expression that give the value again; all others carry the formula over the
facts that they follow from. Nothing is stated that cannot be done again from the snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from interlock.analysis.measure import Aggregate, SnapshotTable, of_segment, within
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
    table: SnapshotTable
    periods: Periods
    period: Period
    as_of: datetime
    reading: str
    warnings: tuple[str, ...] = ()
    facts: list[Fact] = field(default_factory=list)

    def state_all(self) -> list[Fact]:
        """State every indicator; return the facts."""
        for name, indicator in self.kpis.indicators.items():
            _OfIndicator(self, name, indicator).state()
        return self.facts

    def withhold_all(self, why: str) -> list[Fact]:
        """State of every indicator that its value is withheld, because of *why*; return the facts."""
        for name, indicator in self.kpis.indicators.items():
            _OfIndicator(self, name, indicator).withhold(why)
        return self.facts


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """What a fact is about, and how its value is shown."""

    name: str
    kind: Kind
    label: str
    segment: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    """None: the indicator's."""
    decimals: int | None = None
    """None: the indicator's."""


@dataclass(frozen=True)
class _OfIndicator:
    """States the facts of one indicator."""

    stating: Stating
    name: str
    indicator: Indicator

    def state(self) -> None:
        """State its value, what that is compared with, the changes, and what explains them."""
        indicator, periods = self.indicator, self.stating.periods
        value = self._over_rows(self._value, self.stating.period)
        before = periods.before(self.stating.period)
        for comparison in indicator.compare:
            if comparison == "target":
                self._change("gap", f"{indicator.title} against target", value, self._target())
                continue
            word = self._word(comparison)
            other = before if comparison == "previous" else periods.year_before(self.stating.period)
            kind: Kind = "previous" if comparison == "previous" else "last_year"
            subject = _Subject(name=f"{self.name}.{kind}", kind=kind, label=f"{indicator.title}, {word}")
            suffix = "change" if comparison == "previous" else "change_on_year"
            self._change(suffix, f"{indicator.title}, change on the {word}", value, self._over_rows(subject, other))
        for column in indicator.explain:
            self._explain(column, value, before if "previous" in indicator.compare else None)

    def withhold(self, why: str) -> None:
        """State that its value is withheld, because of *why*."""
        self._add(self._value, None, expression="", withheld=why)

    @property
    def _value(self) -> _Subject:
        return _Subject(name=self.name, kind="value", label=self.indicator.title)

    def _target(self) -> Fact:
        subject = _Subject(name=f"{self.name}.target", kind="target", label=f"{self.indicator.title}, target")
        place = f"target of {self.name} in kpis/{self.stating.kpis.kpis}.yaml"
        return self._add(subject, self.indicator.target, expression=place)

    def _word(self, comparison: str) -> str:
        period = PERIOD_WORDS.get(self.stating.kpis.period, "period")
        return f"{period} before" if comparison == "previous" else f"same {period} of the year before"

    def _change(self, suffix: str, label: str, value: Fact, base: Fact) -> None:
        is_percent = self.indicator.unit == "%"
        self._follow(
            _Subject(
                name=f"{self.name}.{suffix}",
                kind="change",
                label=label,
                unit="percentage points" if is_percent else None,
            ),
            "a - b",
            [value, base],
        )
        if not is_percent:
            self._follow(
                _Subject(
                    name=f"{self.name}.{suffix}_percent",
                    kind="change_percent",
                    label=f"{label}, in percent",
                    unit="%",
                    decimals=1,
                ),
                "100 * (a - b) / b",
                [value, base],
            )

    def _explain(self, column: str, value: Fact, before: Period | None) -> None:
        """Take the total apart by the values of *column*: the largest, and those that explain the change most."""
        indicator, table = self.indicator, self.stating.table
        parts = [indicator.value, *([indicator.per] if indicator.per else [])]
        condition = f" AND ({indicator.where})" if indicator.where else ""
        now = table.by_segment(parts, column, within(self.stating.period) + condition)
        then = table.by_segment(parts, column, within(before) + condition) if before else {}
        if indicator.per is None:
            largest = sorted(now, key=lambda segment: (-(now[segment][0] or 0), segment))[: indicator.top]
            for rank, segment in enumerate(largest, 1):
                self._share(column, segment, rank, value)
        if before is None or value.value is None:
            return
        effects = {s: _effect(now.get(s), then.get(s), _total(now), _total(then)) for s in {*now, *then}}
        ranked = sorted((s for s in effects if effects[s]), key=lambda s: (-abs(effects[s]), s))[: indicator.top]
        for rank, segment in enumerate(ranked, 1):
            self._contribution(column, segment, rank, before)

    def _share(self, column: str, segment: str, rank: int, value: Fact) -> None:
        subject = _Subject(
            name=f"{self.name}.share.{column}.{rank}",
            kind="share",
            label=f"{self.indicator.title}, share of {segment}",
            segment={column: segment},
            unit="%",
            decimals=1,
        )
        self._follow(subject, "100 * a / b", [self._segment_value(column, segment, self.stating.period), value])

    def _contribution(self, column: str, segment: str, rank: int, before: Period) -> None:
        indicator, period = self.indicator, self.stating.period
        subject = _Subject(
            name=f"{self.name}.by.{column}.{rank}",
            kind="contribution",
            label=f"{indicator.title}, part of {segment} in the change",
            segment={column: segment},
            unit="percentage points" if indicator.per is not None and indicator.unit == "%" else None,
        )
        if indicator.per is None:
            values = [self._segment_value(column, segment, each) for each in (period, before)]
            self._follow(subject, "a - b", values)
            return
        inputs = [
            self._part(part, each, {column: segment} if is_segment else {})
            for each in (period, before)
            for part in ("numerator", "denominator")
            for is_segment in (True, False)
        ]
        was, is_now = bool(inputs[6].value), bool(inputs[2].value)
        formula = RATIO_EFFECT if was and is_now else RATIO_EFFECT_OF_NEW if is_now else RATIO_EFFECT_OF_GONE
        self._follow(subject, formula.format(scale=indicator.scale), inputs)

    def _part(self, part: str, period: Period, segment: dict[str, str]) -> Fact:
        """State the numerator or the denominator of a ratio."""
        indicator = self.indicator
        subject = _Subject(
            name=".".join([self.name, part, self._when(period), *segment]),
            kind="value",
            label=f"{indicator.title}, {part}" + "".join(f" of {value}" for value in segment.values()),
            segment=segment,
            unit="",
        )
        aggregate = indicator.value if part == "numerator" else indicator.per
        return self._over_rows(subject, period, expression=f"coalesce({aggregate}, 0)")

    def _segment_value(self, column: str, segment: str, period: Period) -> Fact:
        subject = _Subject(
            name=f"{self.name}.of.{column}.{self._when(period)}",
            kind="value",
            label=f"{self.indicator.title} of {segment}",
            segment={column: segment},
        )
        return self._over_rows(subject, period, expression=f"coalesce({self.indicator.value}, 0)")

    def _when(self, period: Period) -> str:
        return "now" if period == self.stating.period else "before"

    def _over_rows(self, subject: _Subject, period: Period, *, expression: str | None = None) -> Fact:
        """State an aggregate over the rows of *period*; default: the indicator's."""
        expression = expression or self.indicator.expression
        parts = [within(period), *([f"({self.indicator.where})"] if self.indicator.where else [])]
        parts += [of_segment(column, value) for column, value in subject.segment.items()]
        where = " AND ".join(parts)
        measured = self.stating.table.measure(expression, where)
        return self._add(
            subject,
            measured.value,
            expression=expression,
            period=period,
            where=where,
            measured=measured,
            withheld=measured.why_none and f"{subject.label}: {measured.why_none} in {period.label}",
        )

    def _follow(self, subject: _Subject, formula: str, inputs: Sequence[Fact]) -> Fact:
        """State what follows from other facts."""
        value = compute(formula, [fact.value for fact in inputs])
        why = next((fact.withheld for fact in inputs if fact.withheld), f"{subject.label}: it is divided by zero")
        return self._add(
            subject,
            value,
            expression=formula,
            inputs=tuple(fact.id for fact in inputs),
            withheld=why if value is None else "",
        )

    def _add(
        self,
        subject: _Subject,
        value: Decimal | None,
        *,
        expression: str,
        period: Period | None = None,
        where: str = "",
        measured: Aggregate | None = None,
        inputs: tuple[str, ...] = (),
        withheld: str = "",
    ) -> Fact:
        """
        State a fact, unless the same was stated before.

        :param period: default: the one that is stated.
        """
        stating, indicator = self.stating, self.indicator
        fact = Fact(
            name=subject.name,
            indicator=self.name,
            kind=subject.kind,
            label=subject.label,
            value=value,
            unit=indicator.unit if subject.unit is None else subject.unit,
            decimals=indicator.decimals if subject.decimals is None else subject.decimals,
            segment=dict(subject.segment),
            **of_period(period or stating.period),
            as_of=stating.as_of,
            dataset=stating.kpis.dataset,
            reading=stating.reading,
            where=where,
            expression=expression,
            rows=measured.rows if measured else 0,
            rows_digest=measured.digest if measured else "",
            inputs=inputs,
            transformations=(f"rows where {indicator.where}",) if indicator.where else (),
            assumptions=indicator.assumptions,
            warnings=stating.warnings,
            withheld=withheld,
        ).identified()
        same = next((one for one in stating.facts if one.id == fact.id), None)
        if same is not None:
            return same
        stating.facts.append(fact)
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
