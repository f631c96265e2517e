"""Telling the owner of a workflow, once in a period, that a figure is past a threshold of ``workflow.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from interlock.domain.base.period import Period
from interlock.domain.base.timeframe import Every, running
from interlock.domain.policy.company import Company
from interlock.domain.policy.workflow import Workflow
from interlock.domain.reports.kpi import KPIS, Kpi, breach, format_value
from interlock.errors import UnknownName
from interlock.ledger.incidents.notice import UPKEEP, subjects_since, write_notice
from interlock.ledger.policy.version import versions_in_force
from interlock.ledger.reports.kpi import count
from interlock.ledger.reports.report_scope import scopes
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Connection

KIND = "kpi"
EVERY: tuple[Every, ...] = ("day", "month")


def tell_breaches(ledger: Ledger, company: Company) -> int:
    """Look at the figures with a threshold that were not told of in the running period; return how many are told."""
    notified = 0
    for version in versions_in_force(ledger):
        for every in EVERY:
            period = running(every, company.calendar, ledger.clock())
            notified += _tell_workflow(ledger, version.bundle.settings, every, period)
    return notified


def _tell_workflow(ledger: Ledger, settings: Workflow, every: Every, period: Period) -> int:
    wanted = {
        name: kpi
        for name, kpi in settings.kpis.items()
        if name in KPIS and kpi.every == every and (kpi.at_least is not None or kpi.at_most is not None)
    }
    with ledger.read() as connection:
        wanted = _untold(connection, ledger, settings.workflow, wanted, period.start)
        if not wanted:
            return 0
        try:
            of_phase = {scope.phase: scope for scope in scopes(connection, ledger, settings.workflow, period)}
        except UnknownName:  # it never ran
            return 0
        if settings.phase not in of_phase:
            return 0
        counts = count(connection, of_phase[settings.phase], ledger.clock())
    broken: dict[str, tuple[str, Decimal | None, int]] = {}
    for name, kpi in wanted.items():
        measured = KPIS[name].measure(counts)
        if (how := breach(kpi, measured.value)) is not None:
            broken[name] = (how, measured.value, measured.over)
    if not broken:
        return 0
    with ledger.write(actor=UPKEEP, chain=f"upkeep:{ledger.environment}") as tx:
        tx.take_turns(f"upkeep:{ledger.environment}")
        still = _untold(tx.connection, ledger, settings.workflow, {n: wanted[n] for n in broken}, period.start)
        for name, kpi in still.items():
            how, value, over = broken[name]
            definition = KPIS[name]
            now, before = (format_value(one, definition.unit) for one in (value, kpi.baseline))
            write_notice(
                tx,
                environment=ledger.environment,
                workflow=settings.workflow,
                kind=KIND,
                recipients=[settings.owner.email],
                subject=f"{_subject(settings.workflow, name)}{now}, {how}",
                body=f"{definition.meaning}: {now}, {how}, over {over} in the {every} so far ({settings.phase}); "
                f"before, it was {before}. You are told once in a {every}.\n"
                f"airflow interlock kpi {settings.workflow} --period {every}",
            )
        return len(still)


def _untold(
    connection: Connection, ledger: Ledger, workflow: str, wanted: Mapping[str, Kpi], since: datetime
) -> dict[str, Kpi]:
    if not wanted:
        return {}
    subjects = subjects_since(connection, ledger.environment, workflow, kind=KIND, since=since)
    return {
        name: kpi
        for name, kpi in wanted.items()
        if not any(subject.startswith(_subject(workflow, name)) for subject in subjects)
    }


def _subject(workflow: str, name: str) -> str:
    return f"{workflow}: {name} is "
