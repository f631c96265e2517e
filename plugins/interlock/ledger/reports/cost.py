"""
Sums over the table ``usage``: every cost that was recorded, once.

Money has no exact sum in a database. Rows are grouped there, by amount as well, and the groups added up here; calls of
one model over cases of one kind share few amounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, select
from sqlalchemy import case as either

from interlock.domain.reports.cost import COMPLETED, SHARED, UNDONE, CostLine
from interlock.ledger.cases.outcome import stands
from interlock.ledger.cost.usage_row import MODEL
from interlock.ledger.reports.report_scope import Scope
from interlock.ledger.store.schema import case, outcome, task_attempt, usage


@dataclass
class Spent:
    """What a group of rows came to."""

    cost: Decimal = Decimal(0)
    """US dollars of those that have a price."""
    rows: int = 0
    unpriced: int = 0
    seconds: float = 0.0
    tokens: int = 0


def sums(
    connection: Connection, scope: Scope, *by: ColumnElement[Any], joins_case: bool = False
) -> dict[tuple[Any, ...], Spent]:
    """Return what was spent in *scope*, by columns of ``usage``, or of the ``case`` with *joins_case*."""
    columns = [column.label(f"g{number}") for number, column in enumerate(by)]
    tokens = func.sum(usage.c.input_tokens + usage.c.output_tokens)
    query = select(*columns, usage.c.cost, func.count(), func.sum(usage.c.seconds), tokens).select_from(
        usage.join(case, case.c.id == usage.c.case_id, isouter=True) if joins_case else usage
    )
    query = query.where(usage.c.run_id.in_(scope.runs), scope.within(usage.c.created_at))
    found: dict[tuple[Any, ...], Spent] = {}
    for *key, cost, rows, seconds, used in connection.execute(query.group_by(*columns, usage.c.cost)):
        spent = found.setdefault(tuple(key), Spent())
        spent.rows += rows
        spent.seconds += float(seconds)
        spent.tokens += int(used)
        if cost is None:
            spent.unpriced += rows
        else:
            spent.cost += cost * rows
    return found


def cost_lines(connection: Connection, scope: Scope) -> list[CostLine]:
    """Return what was spent in *scope*: each row of ``usage`` in exactly one line."""
    standing, ever = outcome.alias("standing"), outcome.alias("ever")
    fate = either(
        (usage.c.case_id.is_(None), SHARED),
        (usage.c.case_id.in_(select(standing.c.case_id).where(stands(standing))), COMPLETED),
        (usage.c.case_id.in_(select(ever.c.case_id).where(ever.c.final_at.is_not(None))), UNDONE),
        else_=case.c.state,
    )
    failed, repeated = either((usage.c.outcome != "ok", 1), else_=0), either((usage.c.attempt > 1, 1), else_=0)
    kind = func.coalesce(usage.c.kind, MODEL)
    found = sums(connection, scope, kind, usage.c.agent, usage.c.model, fate, failed, repeated, joins_case=True)
    return [
        CostLine(
            kind=kind_,
            agent=agent,
            model=model,
            fate=fate_,
            failed=bool(failed_),
            repeated=bool(repeated_),
            cost=spent.cost,
            rows=spent.rows,
            unpriced=spent.unpriced,
            seconds=spent.seconds,
            tokens=spent.tokens,
        )
        for (kind_, agent, model, fate_, failed_, repeated_), spent in sorted(found.items())
    ]


def open_attempts(connection: Connection, scope: Scope) -> int:
    """Return how many attempts of tasks in the period have no end yet: their time is in no line."""
    query = select(func.count()).where(
        task_attempt.c.run_id.in_(scope.runs),
        scope.within(task_attempt.c.started_at),
        task_attempt.c.ended_at.is_(None),
        ~_is_followed(),
    )
    return int(connection.execute(query).scalar_one())


def _is_followed() -> ColumnElement[bool]:
    """The condition that a later attempt has taken over, which wrote the time of the one before."""
    later = task_attempt.alias("later")
    return exists().where(
        later.c.run_id == task_attempt.c.run_id,
        later.c.task == task_attempt.c.task,
        later.c.number > task_attempt.c.number,
    )
