"""
What the console lists: the cases that wait for people, the cases of a run, the newest runs.

Every list has a limit and says how many there are in all, because a run can hold 100,000 cases. Figures are counted by
the database here; :mod:`interlock.ledger.reports.summary` reads every case and is for one run at a time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, func, or_, select, type_coerce
from sqlalchemy import case as when

from interlock.domain.approvals.request_state import GateState
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import Case, GateRequest, Run
from interlock.ledger.store.schema import (
    authorisation,
    case,
    case_run,
    gate_request,
    vote,
    workflow_run,
    workflow_version,
)


@dataclass(frozen=True)
class Waiting:
    """Open requests at gates: the wanted ones with their cases, and how many there are by workflow, route and gate."""

    requests: Sequence[GateRequest]
    cases: Mapping[str, Case]
    """By case id."""
    voted: Mapping[str, str]
    """What the person answered already, by request id."""
    total: int
    counts: Mapping[str, Mapping[str, int]]
    """``workflow``, ``route`` and ``gate`` to how many of all open requests have which."""


def waiting(
    ledger: Ledger,
    *,
    person: str,
    among: ColumnElement[bool],
    workflow: str = "",
    route: str = "",
    gate: str = "",
    limit: int = 200,
) -> Waiting:
    """Return what waits for people *among* the cases that may be shown: first where *person* may vote, then oldest."""
    wanted = [gate_request.c.state == GateState.OPEN.value, case.c.environment == ledger.environment, among]
    narrowed = list(wanted)
    for column, value in ((case.c.workflow, workflow), (case.c.route, route), (gate_request.c.gate, gate)):
        if value:
            narrowed.append(column == value)
    is_mine = type_coerce(gate_request.c.voters, Text).contains(json.dumps(person, ensure_ascii=False), autoescape=True)
    joined = gate_request.join(case, case.c.id == gate_request.c.case_id)
    query = (
        select(gate_request)
        .select_from(joined)
        .where(*narrowed)
        .order_by(when((is_mine, 0), else_=1), gate_request.c.opened_at, gate_request.c.case_id)
        .limit(limit)
    )
    with ledger.read() as connection:
        requests = GateRequest.all_of(connection.execute(query))
        total = connection.execute(select(func.count()).select_from(joined).where(*narrowed)).scalar_one()
        counts = {
            name: _counted(connection, select(column, func.count()).select_from(joined).where(*wanted).group_by(column))
            for name, column in (
                ("workflow", case.c.workflow),
                ("route", case.c.route),
                ("gate", gate_request.c.gate),
            )
        }
        cases = _cases(connection, [row.case_id for row in requests])
        voted = {
            row.request_id: row.answer
            for group in in_groups([row.id for row in requests], 400)
            for row in connection.execute(
                select(vote.c.request_id, vote.c.answer).where(vote.c.request_id.in_(group), vote.c.person == person)
            )
        }
    return Waiting(requests, cases, voted, total, counts)


def cases_of_run(
    ledger: Ledger,
    run: WorkflowRun,
    *,
    among: ColumnElement[bool],
    reads_reasons: bool,
    state: str = "",
    route: str = "",
    text: str = "",
    limit: int = 200,
) -> tuple[list[Case], int]:
    """
    Return the cases of *run* by key, and how many fit.

    :param among: cases that may be shown.
    :param reads_reasons: whether *text* is also looked for in the reasons, which tells who counts what they say.
    :param text: a part of the key or the task.
    """
    fits: list[ColumnElement[bool]] = [case_run.c.run_id == run.id, among]
    if state:
        fits.append(case.c.state == state)
    if route:
        fits.append(case.c.route == route)
    if text:
        columns = [case.c.business_key, case.c.task, *([case.c.reason] if reads_reasons else [])]
        fits.append(or_(*(func.lower(column).contains(text.lower(), autoescape=True) for column in columns)))
    joined = case.join(case_run, case_run.c.case_id == case.c.id)
    with ledger.read() as connection:
        total = connection.execute(select(func.count()).select_from(joined).where(*fits)).scalar_one()
        rows = connection.execute(
            select(case).select_from(joined).where(*fits).order_by(case.c.business_key, case.c.id).limit(limit)
        )
        return Case.all_of(rows), total


@dataclass(frozen=True, kw_only=True)
class RunFigures(Run):
    """A run, the number of its version, and where its cases are."""

    version: int
    by_state: Mapping[str, int]
    by_route: Mapping[str, int]
    automatic: int
    """Cases that a decision of the policy authorised."""

    @property
    def cases(self) -> int:
        """How many cases are or were in it."""
        return sum(self.by_state.values())


def newest_runs(ledger: Ledger, *, dags: Collection[str], limit: int = 30, only: str | None = None) -> list[RunFigures]:
    """
    Return the newest runs of *dags* with their figures.

    :param only: the ledger's id of the one run that is wanted.
    """
    query = (
        select(workflow_run, workflow_version.c.number.label("version"))
        .join(workflow_version, workflow_version.c.id == workflow_run.c.version_id)
        .where(workflow_run.c.environment == ledger.environment, workflow_run.c.dag_id.in_(sorted(dags)))
        .order_by(workflow_run.c.started_at.desc())
        .limit(limit)
    )
    if only is not None:
        query = query.where(workflow_run.c.id == only)
    with ledger.read() as connection:
        return [_figures(connection, row) for row in connection.execute(query).all()]


def _figures(connection: Connection, row: Any) -> RunFigures:
    automatic = (
        select(func.count(authorisation.c.case_id.distinct()))
        .join(case_run, case_run.c.case_id == authorisation.c.case_id)
        .where(
            case_run.c.run_id == row.id,
            authorisation.c.withdrawn_at.is_(None),
            authorisation.c.basis.startswith("decision:"),
        )
    )
    figures = {
        "by_state": _counted(connection, _members(row.id, case.c.state)),
        "by_route": _counted(connection, _members(row.id, case.c.route)),
        "automatic": connection.execute(automatic).scalar_one(),
    }
    return RunFigures.from_values({**row._mapping, **figures})


def case_counts(ledger: Ledger, dag_id: str, run_id: str) -> dict[str, int]:
    """Return the cases of one Dag run by state; empty until its first task wrote to the ledger."""
    query = (
        select(case.c.state, func.count())
        .join(case_run, case_run.c.case_id == case.c.id)
        .join(workflow_run, workflow_run.c.id == case_run.c.run_id)
        .where(
            workflow_run.c.environment == ledger.environment,
            workflow_run.c.dag_id == dag_id,
            workflow_run.c.run_id == run_id,
        )
        .group_by(case.c.state)
        .order_by(case.c.state)
    )
    with ledger.read() as connection:
        return {str(state): int(number) for state, number in connection.execute(query)}


def _members(run_id: str, column: ColumnElement[Any]) -> Select[Any]:
    return (
        select(column, func.count())
        .join(case_run, case_run.c.case_id == case.c.id)
        .where(case_run.c.run_id == run_id)
        .group_by(column)
    )


def _counted(connection: Connection, query: Select[Any]) -> dict[str, int]:
    rows = [(str(row[0]), int(row[1])) for row in connection.execute(query) if row[0]]
    return dict(sorted(rows, key=lambda row: (-row[1], row[0])))


def _cases(connection: Connection, ids: Sequence[str]) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for group in in_groups(list(ids), 400):
        rows = connection.execute(select(case).where(case.c.id.in_(group)))
        found |= {row.id: Case.of(row) for row in rows}
    return found
