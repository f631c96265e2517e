"""
Reading a dataset for a run: as of one instant, typed, held against what it must be, and kept as a snapshot.

Each dataset is read once a run, so every number of a run rests on the same rows; a task that is tried again finds its
reading. What is not fit stops the run when the dataset is required, and else withholds what rests on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from interlock.analysis.staging import Staging, staging
from interlock.domain.dataset import Dataset, is_own_ledger, pick_dataset
from interlock.domain.source import FileSource, describe, file_format, parse_source
from interlock.engine.permission import demand_source
from interlock.engine.session import Session
from interlock.engine.snapshot import Snapshots
from interlock.engine.source import read_rows
from interlock.engine.source_file import find_file
from interlock.errors import SourceError, Stopped
from interlock.ledger.fact import readings_of
from interlock.ledger.run import pin_as_of
from interlock.ledger.schema import reading
from interlock.ledger.transaction import Row, new_id


@dataclass
class Verdict:
    """What was found on a dataset: reasons by severity, in words."""

    critical: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``fit``, ``warned`` or ``withheld``."""
        return "withheld" if self.critical else "warned" if self.warnings else "fit"


Check = Callable[[Session, str, Dataset, Staging, datetime], Verdict]
"""Holds a staged dataset against what it must be, and puts failing rows aside."""


def read_dataset(
    session: Session,
    name: str,
    *,
    connection: Callable[[str], Any],
    snapshots: Snapshots,
    check: Check,
    as_of: datetime | None = None,
    source: Any = None,
) -> Row:
    """
    Read dataset *name* for the run, and return the row of the reading.

    :param connection: gives the Airflow connection of an id.
    :param as_of: the instant to read as of, unless the run has one already; None: when the newest row became known.
    :param source: read in place of the declared source.
    :raises Stopped: the dataset is required and not fit. The reading and its reasons are kept.
    """
    dataset = pick_dataset(session.version.bundle.datasets, name)
    with session.read() as opened:
        there = readings_of(opened, session.run.id).get(name)
    if there is None:
        there = _read(session, name, dataset, source or dataset.source, connection, snapshots, check, as_of)
    session.log.info(
        "dataset %r as of %s: %d rows, %d put aside, %s",
        *(name, there["as_of"].isoformat(), there["row_count"], there["quarantined"], there["state"]),
    )
    if there["state"] == "withheld" and dataset.required:
        raise Stopped(
            f"dataset {name!r} is not fit and the run needs it: {'; '.join(there['reasons']['critical'])}. Mend the "
            "source or the declaration, and start a new run"
        )
    return there


def _read(
    session: Session,
    name: str,
    dataset: Dataset,
    source: Any,
    connection: Callable[[str], Any],
    snapshots: Snapshots,
    check: Check,
    as_of: datetime | None,
) -> Row:
    with staging(dataset) as staged:
        verdict, told = Verdict(), str(source)
        try:
            told = _take_in(session, staged, source, connection)
        except SourceError as error:
            if error.retryable:
                raise
            verdict.critical.append(str(error))
        staged.type_rows()
        if staged.missing and staged.found:
            there = ", ".join(map(repr, staged.undeclared)) or "none"
            verdict.critical.append(
                f"columns {', '.join(map(repr, staged.missing))} are missing; undeclared ones that are there: {there}"
            )
        wanted = session.run.as_of or as_of or staged.newest_known()
        if wanted is None:
            verdict.critical.append("there is no row with a time, so there is no instant to read as of")
            wanted = session.ledger.clock()
        with session.write() as tx:
            pinned = pin_as_of(tx, session.run, wanted)
        staged.read_as_of(pinned)
        if not verdict.critical:
            found = check(session, name, dataset, staged, pinned)
            verdict = Verdict(found.critical, found.warnings, found.notes)
        return _keep(session, name, told, staged, verdict, pinned, snapshots)


def _take_in(session: Session, staged: Staging, source: Any, connection: Callable[[str], Any]) -> str:
    """Read the source into *staged*, and return what the ledger calls it."""
    base = session.include.parent
    if is_own_ledger(source):
        from interlock.engine.own_data import own_rows

        staged.add(own_rows(session.ledger, str(source)))
        return str(source)
    spec = parse_source(source)
    demand_source(session, getattr(spec, "conn_id", None))
    if isinstance(spec, FileSource) and file_format(spec) == "parquet" and not spec.path.endswith(".gz"):
        staged.add_parquet(find_file(spec.path, base))
    else:
        staged.add(read_rows(spec, connection=connection, base=base))
    return describe(spec)


def _keep(
    session: Session,
    name: str,
    source: str,
    staged: Staging,
    verdict: Verdict,
    as_of: datetime,
    snapshots: Snapshots,
) -> Row:
    kept: dict[str, str | None] = {"snapshot": None, "quarantine": None}
    for what, write in (("snapshot", staged.write_rows), ("quarantine", staged.write_aside)):
        if what == "snapshot" or staged.count_aside():
            file: Path = staged.folder / f"{what}.parquet"
            kept[what] = write(file)
            snapshots.put(file, kept[what] or "")
    row: Row = {
        "id": new_id(),
        "run_id": session.run.id,
        "task": session.task.task_id,
        "dataset": name,
        "source": source[:500],
        "as_of": as_of,
        "state": verdict.state,
        "reasons": {"critical": verdict.critical, "warning": verdict.warnings, "info": verdict.notes},
        "row_count": staged.count(),
        "quarantined": staged.count_aside(),
        "columns": dict(staged.dataset.columns),
        "newest_at": staged.newest_at(),
        **kept,
    }
    with session.write() as tx:
        row["created_at"] = tx.at
        tx.insert(reading, [row], kind="dataset.read", facts=lambda r: {"dataset": name, "state": r["state"]})
    session.count("rows", row["row_count"])
    session.count("quarantined", row["quarantined"])
    return row
