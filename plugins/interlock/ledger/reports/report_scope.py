"""Which runs and cases a figure is about: those of a workflow, in a phase, in a period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from interlock.domain.base.period import Period
from interlock.domain.cases.case import ACTIVE
from interlock.errors import UnknownName
from interlock.ledger.policy.version import load_version
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import case, workflow_run


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One phase of a workflow in a period."""

    environment: str
    workflow: str
    phase: str
    """Of the version that a run pinned: ``pilot`` or ``production``."""
    versions: tuple[str, ...]
    """Ids of the workflow's versions of that phase."""
    period: Period
    first_run: datetime

    @property
    def runs(self) -> Select[tuple[str]]:
        """Ids of the runs, to be selected from."""
        return select(workflow_run.c.id).where(
            workflow_run.c.environment == self.environment,
            workflow_run.c.workflow == self.workflow,
            workflow_run.c.version_id.in_(self.versions),
        )

    @property
    def taken_in(self) -> ColumnElement[bool]:
        """
        The condition that a row of ``case`` was taken in in the period and is in no task's hands any more.

        While a run works, its cases are neither sent nor held back: counted, they would look like failures.
        """
        in_work = case.c.state.in_([state.value for state in ACTIVE])
        return and_(self.of_workflow, self.within(case.c.opened_at), ~in_work)

    @property
    def of_workflow(self) -> ColumnElement[bool]:
        """The condition that a row of ``case`` is the workflow's, in the phase of the run that has it."""
        return and_(
            case.c.environment == self.environment, case.c.workflow == self.workflow, case.c.run_id.in_(self.runs)
        )

    def within(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition that an instant is in the period."""
        return and_(column >= self.period.start, column < self.period.end)


def scopes(connection: Connection, ledger: Ledger, workflow: str, period: Period) -> list[Scope]:
    """
    Return the phases that runs of *workflow* had, the pilot first.

    :raises UnknownName: no run of it is in the ledger.
    """
    here = workflow_run.c.environment == ledger.environment
    rows = connection.execute(
        select(workflow_run.c.version_id, func.min(workflow_run.c.started_at))
        .where(here, workflow_run.c.workflow == workflow)
        .group_by(workflow_run.c.version_id)
    ).all()
    if not rows:
        known = connection.execute(select(workflow_run.c.workflow).where(here).distinct()).scalars()
        raise UnknownName("run of workflow", workflow, known, where=f"the ledger of {ledger.environment!r}")
    of_phase: dict[str, list[str]] = {}
    first: dict[str, datetime] = {}
    for version_id, began in rows:
        phase = load_version(connection, version_id).bundle.settings.phase
        of_phase.setdefault(phase, []).append(version_id)
        first[phase] = min(first.get(phase, began), began)
    return [
        Scope(
            environment=ledger.environment,
            workflow=workflow,
            phase=phase,
            versions=tuple(sorted(of_phase[phase])),
            period=period,
            first_run=first[phase],
        )
        for phase in sorted(of_phase)
    ]
