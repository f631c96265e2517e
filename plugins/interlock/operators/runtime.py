"""
Airflow's edge: from a task's context to a session, and from our errors to what Airflow understands.

Imported inside ``execute`` only, because it brings SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock.domain.base.plural import counted
from interlock.domain.cases.case import ACTIVE
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.engine.runs.session import Session, open_session
from interlock.errors import ConfigurationError, InterlockError, Superseded
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import include_path
from interlock.ledger.agents.provider_batch import open_batches
from interlock.ledger.cases.case import count_at

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

RESUME = "interlock_resume"
"""Key of a Dag run's conf that makes its intake resume waiting cases."""


def run_task(operator: Any, context: Context) -> dict[str, Any]:
    """Work on the cases at the task of *operator*, an ``InterlockOperator``, or skip it when there are none."""
    with airflow_errors():
        session = session_of(operator, context)
        if not operator.runs_without_cases:
            with session.read() as connection:
                here = count_at(connection, session.run, operator.task_id, states=ACTIVE)
                out = here or any(open_batches(connection, session.run, operator.task_id))
            if not out:
                session.finish()
                raise AirflowSkipException("no case is at this task")
            session.log.info("%s at this task", counted(here, "case"))
        counts: dict[str, Any] = operator.work(session, context)
        return counts


def session_of(operator: Any, context: Context) -> Session:
    """Open the session of *operator*'s task."""
    run, dag = context["dag_run"], operator.dag
    session = open_session(
        LedgerHook().get_conn(),
        workflow=workflow_of(dag),
        dag_id=dag.dag_id,
        run_id=run.run_id,
        task_id=operator.task_id,
        wiring=wiring_of(dag),
        include=include_path(),
        triggered_by=getattr(run, "triggering_user_name", None),
        is_resume=bool((run.conf or {}).get(RESUME)),
        log=operator.log,
    )
    session.finished_runs = finished_runs
    session.log.info("run of %s, attempt %d of this task", session.version, session.attempt.number)
    return session


def wiring_of(dag: DAG) -> Wiring:
    """Return our tasks of *dag*, and which of them follow each."""
    ours = {task.task_id: task for task in dag.tasks if getattr(task, "interlock_kind", None)}
    return Wiring(
        {
            task_id: WiredTask(
                task_id=task_id, kind=task.interlock_kind, downstream=_nearest(dag, task_id, set(ours)), **task.wired()
            )
            for task_id, task in ours.items()
        }
    )


def _nearest(dag: DAG, task_id: str, ours: set[str]) -> tuple[str, ...]:
    found: list[str] = []
    ahead, passed = sorted(dag.get_task(task_id).downstream_task_ids), {task_id}
    while ahead:
        following = ahead.pop(0)
        if following in passed:
            continue
        passed.add(following)
        if following in ours:
            found.append(following)
        else:
            ahead += sorted(dag.get_task(following).downstream_task_ids)
    return tuple(found)


def workflow_of(dag: DAG) -> str:
    """
    Return the workflow that *dag* wires: its intake names it.

    :raises ConfigurationError: it has no intake, or two workflows.
    """
    named = {task.workflow for task in dag.tasks if getattr(task, "interlock_kind", None) == "intake"}
    if len(named) != 1:
        found = "two workflows: " + ", ".join(sorted(named)) if named else "no IntakeOperator"
        raise ConfigurationError(
            f"Dag {dag.dag_id!r} has {found}; a Dag wires exactly one workflow, which its intake names"
        )
    return str(named.pop())


def may_try_again(context: Context) -> bool:
    """Return whether Airflow retries the task when this attempt fails."""
    task_instance = context["ti"]
    return int(task_instance.try_number) <= int(task_instance.max_tries)


def as_of_of(context: Context, asked: str | None) -> datetime | None:
    """
    Return the instant that a run's datasets are read as of, or None where the data themselves must say.

    What the schedule or a backfill starts reads as of its interval's end: the Dag's own value of the parameter
    ``as_of`` is for runs that are started by hand.

    :param asked: what the operator was given.
    :raises ConfigurationError: it is no instant.
    """
    from interlock.domain.cases.outcome import read_instant

    run = context["dag_run"]
    text = asked or (getattr(run, "conf", None) or {}).get("as_of")
    by_schedule = getattr(run.run_type, "value", run.run_type) in ("scheduled", "backfill")
    if not text and by_schedule and run.data_interval_end is not None:
        return datetime.fromisoformat(run.data_interval_end.isoformat())
    text = text or (context.get("params") or {}).get("as_of")
    if not text:
        return None
    try:
        return read_instant(text)
    except ValueError as error:
        raise ConfigurationError(f"as_of: {error}") from None


def finished_runs(runs: list[tuple[str, str, str]]) -> list[str]:
    """Return the ledger ids of those *runs* (ledger id, dag id, run id) that Airflow says are over."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    over = []
    for ledger_id, dag_id, run_id in runs:
        try:
            state = RuntimeTaskInstance.get_dagrun_state(dag_id=dag_id, run_id=run_id)
        except AirflowException:  # Airflow has forgotten the run
            state = "gone"
        if state in ("success", "failed", "gone"):  # it is a string that str() writes as its class and member
            over.append(ledger_id)
    return over


def tasks_not_done(session: Session) -> dict[str, str]:
    """Return our other tasks of the run that neither succeeded nor were skipped, with Airflow's state of each."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    run_id = session.run.run_id
    states = RuntimeTaskInstance.get_task_states(dag_id=session.run.dag_id, run_ids=[run_id]).get(run_id, {})
    return {
        task_id: str(state or "not started")
        for task_id, state in states.items()
        if task_id in session.run.wiring.tasks
        and session.run.wiring.tasks[task_id].kind != "report"
        and state not in ("success", "skipped")
    }


def find_source_connection(conn_id: str) -> Any:
    """Return the Airflow connection *conn_id*."""
    from interlock.hooks.connection import find_connection

    return find_connection(conn_id, wanted_for="the source", example="--conn-uri <uri>")


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Translate our errors: what a retry cannot help fails the task at once."""
    try:
        yield
    except Superseded as error:
        raise AirflowFailException(str(error)) from error
    except InterlockError as error:
        if error.retryable:
            raise AirflowException(f"{type(error).__name__}: {error}") from error
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
