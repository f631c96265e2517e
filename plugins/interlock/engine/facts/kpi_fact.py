"""
Stating facts for a run: the KPIs of the last full period, from the reading that the run made of their dataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from interlock.analysis.indicator_fact import Stating
from interlock.analysis.measure import SnapshotTable, open_table
from interlock.domain.base.period import Period, Periods
from interlock.domain.data.dataset import pick_dataset
from interlock.domain.facts.fact import Fact
from interlock.domain.facts.indicator import Kpis, parse_kpis
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.runs.session import Session
from interlock.errors import ConfigurationError
from interlock.ledger.facts.fact import readings_of, write_facts
from interlock.ledger.store.record import Reading


def load_kpis(session: Session, name: str) -> Kpis:
    """Return ``kpis/<name>.yaml`` of the pinned version."""
    path = f"kpis/{name}.yaml"
    return parse_kpis(session.version.bundle.document(path), where=f"{session.run.workflow}/{path}")


def read_by_run(session: Session, dataset: str) -> Reading:
    """
    Return the run's reading of *dataset*.

    :raises ConfigurationError: no task of the run read it.
    """
    with session.read() as connection:
        readings = readings_of(connection, session.run.id)
    if dataset not in readings:
        raise ConfigurationError(
            f"dataset {dataset!r} was not read by this run (read: {', '.join(sorted(readings)) or 'none'}). Put "
            f"DataQualityOperator(dataset={dataset!r}) before task {session.task.task_id!r}"
        )
    return readings[dataset]


def periods_of(session: Session, kpis: Kpis) -> Periods:
    """Return the calendar of the KPIs' periods."""
    return kpis.periods(pick_dataset(session.version.bundle.datasets, kpis.dataset).time_zone)


def present_period(session: Session, kpis: Kpis, reading: Reading) -> Period:
    """Return the last period that was over at the instant that the run reads as of."""
    return periods_of(session, kpis).last_full(reading.as_of)


@contextmanager
def table_of(snapshots: Snapshots, reading: Reading) -> Iterator[SnapshotTable]:
    """Open the rows of a reading."""
    with snapshots.open(reading.snapshot or "") as file, open_table(file) as table:
        yield table


def state_kpis(session: Session, name: str, snapshots: Snapshots) -> list[Fact]:
    """
    State the KPIs *name* for the last full period, and return the facts.

    Where the dataset is withheld nothing is stated but that, so whatever rests on it can say so.
    """
    kpis = load_kpis(session, name)
    reading = read_by_run(session, kpis.dataset)
    period, periods = present_period(session, kpis, reading), periods_of(session, kpis)
    with table_of(snapshots, reading) as table:
        stating = Stating(kpis, table, periods, period, reading.as_of, reading.id, tuple(reading.warnings))
        facts = stating.withhold_all(_why(kpis.dataset, reading)) if reading.is_withheld else stating.state_all()
    with session.write() as tx:
        session.count("facts", write_facts(tx, session.run, session.task.task_id, facts))
    session.count("withheld", sum(fact.value is None for fact in facts))
    session.log.info("%s of %s: %s", name, period.label, _tell(session))
    return facts


def _why(dataset: str, reading: Reading) -> str:
    return f"source {dataset!r} is not fit: {'; '.join(reading.critical)}"


def _tell(session: Session) -> str:
    return ", ".join(f"{count} {what}" for what, count in session.counts.items()) or "nothing new"
