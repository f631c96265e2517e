"""
What the figures of a workflow mean: each is defined here once, over counts that the ledger reads.

A rate over cases is one over the cases taken in in the period that no task works on any more; all else (what was sent,
spent, decided, repaired) counts in the period in which it happened. A figure over nothing has no value: no case is not
the same as no error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict

from interlock.domain.base.timeframe import Every
from interlock.domain.cost.price import format_dollars, to_nano

Unit = Literal["share", "h", "USD", "cases/day", "count"]
_HOUR = Decimal(3600)
_DAYS_TO_JUDGE = Decimal("0.25")
"""Of a period, before what was sent in it is shown as a number a day."""


@dataclass(frozen=True)
class Latency:
    """How long the votes of a stage of a gate took, in the median."""

    gate: str
    order: int
    median_seconds: float
    decided: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What the ledger counted for a workflow in a period."""

    taken_in: int = 0
    """Cases taken in in the period that no task works on any more; the next five are some of these."""
    done: int = 0
    """Sent, rejected or closed."""
    sent_straight: int = 0
    """Sent on the basis of a decision of the policy, without a vote, and not undone."""
    converted: int = 0
    """With an outcome that completes the case and was not undone."""
    has_outcomes: bool = False
    """An outcome of a case of the workflow was recorded at all: without one, nobody says that none converted."""
    fell_back: int = 0
    """Asked about a second time because of low confidence: decided onto the route ``fallback``."""
    repeated: int = 0
    """With a call that was made again."""
    labelled: int = 0
    """Sent straight, and their source said the right answer."""
    wrong: int = 0
    """Of these, those whose answer was another."""
    sent: int = 0
    """Cases whose effect was committed in the period and not undone."""
    cycle_seconds: float | None = None
    """The median of what these took since they were taken in."""
    completed: int = 0
    """Cases whose first outcome that completes and was not undone happened in the period."""
    provisional: int = 0
    """Of these, those that can still be undone."""
    undone: int = 0
    """Cases with an outcome in the period that completed them, all of which were undone."""
    cost: Decimal = Decimal(0)
    """All that was spent in the period, in US dollars."""
    unpriced: int = 0
    """Calls that nobody knows the price of; they are not in the cost."""
    calls: int = 0
    """Of agents and connectors."""
    repeats: int = 0
    """Of these, those made again."""
    days: Decimal = Decimal(0)
    """How much of the period has passed since the workflow's first run."""
    recoveries: int = 0
    """Incidents closed in the period."""
    recovery_seconds: float = 0.0
    """The sum of what these took."""
    violations: int = 0
    """Drafts that failed a check of the policy, and executions that nothing allowed."""
    reviews: int = 0
    """Reviews of cases with a service level that were decided or expired, or became late, in the period."""
    reviews_on_time: int = 0
    """Of these, those decided in time."""
    approval_seconds: float | None = None
    """The median, over all stages, of what people took from being asked to the last vote."""
    approvals: tuple[Latency, ...] = field(default=())
    """The same by gate and stage."""


class Kpi(BaseModel):
    """A figure that ``workflow.yaml`` names, and what it was before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: Decimal
    unit: str = ""
    """Optional; if given, the one that the figure is defined in."""
    description: str = ""
    at_least: Decimal | None = None
    """Below it, the owner is notified."""
    at_most: Decimal | None = None
    """Above it, the owner is notified."""
    every: Every = "month"
    """The period that is checked, and in which the owner is notified once."""


@dataclass(frozen=True)
class KpiValue:
    """The value of a figure, and of how many it was taken."""

    value: Decimal | None
    """None: there is nothing to take it of."""
    over: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class KpiDefinition:
    """A figure that ``workflow.yaml`` can name."""

    name: str
    unit: Unit
    better: Literal["more", "less"]
    meaning: str
    measure: Callable[[Counts], KpiValue]


def _share(part: int, whole: int) -> KpiValue:
    return KpiValue(Decimal(part) / Decimal(whole) if whole else None, whole)


def _hours(seconds: float | None, over: int) -> KpiValue:
    return KpiValue(None if seconds is None or not over else Decimal(str(seconds)) / _HOUR, over)


def _cost_over(counts: Counts, number: int) -> KpiValue:
    what = "call without a price is" if counts.unpriced == 1 else "calls without a price are"
    note = f"{counts.unpriced} {what} not in it" if counts.unpriced else ""
    return KpiValue(counts.cost / number if number else None, number, note)


def _cost_per_outcome(counts: Counts) -> KpiValue:
    measured = _cost_over(counts, counts.completed)
    if not counts.provisional:
        return measured
    note = f"{counts.provisional} of the outcomes can still be undone"
    return KpiValue(measured.value, measured.over, f"{measured.note}; {note}" if measured.note else note)


def _throughput(counts: Counts) -> KpiValue:
    if counts.taken_in + counts.sent == 0 or not counts.days:
        return KpiValue(None, counts.sent)
    if counts.days < _DAYS_TO_JUDGE:
        return KpiValue(None, counts.sent, "six hours must have passed")
    return KpiValue(Decimal(counts.sent) / counts.days, counts.sent)


def _violations(counts: Counts) -> KpiValue:
    tried = counts.sent + counts.violations
    return KpiValue(Decimal(counts.violations) if tried else None, tried)


def _kpi(
    name: str, unit: Unit, better: Literal["more", "less"], measure: Callable[[Counts], KpiValue], meaning: str
) -> KpiDefinition:
    return KpiDefinition(name=name, unit=unit, better=better, meaning=meaning, measure=measure)


KPIS: Mapping[str, KpiDefinition] = {
    kpi.name: kpi
    for kpi in (
        _kpi(
            "cycle_time",
            "h",
            "less",
            lambda c: _hours(c.cycle_seconds, c.sent),
            "Median time from taking a case in to sending it",
        ),
        _kpi(
            "error_rate",
            "share",
            "less",
            lambda c: _share(c.wrong, c.labelled),
            "Cases sent without a person whose answer was not the right one that their source knew",
        ),
        _kpi(
            "cost_to_serve",
            "USD",
            "less",
            lambda c: _cost_over(c, c.sent),
            "All that was spent, over the cases that were sent",
        ),
        _kpi(
            "cost_per_outcome",
            "USD",
            "less",
            _cost_per_outcome,
            "All that was spent, over the cases that an outcome completed",
        ),
        _kpi(
            "conversion_rate",
            "share",
            "more",
            lambda c: _share(c.converted, c.taken_in if c.has_outcomes else 0),
            "Cases taken in that an outcome completed",
        ),
        _kpi(
            "straight_through_rate",
            "share",
            "more",
            lambda c: _share(c.sent_straight, c.taken_in),
            "Cases taken in that were sent without a person",
        ),
        _kpi(
            "completion_rate",
            "share",
            "more",
            lambda c: _share(c.done, c.taken_in),
            "Cases taken in that are done: sent, rejected or closed",
        ),
        _kpi(
            "undone_rate",
            "share",
            "less",
            lambda c: _share(c.undone, c.undone + c.completed),
            "Cases completed by outcomes that were all undone within the dispute window",
        ),
        _kpi(
            "fallback_rate",
            "share",
            "less",
            lambda c: _share(c.fell_back, c.taken_in),
            "Cases taken in that a second agent was asked about, for low confidence",
        ),
        _kpi(
            "retry_rate",
            "share",
            "less",
            lambda c: _share(c.repeated, c.taken_in),
            "Cases taken in for which a call was made again",
        ),
        _kpi(
            "retry_load",
            "share",
            "less",
            lambda c: _share(c.repeats, c.calls),
            "Calls of agents and connectors that were made again",
        ),
        _kpi("throughput", "cases/day", "more", _throughput, "Cases sent, over the days of the period until now"),
        _kpi(
            "mean_time_to_recovery",
            "h",
            "less",
            lambda c: _hours(c.recovery_seconds / c.recoveries if c.recoveries else None, c.recoveries),
            "Mean time from an incident's beginning to its end",
        ),
        _kpi(
            "policy_violations",
            "count",
            "less",
            _violations,
            "Drafts that failed a check, and executions that nothing allowed; none was sent",
        ),
        _kpi(
            "approval_latency",
            "h",
            "less",
            lambda c: _hours(c.approval_seconds, sum(latency.decided for latency in c.approvals)),
            "Median time from asking people to the last vote of a stage",
        ),
        _kpi(
            "reviews_on_time",
            "share",
            "more",
            lambda c: _share(c.reviews_on_time, c.reviews),
            "Reviews decided within the service level of their case",
        ),
    )
}
"""All of them, by name."""


def kpi_problems(kpis: Mapping[str, Kpi]) -> list[str]:
    """Return what cannot be meant under ``kpis`` of ``workflow.yaml``."""
    problems = []
    for name, kpi in kpis.items():
        definition = KPIS.get(name)
        if definition is None:
            near = get_close_matches(name, KPIS, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            problems.append(f"workflow.yaml: there is no KPI {name!r}.{hint} Known: {', '.join(sorted(KPIS))}")
            continue
        if kpi.unit and kpi.unit != definition.unit:
            problems.append(f"workflow.yaml: KPI {name!r} is in {definition.unit!r}, not in {kpi.unit!r}")
        if kpi.at_least is not None and kpi.at_most is not None and kpi.at_least > kpi.at_most:
            problems.append(f"workflow.yaml: KPI {name!r} cannot be at least {kpi.at_least} and at most {kpi.at_most}")
    return problems


def breach(kpi: Kpi, value: Decimal | None) -> str | None:
    """Return which threshold *value* breaks, in words; None when it keeps them, or is not known."""
    if value is None:
        return None
    if kpi.at_least is not None and value < kpi.at_least:
        return f"below {kpi.at_least}"
    if kpi.at_most is not None and value > kpi.at_most:
        return f"above {kpi.at_most}"
    return None


def is_better(change: Decimal | None, better: Literal["more", "less"]) -> bool | None:
    """Return whether a change is one for the better; None when it is none, or not known."""
    return (change > 0) == (better == "more") if change else None


def format_change(change: Decimal | None, unit: Unit) -> str:
    """Return *change* for a person, with its sign: that of a share in percentage points."""
    if change is None:
        return ""
    size = f"{abs(change) * 100:.1f} points" if unit == "share" else format_value(abs(change), unit)
    return f"{'−' if change < 0 else '+'}{size}"


def format_thresholds(kpi: Kpi, unit: Unit) -> str:
    """Return what *kpi* must keep to, exactly as ``workflow.yaml`` says it: ``≥ 60% ≤ 90%``; empty for nothing."""
    limits = (("≥", kpi.at_least), ("≤", kpi.at_most))
    return " ".join(f"{sign} {_exact(limit, unit)}" for sign, limit in limits if limit is not None)


def _exact(value: Decimal, unit: Unit) -> str:
    scaled = value * 100 if unit == "share" else value
    number = format(scaled.normalize(), "f")
    return f"{number}%" if unit == "share" else number if unit == "count" else f"{number} {unit}"


def format_value(value: Decimal | None, unit: Unit) -> str:
    """Return *value* for a person; ``no data`` for None."""
    if value is None:
        return "no data"
    match unit:
        case "share":
            return f"{value:.1%}"
        case "h":
            return f"{value:.2f} h" if value < 10 else f"{value:.1f} h"
        case "USD":
            return format_dollars(to_nano(value))
        case "count":
            return f"{value:.0f}"
        case _:
            return f"{value:.1f} {unit}"
