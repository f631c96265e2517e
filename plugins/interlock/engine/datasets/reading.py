"""
Reading a dataset for a run: as of one instant, typed, held against what it must be, and kept as a snapshot.

Each dataset is read once a run, so every number of a run rests on the same rows; a task that is tried again finds its
reading. What is not fit stops the run when the dataset is required, and else withholds what rests on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from interlock.analysis.inspection import check_result
from interlock.analysis.staging import Staging, staging
from interlock.domain.data.dataset import Dataset, is_own_ledger, pick_dataset
from interlock.domain.data.quality import QualityResult, sentence
from interlock.domain.data.source import SourceRow, describe, parse_source
from interlock.engine.agents.permission import demand_source
from interlock.engine.datasets.dataset_source import Reach, take_in
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.runs.session import Session
from interlock.engine.sources.source import read_rows
from interlock.engine.sources.source_access import OWN_ACCESS, SourceAccess
from interlock.errors import SourceError, Stopped
from interlock.ledger.facts.fact import reading_before, readings_of, write_reading
from interlock.ledger.facts.quality import write_reports
from interlock.ledger.runs.run import pin_as_of
from interlock.ledger.store.record import Reading
from interlock.ledger.store.transaction import new_id


@dataclass(frozen=True)
class Beside:
    """What a check may look at beside the rows."""

    rows_of: Callable[[Any], Iterator[SourceRow]]
    """Reads another source."""
    before: Reading | None
    """The reading before."""
    snapshots: Snapshots | None


Check = Callable[[Session, str, Dataset, Staging, datetime, Beside], list[QualityResult]]
"""Holds a staged dataset against what it must be, and puts failing rows aside. First comes the declaration's result."""


@dataclass(frozen=True)
class Verdict:
    """What checks make of a dataset."""

    state: str
    """``fit``, ``warned`` or ``withheld``."""
    reasons: Mapping[str, Any]
    """Sentences by severity; ``caps``: the lowest cap on confidence that a warning brings, where one does."""


def judge(checked: Sequence[QualityResult]) -> Verdict:
    """Return what the results make of a dataset."""
    critical = [sentence(found) for result in checked for found in result.critical_failed]
    warning = [sentence(found) for result in checked for found in result.warnings]
    info = [sentence(found) for result in checked for found in result.notes]
    reasons: dict[str, Any] = {"critical": critical, "warning": warning, "info": info}
    if caps := [result.cap for result in checked if result.cap is not None]:
        reasons["caps"] = min(caps)
    return Verdict("withheld" if critical else "warned" if warning else "fit", reasons)


def read_dataset(
    session: Session,
    name: str,
    *,
    connection: Callable[[str], Any],
    snapshots: Snapshots,
    check: Check,
    as_of: datetime | None = None,
    source: Any = None,
    storage: Callable[[str, str | None], Any] | None = None,
    access: SourceAccess = OWN_ACCESS,
    may_try_again: bool = True,
) -> Reading:
    """
    Read dataset *name* for the run, and return the reading.

    :param connection: gives the Airflow connection of an id.
    :param as_of: the instant to read as of, unless the run has one already; None: when the newest row became known.
    :param source: read in place of the declared source.
    :param storage: gives the path-like object of an address in object storage.
    :param access: where the source may be, and how much it may bring.
    :param may_try_again: whether the task will be tried again. At its last attempt a source that cannot answer is one
        that cannot be read, so that a run goes on without a dataset that it does not need.
    :raises Stopped: the dataset is required and not fit. The reading and its reasons are kept.
    :raises SourceError: the source may be readable later. There is no reading.
    """
    dataset = pick_dataset(session.version.bundle.datasets, name)
    with session.read() as opened:
        row = readings_of(opened, session.run.id).get(name)
    if row is None:
        reach = Reach(
            connection=connection, base=session.include.parent, storage=storage, ledger=session.ledger, access=access
        )
        waits = may_try_again or dataset.required
        row = _read(session, name, dataset, source or dataset.source, reach, snapshots, check, as_of, waits=waits)
    session.log.info(
        "dataset %r as of %s: %d rows, %d quarantined, %s",
        *(name, row.as_of.isoformat(), row.row_count, row.quarantined, row.state),
    )
    if row.is_withheld and dataset.required:
        raise Stopped(
            f"dataset {name!r} is not fit and the run needs it: {'; '.join(row.critical)}. Mend the "
            "source or the declaration, and start a new run"
        )
    return row


def _read(
    session: Session,
    name: str,
    dataset: Dataset,
    source: Any,
    reach: Reach,
    snapshots: Snapshots,
    check: Check,
    as_of: datetime | None,
    *,
    waits: bool,
) -> Reading:
    def rows_of(other: Any) -> Iterator[SourceRow]:
        spec = parse_source(other)
        demand_source(session, getattr(spec, "conn_id", None))
        return read_rows(spec, connection=reach.connection, base=reach.base, storage=reach.storage, access=reach.access)

    with staging(dataset) as staged:
        results, described = [], str(source)
        try:
            if not is_own_ledger(source):
                spec = parse_source(source)
                demand_source(session, getattr(spec, "conn_id", None))
                described = describe(spec)
            results += take_in(staged, source, reach)
            if staged.omitted:
                session.log.info("dataset %r: %s omitted, which hold no data", name, staged.omitted)
        except SourceError as error:
            if error.retryable and waits:
                raise
            staged.forget_rows()  # a part of the rows is none of them
            results.append(check_result(dataset, "source", str(error)))
        staged.type_rows()
        staged.put_future_aside(session.ledger.clock())
        wanted = session.run.as_of or as_of or staged.newest_known()
        if wanted is None and not results:
            results.append(
                check_result(dataset, "source", "there is no row with a time, so there is no instant to read as of")
            )
        with session.write() as tx:
            pinned = pin_as_of(tx, session.run, wanted) or tx.at
        staged.read_as_of(pinned)
        with session.read() as opened:
            beside = Beside(rows_of, reading_before(opened, session.run, name, pinned), snapshots)
        checked = check(session, name, dataset, staged, pinned, beside)
        declared = replace(checked[0], results=(*results, *checked[0].results))
        return _keep(session, name, described, staged, [declared, *checked[1:]], pinned, snapshots)


def _keep(
    session: Session,
    name: str,
    source: str,
    staged: Staging,
    checked: Sequence[QualityResult],
    as_of: datetime,
    snapshots: Snapshots,
) -> Reading:
    kept: dict[str, str] = {}
    for what, write in (("snapshot", staged.write_rows), ("quarantine", staged.write_aside)):
        if what == "snapshot" or staged.count_aside():
            file: Path = staged.folder / f"{what}.parquet"
            kept[what] = write(file)
            snapshots.put(file, kept[what])
    verdict = judge(checked)
    with session.write() as tx:
        row = Reading(
            id=new_id(),
            run_id=session.run.id,
            task=session.task.task_id,
            dataset=name,
            source=source[:500],
            as_of=as_of,
            state=verdict.state,
            reasons=verdict.reasons,
            row_count=staged.count(),
            quarantined=staged.count_aside(),
            columns=[list(column) for column in staged.dataset.columns.items()],
            newest_at=staged.newest_at(),
            snapshot=kept.get("snapshot"),
            quarantine=kept.get("quarantine"),
            created_at=tx.at,
        )
        write_reading(tx, row)
        write_reports(tx, session.run, session.task.task_id, checked, reading_id=row.id)
    session.count("rows", row.row_count)
    session.count("quarantined", row.quarantined)
    return row
