"""
Runs of a workflow, and the attempts of their tasks.

An attempt is a fence: when a task is tried again, its earlier process may still be alive (its supervisor was killed,
its heartbeat lost). Every write of a task asks whether a later attempt has begun, and stops if so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, select, update

from interlock.domain.cases.wiring import Wiring
from interlock.domain.policy.company import Company
from interlock.domain.policy.version import WorkflowVersion
from interlock.errors import Superseded
from interlock.ledger.cost.budget import write_off
from interlock.ledger.cost.usage_row import Place, charge_lost_time, charge_time
from interlock.ledger.policy.company import load_company
from interlock.ledger.policy.version import load_version
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Run
from interlock.ledger.store.schema import case_run, permit, task_attempt, workflow_run
from interlock.ledger.store.transaction import Actor, Transaction, new_id


@dataclass(frozen=True, kw_only=True)
class WorkflowRun:
    """One Dag run of a workflow, with the version that it pinned."""

    id: str
    environment: str
    workflow: str
    dag_id: str
    run_id: str
    triggered_by: str | None
    is_resume: bool
    started_at: datetime
    version: WorkflowVersion
    wiring: Wiring
    company: Company
    """The company's files as they were in force when the run began."""
    as_of: datetime | None = None
    """The instant that its datasets are read as of; None until the first is read."""

    @property
    def chain(self) -> str:
        """The chain that the run's events are on."""
        return f"run:{self.id}"

    def place(self, task: str) -> Place:
        """Where costs of *task* stand."""
        wired = self.wiring.tasks.get(task)
        return Place(self.id, task, (wired.agent or wired.connector or "") if wired is not None else "")


@dataclass(frozen=True)
class Attempt:
    """One process's turn at a task of a run."""

    run_id: str
    task: str
    number: int
    token: str
    follows_a_death: bool = False
    """The attempt before ended without a word: its process was killed, or a case ended it."""


def find_run(ledger: Ledger, dag_id: str, run_id: str) -> WorkflowRun | None:
    """Return the run of Dag run *run_id* of *dag_id*, or None when none of its tasks began yet."""
    with ledger.read() as connection:
        row = connection.execute(
            select(workflow_run).where(
                workflow_run.c.environment == ledger.environment,
                workflow_run.c.dag_id == dag_id,
                workflow_run.c.run_id == run_id,
            )
        ).first()
        return None if row is None else _run(connection, Run.of(row))


def dags_by_workflow(ledger: Ledger) -> dict[str, set[str]]:
    """Return the ids of the Dags that worked for each workflow in the ledger's environment."""
    query = select(workflow_run.c.workflow, workflow_run.c.dag_id).where(
        workflow_run.c.environment == ledger.environment
    )
    found: dict[str, set[str]] = {}
    with ledger.read() as connection:
        for workflow, dag_id in connection.execute(query.distinct()):
            found.setdefault(workflow, set()).add(dag_id)
    return found


def load_run(connection: Connection, run_id: str) -> WorkflowRun:
    """Return the run whose id in the ledger is *run_id*."""
    row = connection.execute(select(workflow_run).where(workflow_run.c.id == run_id)).one()
    return _run(connection, Run.of(row))


def start_run(
    ledger: Ledger,
    *,
    version: WorkflowVersion,
    company: Company,
    dag_id: str,
    run_id: str,
    wiring: Wiring,
    triggered_by: str | None,
    is_resume: bool,
    actor: Actor,
) -> WorkflowRun:
    """
    Record that Dag run *run_id* began under *version*; return the run, which may be one that another task recorded.
    """
    row = Run(
        id=new_id(),
        environment=ledger.environment,
        workflow=version.bundle.workflow,
        dag_id=dag_id,
        run_id=run_id,
        version_id=version.id,
        company_id=company.version_id,
        wiring=wiring.to_json(),
        triggered_by=triggered_by,
        is_resume=is_resume,
        started_at=ledger.clock(),
        revision=1,
    )
    with ledger.write(actor=actor, chain=f"run:{row.id}") as tx:
        tx.take_turns(f"run:{ledger.environment}:{dag_id}:{run_id}")
        existing = tx.connection.execute(
            select(workflow_run.c.id).where(
                workflow_run.c.environment == ledger.environment,
                workflow_run.c.dag_id == dag_id,
                workflow_run.c.run_id == run_id,
            )
        ).scalar()
        if existing is None:
            tx.insert(
                workflow_run,
                [row],
                kind="run.started",
                facts=lambda r: {"version": version.number, "company": company.number, "dag": dag_id, "run": run_id},
            )
    found = find_run(ledger, dag_id, run_id)
    assert found is not None
    return found


def end_run(tx: Transaction, run: WorkflowRun) -> None:
    """Record that *run* is over; its waiting cases may be taken up by a resume run from now on."""
    row = _locked(tx, run)
    if row.ended_at is None:
        tx.update(workflow_run, [replace(row, ended_at=tx.at)], kind="run.ended")


def pin_as_of(tx: Transaction, run: WorkflowRun, as_of: datetime | None) -> datetime | None:
    """
    Let *run* read its datasets as of *as_of*, unless it has begun to read as of another instant; return which.

    :param as_of: None: it is for the run's other datasets to say.
    """
    row = _locked(tx, run)
    if row.as_of is None and as_of is not None:
        row = tx.update(workflow_run, [replace(row, as_of=as_of)], kind="run.reads_as_of")[0]
    return row.as_of


def _locked(tx: Transaction, run: WorkflowRun) -> Run:
    query = select(workflow_run).where(workflow_run.c.id == run.id)
    return Run.of(tx.connection.execute(query.with_for_update()).one())


def triggered_by(connection: Connection, case_id: str) -> str | None:
    """Return who triggered the run that took a case in, as Airflow names them; None when nobody did."""
    return connection.execute(
        select(workflow_run.c.triggered_by)
        .join(case_run, case_run.c.run_id == workflow_run.c.id)
        .where(case_run.c.case_id == case_id, workflow_run.c.is_resume.is_(False))
        .order_by(workflow_run.c.started_at)
        .limit(1)
    ).scalar()


def unfinished_runs(ledger: Ledger, workflow: str) -> list[tuple[str, str, str]]:
    """Return (id, dag id, run id) of the runs of *workflow* that were not recorded as ended."""
    with ledger.read() as connection:
        rows = connection.execute(
            select(workflow_run.c.id, workflow_run.c.dag_id, workflow_run.c.run_id).where(
                workflow_run.c.environment == ledger.environment,
                workflow_run.c.workflow == workflow,
                workflow_run.c.ended_at.is_(None),
            )
        )
        return [(row.id, row.dag_id, row.run_id) for row in rows]


def runs_at_work(connection: Connection, environment: str, workflow: str, *, among: int = 5) -> list[WorkflowRun]:
    """
    Return the newest run of *workflow*, and those *among* the newest that were not recorded as ended.

    A run that failed is never recorded as ended: without a bound, each would be told of for ever.
    """
    query = (
        select(workflow_run)
        .where(workflow_run.c.environment == environment, workflow_run.c.workflow == workflow)
        .order_by(workflow_run.c.started_at.desc(), workflow_run.c.id.desc())
    )
    rows = Run.all_of(connection.execute(query.limit(among)))
    return [_run(connection, row) for row in rows if row is rows[0] or row.ended_at is None]


def begin_attempt(ledger: Ledger, run: WorkflowRun, task: str) -> Attempt:
    """Take the turn at *task* of *run* over from whatever process had it."""
    token = new_id()
    with ledger.write(actor=Actor("task", task), chain=run.chain) as tx:
        last = tx.connection.execute(
            select(func.max(task_attempt.c.number)).where(task_attempt.c.run_id == run.id, task_attempt.c.task == task)
        ).scalar()
        number = (last or 0) + 1
        tx.insert_quietly(
            task_attempt,
            [
                {
                    "run_id": run.id,
                    "task": task,
                    "number": number,
                    "token": token,
                    "started_at": tx.at,
                    "ended_at": None,
                    "counts": None,
                }
            ],
        )
        before = tx.connection.execute(
            select(task_attempt.c.started_at, task_attempt.c.ended_at).where(
                task_attempt.c.run_id == run.id, task_attempt.c.task == task, task_attempt.c.number == last
            )
        ).first()
        if before is not None and before.ended_at is None:
            charge_lost_time(tx, run.place(task), number=number - 1, since=before.started_at, company=run.company)
        write_off(tx, place=(run.id, task))
        earlier = select(task_attempt.c.token).where(
            task_attempt.c.run_id == run.id, task_attempt.c.task == task, task_attempt.c.number < number
        )
        freed = update(permit).where(permit.c.holder.in_(earlier)).values(wanted=0, granted=0, expires_at=tx.at)
        tx.connection.execute(freed)  # a dead process makes no calls
        tx.tell("task.began", f"task:{run.id}:{task}", {"attempt": number})
    return Attempt(run.id, task, number, token, before is not None and before.ended_at is None)


def check_attempt(tx: Transaction, attempt: Attempt) -> None:
    """
    Let *attempt* go on writing.

    :raises Superseded: another attempt of its task has begun.
    """
    current = tx.connection.execute(
        select(task_attempt.c.number, task_attempt.c.token)
        .where(task_attempt.c.run_id == attempt.run_id, task_attempt.c.task == attempt.task)
        .order_by(task_attempt.c.number.desc())
        .limit(1)
    ).one()
    if current.token != attempt.token:
        raise Superseded(
            f"attempt {attempt.number} of task {attempt.task!r} was superseded by attempt {current.number}; "
            "it stops here, and the other goes on with what is left"
        )


def end_attempt(ledger: Ledger, run: WorkflowRun, attempt: Attempt, counts: dict[str, Any]) -> None:
    """Record what *attempt* of *run* did: *counts* by what happened to the cases, and the time that it took."""
    mine = and_(
        task_attempt.c.run_id == attempt.run_id,
        task_attempt.c.task == attempt.task,
        task_attempt.c.number == attempt.number,
    )
    with ledger.write(actor=Actor("task", attempt.task), chain=f"run:{attempt.run_id}") as tx:
        began, ended = tx.connection.execute(
            select(task_attempt.c.started_at, task_attempt.c.ended_at).where(mine).with_for_update()
        ).one()
        followed = select(task_attempt.c.number).where(
            task_attempt.c.run_id == attempt.run_id,
            task_attempt.c.task == attempt.task,
            task_attempt.c.number > attempt.number,
        )
        if ended is None and tx.connection.execute(followed.limit(1)).first() is None:
            charge_time(tx, run.place(attempt.task), number=attempt.number, since=began, company=run.company)
        tx.connection.execute(update(task_attempt).where(mine).values(ended_at=tx.at, counts=counts))
        tx.tell("task.ended", f"task:{attempt.run_id}:{attempt.task}", {"attempt": attempt.number, "counts": counts})


def _run(connection: Connection, row: Run) -> WorkflowRun:
    return WorkflowRun(
        id=row.id,
        environment=row.environment,
        workflow=row.workflow,
        dag_id=row.dag_id,
        run_id=row.run_id,
        triggered_by=row.triggered_by,
        is_resume=row.is_resume,
        started_at=row.started_at,
        version=load_version(connection, row.version_id),
        wiring=Wiring.from_json(row.wiring),
        company=load_company(connection, row.company_id),
        as_of=row.as_of,
    )
