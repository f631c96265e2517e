"""
From a run's facts to cases: the review of the period, and an insight for each rule that its facts fulfil.

They come as the rows of a source, so an intake opens them as it opens any case: under the contract, with an owner by
rule, once for each key, however often the run is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from interlock.agents.rendering import Rendering
from interlock.analysis.measure import SnapshotTable
from interlock.domain.base.canonical import digest
from interlock.domain.base.period import Period
from interlock.domain.data.source import SourceRow
from interlock.domain.facts.fact import Fact
from interlock.domain.facts.finding import Finding, Insight
from interlock.domain.facts.indicator import Kpis
from interlock.domain.facts.insight import History, InsightRule, Insights, Record, parse_insights, record_of
from interlock.domain.policy.service_level import CaseDuties
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.anomaly_fact import look_back, watch
from interlock.engine.facts.kpi_fact import load_kpis, periods_of, present_period, read_by_run, table_of
from interlock.engine.runs.session import Session
from interlock.errors import ConfigurationError, InputError
from interlock.ledger.cases.case import cases_by_key, load_files
from interlock.ledger.facts.fact import facts_of
from interlock.ledger.store.record import Reading

_INNER = (".numerator.", ".denominator.")
"""Facts that others follow from, and that nobody states."""
SHOWN = 500
"""Periods that a finding carries for its charts; a case is no archive of a series."""
_PERIODS_OF_A_YEAR = {"week": 52, "month": 12, "quarter": 4, "day": 365}


def finding_rows(session: Session, name: str, snapshots: Snapshots) -> Iterator[SourceRow]:
    """
    Yield what ``<name>.yaml`` finds in the facts of the run, as the rows of a source.

    :raises ConfigurationError: it names KPIs or indicators that there are not.
    """
    path = f"{name}.yaml"
    insights = parse_insights(session.version.bundle.document(path), where=f"{session.run.workflow}/{path}")
    with session.read() as connection:
        facts = facts_of(connection, session.run.id)
    with ExitStack() as opened:
        sets = {kpis: _Set.open(session, kpis, snapshots, opened) for kpis in insights.kpis}
        found = [one for rule in insights.insights for one in _apply(session, rule, sets, facts)]
    if insights.review is not None:
        found.append(_review(session, insights, sets, facts, found))
    for number, finding in enumerate(_new(session, found), 1):
        yield SourceRow(number=number, values=finding.model_dump(mode="json"))


def _new(session: Session, found: list[Finding]) -> Iterator[Finding]:
    """
    Yield what is no case yet. A period whose facts were corrected since gives a new case, and the old one stays.

    An anomaly is the same while it lasts, though what was expected rests on a later stretch of the past each time.
    """
    with session.read() as connection:
        rows = cases_by_key(connection, session.run.environment, session.run.workflow, [one.key for one in found])
        before = {file.case.business_key: file.payload for file in load_files(connection, rows, contracts=[])}
    for finding in found:
        existing = before.get(finding.key)
        facts = sorted(fact.id for fact in finding.facts)
        if existing is None:
            yield finding
        elif finding.key.startswith(f"{finding.indicator}@") or facts == sorted(one["id"] for one in existing["facts"]):
            session.count("seen_before")
        else:
            key = f"{finding.key}~{digest(facts)[:8]}"
            yield finding.model_copy(update={"key": key, "title": f"{finding.title} (corrected)"})


@dataclass
class _Set:
    """One set of KPIs, as the run measured them."""

    kpis: Kpis
    reading: Reading
    period: Period
    histories: dict[str, History]
    looked_back: dict[str, list[Period]]
    """Indicator to the periods of its history."""
    series: dict[str, list[tuple[str, float | None]]]
    alarms: dict[str, list[Period]]
    """Indicator to the periods in which anomalies began."""

    @classmethod
    def open(cls, session: Session, name: str, snapshots: Snapshots, opened: ExitStack) -> _Set:
        kpis = load_kpis(session, name)
        reading = read_by_run(session, kpis.dataset)
        made = cls(kpis, reading, present_period(session, kpis, reading), {}, {}, {}, {})
        if not reading.is_withheld:
            table = opened.enter_context(table_of(snapshots, reading))
            for indicator in kpis.indicators:
                made._look_back(session, table, indicator)
        return made

    def _look_back(self, session: Session, table: SnapshotTable, name: str) -> None:
        indicator = self.kpis.indicators[name]
        periods = look_back(self.kpis, periods_of(session, self.kpis), self.period)
        expected: list[float | None] = []
        began: frozenset[int] = frozenset()
        if self.kpis.anomalies is not None:
            watched = watch(table, self.kpis, indicator, periods)
            periods, values = watched.periods, watched.values
            expected = [float(one) if math.isfinite(one) else None for one in watched.scored.expected]
            began = frozenset(alarm.index for alarm in watched.alarms)
        else:
            exact = table.by_period(indicator.expression, periods, indicator.where)
            values = [None if value is None else float(value) for value in exact]
        self.looked_back[name] = periods
        shown = list(zip(periods, values, strict=True))[-SHOWN:]
        self.series[name] = [(period.label, value) for period, value in shown]
        self.alarms[name] = [periods[index] for index in sorted(began)]
        self.histories[name] = History(
            indicator=name,
            values=values,
            year=_PERIODS_OF_A_YEAR.get(self.kpis.period, 0) if "last_year" in indicator.compare else 0,
            target=None if indicator.target is None else float(indicator.target),
            expected=expected,
            alarms=began,
        )

    @property
    def quality(self) -> str:
        return self.reading.state

    @property
    def warnings(self) -> list[str]:
        return [*self.reading.critical, *self.reading.warnings]


def _apply(session: Session, rule: InsightRule, sets: dict[str, _Set], facts: list[Fact]) -> Iterator[Finding]:
    """Yield a finding for each indicator, or each anomaly of one, that fulfils *rule*."""
    for name in rule.indicators:
        of = _set_of(rule, sets, name)
        history = of.histories.get(name)
        if history is None:  # its dataset is withheld, which the review says
            continue
        stated = [fact for fact in facts if fact.indicator == name and not any(part in fact.name for part in _INNER)]
        for period in _periods(rule, of, name, stated):
            if _fires(session, rule, of, name, period, history, stated):
                about = [fact for fact in stated if rule.once == "period" or fact.period_start == period.start]
                yield _finding(session, rule, of, name, period, history, about)


def _set_of(rule: InsightRule, sets: dict[str, _Set], indicator: str) -> _Set:
    for one in sets.values():
        if indicator in one.kpis.indicators:
            return one
    known = sorted(name for one in sets.values() for name in one.kpis.indicators)
    raise ConfigurationError(
        f"insight {rule.name!r} is about indicator {indicator!r}, and the KPIs that insights.yaml names have: "
        f"{', '.join(known)}"
    )


def _periods(rule: InsightRule, of: _Set, indicator: str, stated: list[Fact]) -> list[Period]:
    """Return the periods that *rule* is applied to: the present one, or those in which a stated anomaly began."""
    if rule.once != "alarm":
        return [of.period]
    began = {fact.period_start for fact in stated if fact.name == f"{indicator}.expected"}
    return [period for period in of.alarms[indicator] if period.start in began]


def _fires(
    session: Session, rule: InsightRule, of: _Set, indicator: str, period: Period, history: History, stated: list[Fact]
) -> bool:
    reads = history.at(of.looked_back[indicator].index(period))
    if rule.once == "period":
        reads["anomaly"] = any(fact.name == f"{indicator}.expected" for fact in stated)
    fired = rule.fires.evaluate(reads)
    if fired.value is None:
        session.count("rules_without_data")
        session.log.warning("insight %r cannot be written for %r: %s", rule.name, indicator, fired.error)
    return bool(fired.value)


def _finding(
    session: Session, rule: InsightRule, of: _Set, name: str, period: Period, history: History, facts: list[Fact]
) -> Finding:
    record = record_of(rule, history)
    texts, cites = _texts(session, rule, facts, name, of.kpis.indicators[name].title, period)
    return Finding(
        key=f"{name}@{period.key}" if rule.once == "alarm" else f"{period.key}/{rule.name}/{name}",
        kind="insight",
        title=texts["title"],
        recommendation=texts["recommendation"],
        cites=cites,
        subject=rule.subject or of.kpis.indicators[name].owner,
        indicator=name,
        severity=rule.severity,
        assumptions=[*rule.assumptions, *of.kpis.indicators[name].assumptions],
        **(_trust(record, of) if rule.holds_when else {}),
        facts=facts,
        series={name: of.series[name]},
        alarms={name: [one.label for one in of.alarms[name]]},
        **_when(session, of, period),
    )


def _trust(record: Record, of: _Set) -> dict[str, Any]:
    """Return the confidence and what it rests on; a warning about the data may cap it."""
    confidence, basis = record.confidence, record.basis(_word(of.kpis))
    cap = of.reading.cap
    if confidence is not None and cap is not None and confidence > cap:
        confidence, basis = cap, f"{basis}; capped because of a warning about the data"
    return {"confidence": None if confidence is None else round(confidence, 4), "confidence_basis": basis}


def _when(session: Session, of: _Set, period: Period) -> dict[str, Any]:
    return {
        "period": period.label,
        "period_end": period.end.isoformat(),
        "as_of": of.reading.as_of.isoformat(),
        "quality": of.quality,
        "warnings": of.warnings,
    }


def _word(kpis: Kpis) -> str:
    return kpis.period if kpis.period in _PERIODS_OF_A_YEAR else "period"


def _texts(
    session: Session, rule: InsightRule, facts: list[Fact], name: str, title: str, period: Period
) -> tuple[dict[str, str], list[str]]:
    """
    Write the rule's texts; return them, and the ids of the facts that they asked for.

    Where a number that they state is not there, the bare facts must do.
    """
    by_name, missing, cited = {fact.name: fact for fact in facts}, list[str](), dict[str, None]()

    def known(fact: str) -> Fact:
        if fact not in by_name or by_name[fact].value is None:
            missing.append(by_name[fact].withheld if fact in by_name else f"there is no fact {fact!r}")
            raise InputError(missing[-1])
        cited[by_name[fact].id] = None
        return by_name[fact]

    variables = {
        "say": lambda fact: known(fact).shown,
        "who": lambda fact: ", ".join(known(fact).segment.values()),
        "title": title,
        "indicator": name,
        "period": period.label,
    }
    try:
        texts = {
            what: Rendering(text, f"{what} of insight {rule.name!r}").render(variables)
            for what, text in (("title", rule.title), ("recommendation", rule.recommendation))
        }
        return texts, list(cited)
    except InputError as error:
        session.count("texts_without_numbers")
        session.log.warning("insight %r is written without its text: %s", rule.name, missing[-1] if missing else error)
        return {"title": f"{title}: {rule.name.replace('_', ' ')}", "recommendation": ""}, []


def _review(
    session: Session, insights: Insights, sets: dict[str, _Set], facts: list[Fact], found: list[Finding]
) -> Finding:
    """Return the review of the period of the first set of KPIs."""
    review = insights.review
    assert review is not None
    chosen = [sets[name] for name in review.kpis]
    first = chosen[0]
    order = ("withheld", "warned", "fit")
    worst = min((one.quality for one in chosen), key=order.index)
    duties = CaseDuties(session.version.bundle, session.company.calendar)
    indicators = {indicator for one in chosen for indicator in one.kpis.indicators}
    return Finding(
        key=f"{first.period.key}/review",
        kind="review",
        title=review.title,
        subject=review.subject,
        facts=[f for f in facts if f.indicator in indicators and not any(part in f.name for part in _INNER)],
        series={name: values for one in chosen for name, values in one.series.items()},
        alarms={name: [p.label for p in periods] for one in chosen for name, periods in one.alarms.items()},
        insights=[
            Insight(
                key=one.key,
                title=one.title,
                owner=duties.owner({f"case.{field}": value for field, value in one.model_dump(mode="json").items()}),
                recommendation=one.recommendation,
                assumptions=one.assumptions,
                confidence=one.confidence,
                confidence_basis=one.confidence_basis,
                facts=[fact.id for fact in one.facts],
                cites=one.cites,
            )
            for one in found
        ],
        **_when(session, first, first.period)
        | {"quality": worst, "warnings": [warning for one in chosen for warning in one.warnings]},
    )
