"""Facts and readings: written once, found again by id, by run and by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from interlock.domain.facts.fact import Fact
from interlock.errors import InputError, UnknownName
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.record import Reading, Run
from interlock.ledger.store.schema import fact, reading, workflow_run
from interlock.ledger.store.transaction import Transaction


def write_facts(tx: Transaction, run: WorkflowRun, task: str, facts: Sequence[Fact]) -> int:
    """Write the *facts* that the run has not yet; return how many are new."""
    known = set(tx.connection.execute(select(fact.c.id).where(fact.c.run_id == run.id)).scalars())
    rows = [
        {
            "run_id": run.id,
            "id": one.id,
            "task": task,
            "dataset": one.dataset,
            "indicator": one.indicator,
            "name": one.name,
            "period_start": one.period_start,
            "body": one.model_dump(mode="json"),
            "created_at": tx.at,
        }
        for one in {one.id: one for one in facts}.values()
        if one.id not in known
    ]
    tx.insert(fact, rows, kind="fact.stated", facts=lambda row: {"name": row["name"]})
    return len(rows)


def facts_of(connection: Connection, run_id: str, *, names: Iterable[str] | None = None) -> list[Fact]:
    """Return the facts of a run in the order in which they were stated."""
    query = select(fact.c.body).where(fact.c.run_id == run_id).order_by(fact.c.created_at, fact.c.name, fact.c.id)
    if names is not None:
        query = query.where(fact.c.name.in_(list(names)))
    return [Fact.model_validate(body) for body in connection.execute(query).scalars()]


def write_reading(tx: Transaction, row: Reading) -> None:
    """Write how a run read a dataset."""
    tx.insert(reading, [row], kind="dataset.read", facts=lambda r: {"dataset": r["dataset"], "state": r["state"]})


def find_fact(
    connection: Connection, environment: str, fact_id: str, *, reading_id: str | None = None
) -> tuple[Fact, Run, Reading]:
    """
    Return a fact with its run and its reading, as the newest run stated it.

    :param fact_id: its id, or the beginning of it.
    :param reading_id: the reading that it was stated from; default: of any run.
    :raises UnknownName: there is none.
    :raises InputError: several begin so.
    """
    query = (
        select(fact.c.id, fact.c.body, fact.c.run_id)
        .join(workflow_run, workflow_run.c.id == fact.c.run_id)
        .where(workflow_run.c.environment == environment, fact.c.id.startswith(fact_id, autoescape=True))
        .order_by(fact.c.created_at.desc())
    )
    if reading_id is not None:
        query = query.join(reading, reading.c.run_id == fact.c.run_id).where(reading.c.id == reading_id)
    rows = connection.execute(query).all()
    ids = sorted({row.id for row in rows})
    if len(ids) > 1:
        some = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
        raise InputError(f"{len(ids)} facts begin with {fact_id!r}: {some}. Give more of the one that is meant")
    if not ids:
        raise UnknownName("fact", fact_id, (), where="the ledger")
    found = Fact.model_validate(rows[0].body)
    run = connection.execute(select(workflow_run).where(workflow_run.c.id == rows[0].run_id)).one()
    return found, Run.of(run), load_reading(connection, found.reading)


def load_reading(connection: Connection, reading_id: str) -> Reading:
    """Return the reading *reading_id*."""
    return Reading.of(connection.execute(select(reading).where(reading.c.id == reading_id)).one())


def readings_of(connection: Connection, run_id: str) -> dict[str, Reading]:
    """Return the readings of a run by dataset."""
    rows = connection.execute(select(reading).where(reading.c.run_id == run_id).order_by(reading.c.created_at))
    return {row.dataset: Reading.of(row) for row in rows}


def reading_before(connection: Connection, run: WorkflowRun, dataset: str, as_of: datetime) -> Reading | None:
    """
    Return the newest reading of *dataset* by another run of the workflow that reads as of an earlier instant.

    One that was withheld is passed over: nothing was said of its rows, and it may hold none.
    """
    row = connection.execute(
        select(reading)
        .join(workflow_run, workflow_run.c.id == reading.c.run_id)
        .where(
            workflow_run.c.environment == run.environment,
            workflow_run.c.workflow == run.workflow,
            reading.c.run_id != run.id,
            reading.c.dataset == dataset,
            reading.c.state != "withheld",
            reading.c.as_of < as_of,
        )
        .order_by(reading.c.as_of.desc(), reading.c.created_at.desc())
        .limit(1)
    ).first()
    return None if row is None else Reading.of(row)


def inputs_of(connection: Connection, run_id: str, found: Fact) -> list[Fact]:
    """Return the facts that *found* follows from, in the order in which it names them."""
    rows = connection.execute(
        select(fact.c.id, fact.c.body).where(fact.c.run_id == run_id, fact.c.id.in_(list(found.inputs)))
    )
    known = {row.id: Fact.model_validate(row.body) for row in rows}
    return [known[fact_id] for fact_id in found.inputs]


@dataclass(frozen=True, kw_only=True)
class RunReading(Reading):
    """A reading with the Dag run that made it."""

    run: str


def readings_of_workflow(connection: Connection, environment: str, workflow: str) -> list[RunReading]:
    """Return the readings of *workflow*, the newest first."""
    query = (
        select(reading, workflow_run.c.run_id.label("run"))
        .join(workflow_run, workflow_run.c.id == reading.c.run_id)
        .where(
            workflow_run.c.environment == environment,
            workflow_run.c.workflow == workflow,
        )
        .order_by(reading.c.created_at.desc())
    )
    return RunReading.all_of(connection.execute(query))


@dataclass(frozen=True)
class ReadingFiles:
    """The files that a reading keeps, and which version says for how long."""

    dataset: str
    created_at: datetime
    snapshot: str | None
    quarantine: str | None
    version_id: str


def reading_files(connection: Connection) -> list[ReadingFiles]:
    """Return the files of the readings of all environments."""
    columns = (reading.c.dataset, reading.c.created_at, reading.c.snapshot, reading.c.quarantine)
    query = select(*columns, workflow_run.c.version_id).join(workflow_run, workflow_run.c.id == reading.c.run_id)
    return [ReadingFiles(*row) for row in connection.execute(query)]
