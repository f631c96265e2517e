"""
Quotes: what a run was said to cost before it began, and what it did cost.

A quote waits for the next run that takes its source in, is claimed by its intake, and is settled when the run ends.
What is compared is the run alone: votes and repeats after its end are in neither figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Float, cast, func, select

from interlock.domain.reports.quote import Estimate, PastRun
from interlock.ledger.cost.usage_row import MACHINE
from interlock.ledger.reports.report_scope import Scope
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Quote
from interlock.ledger.store.schema import case_run, gate_request, quote, usage, workflow_run
from interlock.ledger.store.transaction import Actor, Transaction, new_id

RUNS, CASES = 20, 200_000
"""At most so many of the last runs are looked at, and none further back once they have so many cases."""


def past_runs(connection: Connection, scope: Scope) -> list[PastRun]:
    """Return the last runs of *scope* that are over and took cases in, the newest last."""
    rows = connection.execute(
        select(workflow_run.c.id, workflow_run.c.ended_at)
        .where(
            workflow_run.c.id.in_(scope.runs),
            workflow_run.c.ended_at.is_not(None),
            workflow_run.c.is_resume.is_(False),
        )
        .order_by(workflow_run.c.ended_at.desc())
        .limit(RUNS)
    ).all()
    found: list[PastRun] = []
    for row in rows:
        if sum(run.cases for run in found) >= CASES:
            break
        found.append(_past_run(connection, row.id, row.ended_at))
    return [run for run in reversed(found) if run.cases]


def _past_run(connection: Connection, run_id: str, ended_at: datetime) -> PastRun:
    cases = connection.execute(select(func.count()).where(case_run.c.run_id == run_id)).scalar_one()
    of_case = (
        select(func.round(func.sum(cast(usage.c.cost, Float)) * 10**9).label("nano"))
        .where(usage.c.run_id == run_id, usage.c.case_id.is_not(None), usage.c.created_at <= ended_at)
        .group_by(usage.c.case_id)
        .subquery()
    )
    costs: dict[float, int] = {}
    for nano, number in connection.execute(select(of_case.c.nano, func.count()).group_by(of_case.c.nano)):
        dollars = float(nano or 0) / 10**9
        costs[dollars] = costs.get(dollars, 0) + number
    if (others := cases - sum(costs.values())) > 0:
        costs[0.0] = costs.get(0.0, 0) + others
    return PastRun(
        cases=cases,
        reviewed=min(_reviewed(connection, run_id, ended_at), cases),
        costs=costs,
        seconds=_seconds(connection, run_id),
    )


def _reviewed(connection: Connection, run_id: str, until: datetime) -> int:
    asked = select(func.count(gate_request.c.case_id.distinct())).where(
        gate_request.c.run_id == run_id, gate_request.c.opened_at <= until
    )
    return int(connection.execute(asked).scalar_one())


def _seconds(connection: Connection, run_id: str) -> float:
    took = select(func.sum(usage.c.seconds)).where(usage.c.run_id == run_id, usage.c.kind == MACHINE)
    return float(connection.execute(took).scalar_one() or 0.0)


def write_quote(ledger: Ledger, workflow: str, *, source: str, cases: int, estimate: Mapping[str, Any]) -> Quote:
    """Keep what was said of a run over *source* with *cases* new cases."""
    row = Quote(
        id=new_id(),
        environment=ledger.environment,
        workflow=workflow,
        source=source,
        cases=cases,
        estimate=dict(estimate),
        created_at=ledger.clock(),
        revision=1,
    )
    with ledger.write(actor=Actor("command", "quote"), chain=f"quotes:{ledger.environment}:{workflow}") as tx:
        tx.insert(quote, [row], kind="quote.made", facts=lambda r: {"cases": r["cases"]})
    return row


def claim_quote(tx: Transaction, run: WorkflowRun, source: str) -> None:
    """Let the newest quote over *source* that no run has be the one of *run*; others wait no more than they did."""
    if tx.connection.execute(select(quote.c.id).where(quote.c.run_id == run.id).limit(1)).first() is not None:
        return
    found = tx.connection.execute(
        select(quote)
        .where(
            quote.c.environment == run.environment,
            quote.c.workflow == run.workflow,
            quote.c.source == source,
            quote.c.run_id.is_(None),
        )
        .order_by(quote.c.created_at.desc(), quote.c.id.desc())
        .limit(1)
        .with_for_update()
    ).first()
    if found is not None:
        tx.update(quote, [replace(Quote.of(found), run_id=run.id)], kind="quote.claimed")


def settle_quote(tx: Transaction, run: WorkflowRun) -> Quote | None:
    """Record what *run*, which is over, came to, beside what its quote had said; None when it has no open quote."""
    found = tx.connection.execute(
        select(quote).where(quote.c.run_id == run.id, quote.c.actual.is_(None)).with_for_update()
    ).first()
    if found is None:
        return None
    row = Quote.of(found)
    costs = tx.connection.execute(select(usage.c.cost).where(usage.c.run_id == run.id, usage.c.cost.is_not(None)))
    cases = tx.connection.execute(select(func.count()).where(case_run.c.run_id == run.id)).scalar_one()
    usd = sum(costs.scalars(), Decimal(0))
    figures = {
        "reviews": _reviewed(tx.connection, run.id, tx.at),
        "seconds": _seconds(tx.connection, run.id),
        "usd": float(usd),
    }
    inside = {name: Estimate.from_json(row.estimate[name]).holds(value) for name, value in figures.items()}
    actual = {**figures, "usd": format(usd, "f"), "cases": cases, "inside": inside}
    (after,) = tx.update(quote, [replace(row, actual=actual)], kind="quote.settled", facts=lambda r: {"inside": inside})
    return after


def list_quotes(ledger: Ledger, workflow: str, *, limit: int = 100) -> list[Quote]:
    """Return the quotes of *workflow*, the newest first."""
    query = select(quote).where(quote.c.environment == ledger.environment, quote.c.workflow == workflow)
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(quote.c.created_at.desc(), quote.c.id).limit(limit))
        return Quote.all_of(rows)
