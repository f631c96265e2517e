"""
What a task holds while it works: the ledger, the run with its pinned version, its turn, and where cases go from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.policy.check import check_bundle
from interlock.domain.policy.company import Company
from interlock.domain.policy.version import WorkflowVersion
from interlock.domain.routing.routing import Router
from interlock.engine.policy.bundle import PinnedFiles
from interlock.errors import ConfigurationError, LedgerError, PolicyError, Tampered
from interlock.ledger.incidents.incident import report_incident
from interlock.ledger.policy.company import company_at
from interlock.ledger.policy.deployment import refuse_unless_deployed
from interlock.ledger.policy.version import in_force, last_sealed
from interlock.ledger.runs.kill_switch import Switch, refuse_if_off
from interlock.ledger.runs.run import (
    Attempt,
    WorkflowRun,
    begin_attempt,
    check_attempt,
    end_attempt,
    find_run,
    start_run,
)
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.transaction import Actor, Transaction

GROUP = 500
"""Cases of one transaction."""


@dataclass
class Session:
    """One attempt of one task of a run."""

    ledger: Ledger
    run: WorkflowRun
    task: WiredTask
    attempt: Attempt
    include: Path
    log: logging.Logger
    counts: dict[str, int] = field(default_factory=dict)
    """What happened to how many cases; the task's return value and the log's."""
    finished_runs: Callable[[list[tuple[str, str, str]]], list[str]] = lambda runs: []
    """Says which of (ledger id, dag id, run id) are over in Airflow."""

    @property
    def version(self) -> WorkflowVersion:
        """The version that the run pinned."""
        return self.run.version

    @cached_property
    def router(self) -> Router:
        """The pinned policy's rules and checks, compiled."""
        return Router.of(self.version.bundle)

    @property
    def company(self) -> Company:
        """The company's files that the run pinned."""
        return self.run.company

    @property
    def files(self) -> PinnedFiles:
        """The pinned version's files."""
        return PinnedFiles(self.version.bundle, self.include)

    def count(self, what: str, number: int = 1) -> None:
        """Add *number* to the count of *what*."""
        if number:
            self.counts[what] = self.counts.get(what, 0) + number

    @property
    def switches(self) -> tuple[Switch, ...]:
        """What stops this task when it is switched off. A report does no work: it says where the cases stand."""
        if self.task.kind == "report":
            return ()
        workflow = self.run.workflow
        agent = (("agent", f"{workflow}/{self.task.agent}"),) if self.task.agent else ()
        connector = (("connector", self.task.connector),) if self.task.connector else ()
        return (("workflow", workflow), *agent, *connector)

    def check_switches(self) -> None:
        """
        Let the task go on.

        :raises SwitchedOff: a person stopped its workflow, its agent or its connector.
        """
        with self.read() as connection:
            refuse_if_off(connection, self.run.environment, self.switches, workflow=self.run.workflow)

    @contextmanager
    def write(self, actor: Actor | None = None, *, settles: bool = False) -> Iterator[Transaction]:
        """
        Open a write transaction on the run's chain.

        :param settles: it records what took place already (an effect, a paid call, a vote), which no switch undoes.
        :raises Superseded: another attempt of this task has begun.
        :raises SwitchedOff: a person stopped the task's workflow, its agent or its connector.
        """
        with self.ledger.write(actor=actor or Actor("task", self.task.task_id), chain=self.run.chain) as tx:
            check_attempt(tx, self.attempt)
            if not settles:
                refuse_if_off(tx.connection, self.run.environment, self.switches, workflow=self.run.workflow)
            yield tx

    def read(self) -> AbstractContextManager[Any]:
        """Open a read transaction."""
        return self.ledger.read()

    def task_after(self, route: str | None) -> str:
        """
        Return the task that takes a case with *route* over from here.

        :raises ConfigurationError: none does.
        """
        following = self.run.wiring.next_task(self.task.task_id, route)
        if following is None:
            raise ConfigurationError(f"nothing of ours follows task {self.task.task_id!r}, and its cases are not done")
        return following.task_id

    def place_after(self, route: str | None) -> CaseChange:
        """
        Return where a case with *route* goes from here: its task, and its state when people must sign off.

        :raises ConfigurationError: no task takes it, or execution would follow without an authorisation.
        """
        following = self.run.wiring.next_task(self.task.task_id, route)
        if following is None:
            raise ConfigurationError(f"nothing of ours follows task {self.task.task_id!r}, and its cases are not done")
        if following.kind == "execution":
            raise ConfigurationError(
                f"execution {following.task_id!r} follows {self.task.task_id!r} without a validation or a gate"
            )
        if following.kind == "gate":
            return CaseChange(task=following.task_id, state=CaseState.WAITING)
        return CaseChange(task=following.task_id)

    def place_before_people(self, route: str | None) -> CaseChange | None:
        """
        Return where a case goes from here on its way to a gate, as :meth:`place_after`.

        Its route is in it where its own leads to none and it takes another. None: no gate can be reached.
        """
        leads = self.run.wiring.route_to_people(self.task.task_id, route)
        if leads is None:
            return None
        place = self.place_after(leads or None)
        return place if leads == (route or "") else replace(place, route=leads)

    @contextmanager
    def ended_if_it_fails(self) -> Iterator[None]:
        """Record that the attempt is over when it raises, so that one that died without a word is told apart."""
        try:
            yield
        except LedgerError:
            raise
        except BaseException:
            self.finish()
            raise

    def finish(self) -> dict[str, int]:
        """Record what this attempt did and return it."""
        end_attempt(self.ledger, self.run, self.attempt, dict(self.counts))
        return dict(self.counts)


def open_session(
    ledger: Ledger,
    *,
    workflow: str,
    dag_id: str,
    run_id: str,
    task_id: str,
    wiring: Wiring,
    include: Path,
    triggered_by: str | None = None,
    is_resume: bool = False,
    log: logging.Logger | None = None,
) -> Session:
    """
    Take the turn at a task; the first task of a run pins the version that is in force.

    :raises ConfigurationError: no version is in force.
    :raises NotDeployed: the workflow does not run in this environment.
    :raises PolicyError: the version cannot work with this Dag: a route without a task, an unknown agent.
    :raises SwitchedOff: a person stopped the workflow, so no run of it begins.
    :raises Tampered: the version, or what the run pinned, was not written with the seal's key; an incident names it.
    """
    with _tampering_reported(ledger, workflow, task_id):
        run = find_run(ledger, dag_id, run_id, sealed=True)
        if run is None:
            run = _start(
                ledger,
                workflow,
                dag_id=dag_id,
                run_id=run_id,
                task_id=task_id,
                wiring=wiring,
                triggered_by=triggered_by,
                is_resume=is_resume,
            )
    if task_id not in run.wiring.tasks:
        raise ConfigurationError(
            f"task {task_id!r} was not part of Dag {dag_id!r} when the run began. Start a new run for the changed Dag"
        )
    log = log or logging.getLogger("interlock")
    reviewed = run.version.bundle.policy.reviewed
    if reviewed is not None and reviewed.until < ledger.clock().date():
        told = "the policy of %s is past its review: gone through on %s, due by %s"
        log.warning(told, workflow, reviewed.last, reviewed.until)
    attempt = begin_attempt(ledger, run, task_id)
    return Session(ledger, run, run.wiring.tasks[task_id], attempt, include, log)


def _start(ledger: Ledger, workflow: str, *, task_id: str, wiring: Wiring, **run: Any) -> WorkflowRun:
    """Begin a run that pins the version in force, and return it."""
    version = in_force(ledger, workflow, seal=ledger.seal)
    with ledger.read(sealed=True) as connection:
        refuse_unless_deployed(connection, ledger.environment, workflow)
        refuse_if_off(connection, ledger.environment, [("workflow", workflow)], workflow=workflow)
        company = company_at(connection, ledger)
    check_against_dag(version, company, wiring)
    actor = Actor("task", task_id)
    return start_run(ledger, version=version, company=company, wiring=wiring, actor=actor, **run)


@contextmanager
def _tampering_reported(ledger: Ledger, workflow: str, task_id: str) -> Iterator[None]:
    """Report that a run does not work because its version, or what it pinned, was not written with the seal's key."""
    try:
        yield
    except Tampered as error:
        assert ledger.seal is not None
        with ledger.write(actor=Actor("task", task_id), chain=f"incident:{ledger.environment}") as tx:
            known = last_sealed(tx.connection, ledger.environment, workflow, tx.at, seal=ledger.seal)
            if known is not None and error.subject:
                report_incident(
                    tx,
                    environment=ledger.environment,
                    settings=known.bundle.settings,
                    kind=type(error).__name__,
                    subject=error.subject,
                    reason=str(error),
                    tell=known.bundle.policy.recovery(error).tell,
                )
        raise


def check_against_dag(version: WorkflowVersion, company: Company, wiring: Wiring) -> None:
    """
    Let a run of a Dag with *wiring* pin *version* and *company*.

    A policy past its review date still runs, with a warning: work must not stop because a meeting was missed.

    :raises PolicyError: with every problem.
    """
    problems = check_bundle(version.bundle, company, environment=version.environment, wiring=wiring)
    if problems:
        raise PolicyError(f"version {version} cannot run this Dag: " + "; ".join(problems))
