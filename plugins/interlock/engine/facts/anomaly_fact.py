"""
Anomalies of a run's KPIs: what the past of each indicator made one expect, and where the present departs from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interlock.analysis.indicator_fact import completeness
from interlock.analysis.measure import SnapshotTable, instant
from interlock.domain.base.period import MINUTES, Period, Periods
from interlock.domain.data.dataset import Aside, Dataset
from interlock.domain.facts.anomaly import Alarm, Scored, alarms_of, score
from interlock.domain.facts.fact import Fact, Kind, of_period
from interlock.domain.facts.indicator import Indicator, Kpis
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.kpi_fact import dataset_of, load_kpis, periods_of, present_period, read_by_run, table_of
from interlock.engine.runs.session import Session
from interlock.errors import ConfigurationError
from interlock.ledger.facts.fact import write_facts
from interlock.ledger.store.record import Reading

BY_BASELINE = "by the baseline of"
"""Between what is stated (expected, low, high) and the file that says how: the expression of such a fact."""


STEPS = 4
"""The first period that is looked back on moves in steps of so many to a history, and not with every run: what is said
of a period depends on where its past begins, and the runs of consecutive hours must tell of the same alarm."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """An indicator over its history, and what was expected of it."""

    periods: list[Period]
    """From the first that has a value."""
    values: list[float | None]
    scored: Scored
    alarms: list[Alarm]


def look_back(kpis: Kpis, periods: Periods, present: Period) -> list[Period]:
    """
    Return the periods that are looked back on at *present*: the history of *kpis*.

    Of periods shorter than a day it is up to a quarter more.
    """
    if kpis.anomalies is None or kpis.period not in MINUTES:
        return periods.up_to(present, kpis.history)
    passed = int(present.start.timestamp()) // (60 * MINUTES[kpis.period])
    return periods.up_to(present, kpis.history + passed % max(kpis.history // STEPS, 1))


def values_of(
    table: SnapshotTable, indicator: Indicator, periods: Sequence[Period], aside: Aside
) -> list[Decimal | None]:
    """Return the value of *indicator* in each of *periods*; None where it would be withheld."""
    exact = table.by_period(indicator.expression, periods, indicator.where)
    complete = completeness(table, periods, aside)
    return [None if one.withheld else value for value, one in zip(exact, complete, strict=True)]


def watch(table: SnapshotTable, kpis: Kpis, indicator: Indicator, periods: Sequence[Period], aside: Aside) -> Watched:
    """Return what is said of *indicator* over *periods*, from the first that has a value."""
    assert kpis.anomalies is not None
    exact = values_of(table, indicator, periods, aside)
    first = next((i for i, value in enumerate(exact) if value is not None), 0)
    values = [None if value is None else float(value) for value in exact[first:]]
    scored = score([math.nan if value is None else value for value in values], kpis.anomalies)
    return Watched(
        periods=list(periods[first:]), values=values, scored=scored, alarms=alarms_of(scored, kpis.anomalies)
    )


def state_anomalies(session: Session, name: str, snapshots: Snapshots, *, lookback: int = 1) -> list[Fact]:
    """
    State what was expected of each indicator of *name* that departs from it, and return the facts.

    :param lookback: how many of the last periods an anomaly may have begun in; older ones were seen by earlier runs.
    :raises ConfigurationError: the KPIs do not say how anomalies are looked for.
    """
    kpis = load_kpis(session, name)
    if kpis.anomalies is None:
        raise ConfigurationError(f"kpis/{name}.yaml has no 'anomalies', so nothing says how they are looked for")
    reading = read_by_run(session, kpis.dataset)
    if reading.is_withheld:
        session.log.warning("dataset %r is not fit: nothing is looked for in it", kpis.dataset)
        return []
    present, facts = present_period(session, kpis, reading), []
    periods = look_back(kpis, periods_of(session, kpis), present)
    dataset = dataset_of(session, kpis)
    with table_of(snapshots, reading, dataset) as table:
        for indicator_name, indicator in kpis.indicators.items():
            watched = watch(table, kpis, indicator, periods, dataset.aside)
            if not watched.scored.judged:
                session.count("too_short")
            for alarm in watched.alarms:
                if alarm.index >= len(watched.periods) - lookback:
                    (complete,) = completeness(table, [watched.periods[alarm.index]], dataset.aside)
                    warnings = (complete.warning, *reading.warnings) if complete.warning else reading.warnings
                    stated = _facts(kpis, indicator_name, indicator, table, watched, alarm, reading)
                    facts += [fact.model_copy(update={"warnings": tuple(warnings)}) for fact in stated]
    with session.write() as tx:
        session.count("facts", write_facts(tx, session.run, session.task.task_id, facts))
    session.count("anomalies", sum(fact.name.endswith(".expected") for fact in facts))
    return facts


def expected_again(kpis: Kpis, dataset: Dataset, table: SnapshotTable, fact: Fact) -> Decimal | None:
    """Return what the baseline says once more where *fact* says it."""
    what, indicator = fact.expression.split()[0], kpis.pick(fact.indicator)
    periods = kpis.periods(dataset.time_zone)
    looked_back = look_back(kpis, periods, periods.last_full(fact.as_of))
    watched = watch(table, kpis, indicator, looked_back, dataset.aside)
    place = next((i for i, period in enumerate(watched.periods) if period.start == fact.period_start), None)
    return None if place is None else _number(getattr(watched.scored, what)[place])


def _facts(
    kpis: Kpis, name: str, indicator: Indicator, table: SnapshotTable, watched: Watched, alarm: Alarm, reading: Reading
) -> list[Fact]:
    """State the observed value, the expected one, and the band that it left."""
    period, first = watched.periods[alarm.index], watched.periods[0]
    condition = f" AND ({indicator.where})" if indicator.where else ""
    past = f"_at >= {instant(first.start)} AND _at < {instant(period.end)}{condition}"
    inside = f"_at >= {instant(period.start)} AND _at < {instant(period.end)}{condition}"
    stated: list[tuple[str, Kind, str, str, float | Decimal | None]] = [
        ("observed", "value", inside, indicator.expression, None),
        ("expected", "expected", past, "expected", alarm.expected),
        ("low", "expected", past, "low", alarm.low),
        ("high", "expected", past, "high", alarm.high),
    ]
    words = {"observed": "", "expected": ", expected", "low": ", lower end of the usual", "high": ", upper end of it"}
    found = []
    for suffix, kind, where, expression, value in stated:
        measured = table.measure(indicator.expression, where)
        number = measured.value if value is None else _number(value)
        found.append(
            Fact(
                **_shared(kpis, name, indicator, reading),
                **of_period(period),
                name=f"{name}.{suffix}",
                kind=kind,
                label=indicator.title + words[suffix],
                value=number,
                where=where,
                expression=expression if suffix == "observed" else f"{expression} {BY_BASELINE} kpis/{kpis.kpis}.yaml",
                rows=measured.rows,
                rows_digest=measured.digest,
                confidence=round(alarm.score, 4),
                confidence_basis=f"anomaly score of 0 to 1 from the series' own past: {alarm.sign}",
                withheld="" if number is not None else f"{indicator.title}: too little history for a band",
            ).identified()
        )
    return found


def _shared(kpis: Kpis, name: str, indicator: Indicator, reading: Reading) -> dict[str, Any]:
    return {
        "indicator": name,
        "unit": indicator.unit,
        "decimals": indicator.decimals,
        "as_of": reading.as_of,
        "dataset": kpis.dataset,
        "reading": reading.id,
        "assumptions": indicator.assumptions,
        "warnings": tuple(reading.warnings),
    }


def _number(value: float | Decimal) -> Decimal | None:
    return Decimal(repr(round(float(value), 10))) if math.isfinite(value) else None
