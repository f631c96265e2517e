"""
Counting what the figures of :mod:`interlock.domain.reports.kpi` are made of, in SQL.

One query for each subject, over indexes that are there; nothing is added up in Python but amounts of money, which have
no exact sum in a database: they are grouped by amount first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select
from sqlalchemy import case as either

from interlock.domain.approvals.request_state import GateState
from interlock.domain.base.timeframe import days_passed
from interlock.domain.cases.case import DONE
from interlock.domain.reports.kpi import Counts, Latency
from interlock.ledger.cases.outcome import stands
from interlock.ledger.cost.usage_row import MACHINE, PEOPLE
from interlock.ledger.reports.cost import sums
from interlock.ledger.reports.report_scope import Scope
from interlock.ledger.store.schema import (
    authorisation,
    case,
    decision,
    effect,
    gate_request,
    handoff,
    incident,
    label,
    outcome,
    payload,
    task_attempt,
    usage,
    vote,
    workflow_run,
)
from interlock.ledger.store.sql_interval import medians, seconds_between
from interlock.ledger.store.sql_json import json_text


def count(connection: Connection, scope: Scope, now: datetime) -> Counts:
    """Return what the figures of *scope* are made of at the instant *now*."""
    found: dict[str, Any] = {}
    for part in (_cases, _answers, sent, outcomes, _spent, _recoveries, _violations, _reviews, _approvals):
        made = part(connection, scope, now)
        found |= made if isinstance(made, dict) else asdict(made)
    return Counts(**found, days=days_passed(scope.period, now, since=scope.first_run))


def _cases(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    done = func.sum(either((case.c.state.in_([state.value for state in DONE]), 1), else_=0))
    taken_in, is_done = connection.execute(select(func.count(), done).where(scope.taken_in)).one()
    again = and_(usage.c.attempt > 1, _is_call())
    return {
        "taken_in": taken_in,
        "done": is_done or 0,
        "sent_straight": _how_many(connection, _straight(scope), effect.c.case_id),
        "converted": _how_many(
            connection,
            select(outcome).join(case, case.c.id == outcome.c.case_id).where(scope.taken_in, stands()),
            outcome.c.case_id,
        ),
        "fell_back": _how_many(
            connection,
            select(decision)
            .join(case, case.c.id == decision.c.case_id)
            .where(scope.taken_in, decision.c.route == "fallback"),
            decision.c.case_id,
        ),
        "repeated": _how_many(
            connection,
            select(usage).join(case, case.c.id == usage.c.case_id).where(scope.taken_in, again),
            usage.c.case_id,
        ),
    }


def _straight(scope: Scope) -> Select[Any]:
    """Effects of cases taken in that a decision of the policy allowed, without a vote."""
    return (
        select(effect)
        .join(case, case.c.id == effect.c.case_id)
        .join(authorisation, authorisation.c.id == effect.c.authorisation_id)
        .where(scope.taken_in, effect.c.state == "committed", authorisation.c.basis.startswith("decision:"))
    )


def _how_many(connection: Connection, rows: Select[Any], column: ColumnElement[Any]) -> int:
    return int(connection.execute(rows.with_only_columns(func.count(column.distinct()))).scalar_one())


def _answers(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    """Hold what was decided on against the answer that the source knew."""
    answered = json_text(payload.c.body, label.c.field)
    rows = (
        _straight(scope)
        .join(label, label.c.case_id == effect.c.case_id)
        .join(decision, decision.c.id == func.substr(authorisation.c.basis, len("decision:") + 1))
        .join(handoff, handoff.c.id == decision.c.handoff_id)
        .join(payload, and_(payload.c.case_id == handoff.c.case_id, payload.c.digest == handoff.c.payload_digest))
        .where(answered.is_not(None))
    )
    other = func.count(either((answered != label.c.value, effect.c.case_id)).distinct())
    labelled, wrong = connection.execute(rows.with_only_columns(func.count(effect.c.case_id.distinct()), other)).one()
    return {"labelled": labelled, "wrong": wrong}


@dataclass(frozen=True)
class SentCounts:
    """Cases that were sent in a period, and the median of what they took."""

    sent: int
    cycle_seconds: float | None


@dataclass(frozen=True)
class OutcomeCounts:
    """Cases that outcomes completed in a period."""

    has_outcomes: bool
    """Whether the workflow has any outcome at all."""
    completed: int
    provisional: int
    """Of these, those that can still be undone."""
    undone: int


def sent(connection: Connection, scope: Scope, now: datetime) -> SentCounts:
    """Return how many cases were sent in the period, and the median of what they took."""
    first = (
        select(effect.c.case_id, func.min(effect.c.committed_at).label("at"))
        .where(effect.c.run_id.in_(scope.runs), effect.c.state == "committed")
        .group_by(effect.c.case_id)
        .having(scope.within(func.min(effect.c.committed_at)))
        .subquery()
    )
    durations = select(first).join(case, case.c.id == first.c.case_id)
    seconds, sent = medians(connection, durations, seconds_between(case.c.opened_at, first.c.at)).get((), (None, 0))
    return SentCounts(sent, seconds)


def outcomes(connection: Connection, scope: Scope, now: datetime) -> OutcomeCounts:
    """Return how many cases outcomes completed in the period, how many of these can be undone, and how many were."""
    of_workflow = select(outcome).join(case, case.c.id == outcome.c.case_id).where(scope.of_workflow)
    completed = (
        of_workflow.with_only_columns(func.min(outcome.c.final_at).label("final_at"))
        .where(stands())
        .group_by(outcome.c.case_id)
        .having(scope.within(func.min(outcome.c.happened_at)))
        .subquery()
    )
    open_ = func.sum(either((completed.c.final_at > now, 1), else_=0))
    number, provisional = connection.execute(select(func.count(), open_).select_from(completed)).one()
    kept = outcome.alias("kept")
    undone = of_workflow.where(
        outcome.c.final_at.is_not(None),
        scope.within(outcome.c.happened_at),
        outcome.c.case_id.not_in(select(kept.c.case_id).where(stands(kept))),
    )
    return OutcomeCounts(
        has_outcomes=connection.execute(of_workflow.limit(1)).first() is not None,
        completed=number,
        provisional=provisional or 0,
        undone=_how_many(connection, undone, outcome.c.case_id),
    )


def _is_call() -> ColumnElement[bool]:
    """The condition that a row of ``usage`` is a call of an agent or a connector."""
    return or_(usage.c.kind.is_(None), usage.c.kind.not_in((MACHINE, PEOPLE)))


def _spent(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    is_call, is_repeat = either((_is_call(), 1), else_=0), either((usage.c.attempt > 1, 1), else_=0)
    found = sums(connection, scope, is_call, is_repeat)
    return {
        "cost": sum((spent.cost for spent in found.values()), Decimal(0)),
        "unpriced": sum(spent.unpriced for spent in found.values()),
        "calls": sum(spent.rows for (call, _), spent in found.items() if call),
        "repeats": found[1, 1].rows if (1, 1) in found else 0,
    }


def _recoveries(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    """An incident belongs to the phase of the run that had begun last when it was opened."""
    version_then = (
        select(workflow_run.c.version_id)
        .where(
            workflow_run.c.environment == incident.c.environment,
            workflow_run.c.workflow == incident.c.workflow,
            workflow_run.c.started_at <= incident.c.opened_at,
        )
        .order_by(workflow_run.c.started_at.desc())
        .limit(1)
        .correlate(incident)
        .scalar_subquery()
    )
    took = seconds_between(incident.c.opened_at, incident.c.closed_at)
    number, seconds = connection.execute(
        select(func.count(), func.sum(took)).where(
            incident.c.environment == scope.environment,
            incident.c.workflow == scope.workflow,
            scope.within(incident.c.closed_at),
            version_then.in_(scope.versions),
        )
    ).one()
    return {"recoveries": number, "recovery_seconds": float(seconds or 0.0)}


def _violations(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    failed = select(func.count()).where(
        decision.c.run_id.in_(scope.runs),
        decision.c.rule.startswith("failed check:"),
        scope.within(decision.c.created_at),
    )
    refused = select(task_attempt.c.counts).where(
        task_attempt.c.run_id.in_(scope.runs),
        scope.within(task_attempt.c.ended_at),
        task_attempt.c.counts.is_not(None),
    )
    stopped = sum((counts or {}).get("refused_unauthorised", 0) for counts in connection.execute(refused).scalars())
    return {"violations": int(connection.execute(failed).scalar_one()) + stopped}


def _reviews(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    decided = [GateState.APPROVED.value, GateState.REJECTED.value]
    over = and_(gate_request.c.state.in_([*decided, GateState.EXPIRED.value]), scope.within(gate_request.c.decided_at))
    late = and_(gate_request.c.state == GateState.OPEN.value, scope.within(case.c.due_at), case.c.due_at < now)
    in_time = and_(gate_request.c.state.in_(decided), gate_request.c.decided_at <= case.c.due_at)
    number, on_time = connection.execute(
        select(func.count(), func.sum(either((in_time, 1), else_=0)))
        .select_from(gate_request)
        .join(case, case.c.id == gate_request.c.case_id)
        .where(gate_request.c.run_id.in_(scope.runs), case.c.due_at.is_not(None), or_(over, late))
    ).one()
    return {"reviews": number, "reviews_on_time": on_time or 0}


def _approvals(connection: Connection, scope: Scope, now: datetime) -> dict[str, Any]:
    """A stage begins when the one before it has its votes, the first when people are asked."""
    ended = func.max(vote.c.created_at)
    stages = (
        select(
            vote.c.request_id,
            vote.c.stage_order,
            ended.label("ended"),
            func.lag(ended).over(partition_by=vote.c.request_id, order_by=vote.c.stage_order).label("before"),
        )
        .join(gate_request, gate_request.c.id == vote.c.request_id)
        .where(
            vote.c.stage_order.is_not(None),
            gate_request.c.run_id.in_(scope.runs),
            gate_request.c.state.in_((GateState.APPROVED.value, GateState.REJECTED.value)),
            scope.within(gate_request.c.decided_at),
        )
        .group_by(vote.c.request_id, vote.c.stage_order)
        .subquery()
    )
    took = seconds_between(func.coalesce(stages.c.before, gate_request.c.opened_at), stages.c.ended)
    rows = select(stages).join(gate_request, gate_request.c.id == stages.c.request_id)
    of_stage = medians(connection, rows, took, gate_request.c.gate, stages.c.stage_order)
    seconds, _ = medians(connection, rows, took).get((), (None, 0))
    found = [Latency(gate, order, median, number) for (gate, order), (median, number) in sorted(of_stage.items())]
    return {"approval_seconds": seconds, "approvals": tuple(found)}
