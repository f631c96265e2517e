"""
Stating facts for a run: the KPIs of the last full period, from the reading that the run made of their dataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from interlock.analysis.indicator_fact import Stating
from interlock.analysis.measure import SnapshotTable, open_table
from interlock.domain.base.period import Period, Periods
from interlock.domain.data.dataset import Dataset, pick_dataset
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
    return kpis.periods(dataset_of(session, kpis).time_zone)


def dataset_of(session: Session, kpis: Kpis) -> Dataset:
    """Return the declaration of the dataset of *kpis*."""
    return pick_dataset(session.version.bundle.datasets, kpis.dataset)


def present_period(session: Session, kpis: Kpis, reading: Reading) -> Period:
    """Return the last period that was over at the instant that the run reads as of."""
    return periods_of(session, kpis).last_full(reading.as_of)


@contextmanager
def table_of(snapshots: Snapshots, reading: Reading, dataset: Dataset | None = None) -> Iterator[SnapshotTable]:
    """
    Open the rows of a reading.

    :param dataset: its declaration, to weigh the quarantined rows by period; default: they are not weighed.
    """
    with ExitStack() as opened:
        file = opened.enter_context(snapshots.open(reading.snapshot or ""))
        quarantine = None
        if dataset is not None and reading.quarantine:
            quarantine = opened.enter_context(snapshots.open(reading.quarantine))
        yield opened.enter_context(open_table(file, quarantine=quarantine, dataset=dataset))


def state_kpis(session: Session, name: str, snapshots: Snapshots) -> list[Fact]:
    """
    State the KPIs *name* for the last full period, and return the facts.

    Where the dataset is withheld nothing is stated but that, so whatever rests on it can say so.
    """
    kpis = load_kpis(session, name)
    reading = read_by_run(session, kpis.dataset)
    period, periods = present_period(session, kpis, reading), periods_of(session, kpis)
    dataset = dataset_of(session, kpis)
    with table_of(snapshots, reading, dataset) as table:
        warnings = tuple(reading.warnings)
        stating = Stating(kpis, table, periods, period, reading.as_of, reading.id, warnings, dataset.aside)
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
