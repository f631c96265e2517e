"""
From indicators to facts: the value of a period, what it is compared with, the change, and what explains it.

Facts over rows carry a condition and an expression that give the value again; all others carry the formula over the
facts that they follow from. Nothing is stated that cannot be done again from the snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from interlock.analysis.measure import Aggregate, SnapshotTable, of_segment, within
from interlock.domain.base.period import Period, Periods
from interlock.domain.data.dataset import Aside
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
    aside: Aside = field(default_factory=Aside)
    """How many rows of a period may be quarantined before its figures are withheld."""
    facts: list[Fact] = field(default_factory=list)
    _completeness: dict[str, Completeness] = field(default_factory=dict)

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

    def completeness(self, period: Period) -> Completeness:
        """Return how complete the rows of *period* are."""
        if period.key not in self._completeness:
            self._completeness[period.key] = completeness(self.table, [period], self.aside)[0]
        return self._completeness[period.key]


@dataclass(frozen=True)
class Completeness:
    """Whether figures of a period can rest on its rows."""

    withheld: str
    """Why they cannot; empty: they can."""
    warning: str
    """How many of its rows are missing; empty: hardly any."""
    share: float
    """Of the rows that are quarantined."""


def completeness(table: SnapshotTable, periods: Sequence[Period], aside: Aside) -> list[Completeness]:
    """
    Return how complete the rows of each of *periods* are.

    A period without a row has no value, whatever an aggregate of nothing gives. The shares of quarantined rows that
    *aside* allows of the dataset are those that it allows of a period, because a figure rests on no other rows.
    """
    begins, found = table.begins(), []
    for period, weight in zip(periods, table.weights(periods), strict=True):
        missing = (
            f"{weight.quarantined} of the {weight.rows + weight.quarantined} rows of {period.label} are quarantined"
            if weight.share > aside.warn_share
            else ""
        )
        if not weight.rows:
            is_early = begins is not None and period.end <= begins
            why = f"the data begin after {period.label}" if is_early else f"there are no rows in {period.label}"
            found.append(Completeness(f"{why}, {missing}" if missing else why, "", weight.share))
        elif weight.share > aside.max_share:
            found.append(Completeness(missing, "", weight.share))
        else:
            found.append(Completeness("", missing, weight.share))
    return found


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
        change_on_before: Fact | None = None
        for comparison in indicator.compare:
            if comparison == "target":
                self._change("gap", f"{indicator.title} against target", value, self._target())
                continue
            word = self._word(comparison)
            other = before if comparison == "previous" else periods.year_before(self.stating.period)
            kind: Kind = "previous" if comparison == "previous" else "last_year"
            subject = _Subject(name=f"{self.name}.{kind}", kind=kind, label=f"{indicator.title}, {word}")
            suffix = "change" if comparison == "previous" else "change_on_year"
            change = self._change(
                suffix, f"{indicator.title}, change on the {word}", value, self._over_rows(subject, other)
            )
            if comparison == "previous":
                change_on_before = change
        for column in indicator.explain:
            _Explaining(self, column, value, before, change_on_before).state()

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

    def _change(self, suffix: str, label: str, value: Fact, base: Fact) -> Fact:
        is_percent = self.indicator.unit == "%"
        change = self._follow(
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
            subject = _Subject(
                name=f"{self.name}.{suffix}_percent",
                kind="change_percent",
                label=f"{label}, in percent",
                unit="%",
                decimals=1,
            )
            self._follow(subject, "100 * (a - b) / b", [value, base], withheld=_no_percentage(subject, value, base))
        return change

    def _over_rows(
        self, subject: _Subject, period: Period, *, expression: str | None = None, picks: str | None = None
    ) -> Fact:
        """
        State an aggregate over the rows of *period*; default: the indicator's.

        :param picks: condition on the rows of the segment that it is about.
        """
        expression = expression or self.indicator.expression
        parts = [within(period), *([f"({self.indicator.where})"] if self.indicator.where else [])]
        parts += [picks] if picks else []
        where = " AND ".join(parts)
        measured, complete = self.stating.table.measure(expression, where), self.stating.completeness(period)
        why = complete.withheld or (measured.why_none and f"{measured.why_none} in {period.label}")
        return self._add(
            subject,
            None if why else measured.value,
            expression=expression,
            period=period,
            where=where,
            measured=measured,
            withheld=why and f"{subject.label}: {why}",
            warnings=(complete.warning,) if complete.warning else (),
        )

    def _follow(self, subject: _Subject, formula: str, inputs: Sequence[Fact], *, withheld: str = "") -> Fact:
        """
        State what follows from other facts.

        :param withheld: why it is not stated though it could be computed.
        """
        value = compute(formula, [fact.value for fact in inputs])
        if value is None:
            withheld = next(
                (fact.withheld for fact in inputs if fact.withheld), f"{subject.label}: it is divided by zero"
            )
        return self._add(
            subject,
            None if withheld else value,
            expression=formula,
            inputs=tuple(fact.id for fact in inputs),
            withheld=withheld,
            warnings=tuple(dict.fromkeys(warning for fact in inputs for warning in fact.warnings)),
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
        warnings: tuple[str, ...] = (),
    ) -> Fact:
        """
        State a fact, unless the same was stated before.

        :param period: default: the one that is stated.
        :param warnings: those of its own, beside those of the reading.
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
            warnings=tuple(dict.fromkeys((*warnings, *stating.warnings))),
            withheld=withheld,
        ).identified()
        same = next((one for one in stating.facts if one.id == fact.id), None)
        if same is not None:
            return same
        stating.facts.append(fact)
        return fact


def _no_percentage(subject: _Subject, value: Fact, base: Fact) -> str:
    """Return why a change has no percentage although it has a size; empty: it has one."""
    if value.value is None or base.value is None or base.value == 0:
        return ""  # its inputs, or the division by zero, say why
    if base.value < 0:
        return f"{subject.label}: {base.label} is negative"
    return f"{subject.label}: the sign turns" if value.value < 0 else ""


Parts = Mapping[str, Sequence[Decimal | None]]
"""Segment to its aggregates: the value, or numerator and denominator."""


@dataclass(frozen=True)
class _Explaining:
    """States what the values of one column contribute to an indicator and to its change, where they add up to it."""

    of: _OfIndicator
    column: str
    value: Fact
    before: Period
    change: Fact | None
    """On the period before; None: it is not compared with that."""

    def state(self) -> None:
        """State the largest parts of the value, and those that explain the change most."""
        if self.value.value is None:
            return
        now, whole_now = self._parts(self.of.stating.period)
        why = self._why_not(now, whole_now)
        if self.of.indicator.per is None:
            self._shares(now, self.value.value, why)
        if self.change is None or self.change.value is None:
            return
        then, whole_then = self._parts(self.before)
        why = why or self._why_not(then, whole_then)
        if why:
            self._withhold("by", "contribution", "parts of the change", why)
            return
        names = self._names({*now, *then})
        effects = {s: _effect(now.get(s), then.get(s), _total(now), _total(then)) for s in {*now, *then}}
        ranked = sorted((s for s in effects if effects[s]), key=lambda s: (-abs(effects[s]), s))
        for rank, segment in enumerate(ranked[: self.of.indicator.top], 1):
            self._contribution(segment, names[segment], rank)

    def _parts(self, period: Period) -> tuple[Parts, Sequence[Decimal | None]]:
        """Return the aggregates of each segment of *period*, and those of the whole."""
        indicator, table = self.of.indicator, self.of.stating.table
        aggregates = [indicator.value, *([indicator.per] if indicator.per else [])]
        where = within(period) + (f" AND ({indicator.where})" if indicator.where else "")
        whole = [table.measure(aggregate, where).value for aggregate in aggregates]
        return table.by_segment(aggregates, self.column, where), whole

    def _why_not(self, parts: Parts, whole: Sequence[Decimal | None]) -> str:
        """Return why *parts* do not make up the *whole*; empty: they do."""
        indicator = self.of.indicator
        for place, (total, exact) in enumerate(zip(_total(parts), whole, strict=False)):
            sizes = [abs(values[place] or Decimal(0)) for values in parts.values()]
            if abs(total - (exact or Decimal(0))) > ROUNDING * max(sum(sizes, Decimal(0)), abs(exact or Decimal(0))):
                aggregate = (indicator.value, indicator.per)[place]
                return f"{aggregate} of each {_words(self.column)} does not add up to that of all"
        return ""

    def _names(self, segments: Collection[str]) -> dict[str, str]:
        """Return what each segment is called; rows in which the column is empty have a name that no other has."""
        empty = f"no {_words(self.column)}"
        while empty in segments:
            empty = f"({empty})"
        return {segment: segment or empty for segment in segments}

    def _shares(self, now: Parts, whole: Decimal, why: str) -> None:
        sizes = {segment: values[0] or Decimal(0) for segment, values in now.items()}
        shares = {segment: size / whole for segment, size in sizes.items()} if whole else {}
        largest = sorted(shares, key=lambda segment: (-shares[segment], segment))[: self.of.indicator.top]
        if not why and any(shares[segment] > 1 + ROUNDING or shares[segment] < 0 for segment in largest):
            why = f"the parts of {_words(self.column)} have different signs"
        if why:
            self._withhold("share", "share", "shares", why)
            return
        names = self._names(sizes)
        for rank, segment in enumerate(largest, 1):
            self._share(segment, names[segment], rank)

    def _withhold(self, infix: str, kind: Kind, what: str, why: str) -> None:
        """State that there are no parts by this column, under the name of the first."""
        label = f"{self.of.indicator.title}, {what} by {_words(self.column)}"
        subject = _Subject(name=f"{self.of.name}.{infix}.{self.column}.1", kind=kind, label=label)
        self.of._add(subject, None, expression="", withheld=f"{label}: {why}")

    def _share(self, segment: str, name: str, rank: int) -> None:
        subject = _Subject(
            name=f"{self.of.name}.share.{self.column}.{rank}",
            kind="share",
            label=f"{self.of.indicator.title}, share of {name}",
            segment={self.column: name},
            unit="%",
            decimals=1,
        )
        inputs = [self._segment_value(segment, name, self.of.stating.period), self.value]
        self.of._follow(subject, "100 * a / b", inputs)

    def _contribution(self, segment: str, name: str, rank: int) -> None:
        indicator, period = self.of.indicator, self.of.stating.period
        subject = _Subject(
            name=f"{self.of.name}.by.{self.column}.{rank}",
            kind="contribution",
            label=f"{indicator.title}, part of {name} in the change",
            segment={self.column: name},
            unit="percentage points" if indicator.per is not None and indicator.unit == "%" else None,
        )
        if indicator.per is None:
            values = [self._segment_value(segment, name, each) for each in (period, self.before)]
            self.of._follow(subject, "a - b", values)
            return
        inputs = [
            self._part(part, each, segment, name if is_segment else None)
            for each in (period, self.before)
            for part in ("numerator", "denominator")
            for is_segment in (True, False)
        ]
        was, is_now = bool(inputs[6].value), bool(inputs[2].value)
        formula = RATIO_EFFECT if was and is_now else RATIO_EFFECT_OF_NEW if is_now else RATIO_EFFECT_OF_GONE
        self.of._follow(subject, formula.format(scale=indicator.scale), inputs)

    def _part(self, part: str, period: Period, segment: str, name: str | None) -> Fact:
        """State the numerator or the denominator of a ratio; *name* is None for that of all."""
        indicator = self.of.indicator
        about = {} if name is None else {self.column: name}
        subject = _Subject(
            name=".".join([self.of.name, part, self._when(period), *about]),
            kind="value",
            label=f"{indicator.title}, {part}" + ("" if name is None else f" of {name}"),
            segment=about,
            unit="",
        )
        aggregate = indicator.value if part == "numerator" else indicator.per
        picks = None if name is None else of_segment(self.column, segment)
        return self.of._over_rows(subject, period, expression=f"coalesce({aggregate}, 0)", picks=picks)

    def _segment_value(self, segment: str, name: str, period: Period) -> Fact:
        subject = _Subject(
            name=f"{self.of.name}.of.{self.column}.{self._when(period)}",
            kind="value",
            label=f"{self.of.indicator.title} of {name}",
            segment={self.column: name},
        )
        picks = of_segment(self.column, segment)
        return self.of._over_rows(subject, period, expression=f"coalesce({self.of.indicator.value}, 0)", picks=picks)

    def _when(self, period: Period) -> str:
        return "now" if period == self.of.stating.period else "before"


def _words(column: str) -> str:
    return column.replace("_", " ")


ROUNDING = Decimal("1e-9")
"""Sums of doubles depend on the order in which they are added: parts within this share of their size add up."""

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


def _total(parts: Parts) -> list[Decimal]:
    width = max((len(values) for values in parts.values()), default=0)
    return [sum((values[i] or Decimal(0) for values in parts.values()), Decimal(0)) for i in range(width)]


def _effect(
    now: Sequence[Decimal | None] | None,
    then: Sequence[Decimal | None] | None,
    all_now: Sequence[Decimal],
    all_then: Sequence[Decimal],
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
