"""The API of a workflow's value: its KPIs, what it costs, its budgets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from interlock.console.api_case import Book
from interlock.console.identity import Reader, demand
from interlock.engine.reports.budget_report import budget_report
from interlock.engine.reports.value import cost_report, kpi_report
from interlock.ledger.policy.version import demand_published

router = APIRouter()


@router.get("/workflows/{workflow}/value")
def value(workflow: str, person: Reader, ledger: Book, period: str = "month") -> dict[str, Any]:
    """Return what a workflow achieves and costs in a period, as ``kpi``, ``cost`` and ``budgets`` print it."""
    demand(person, "GET", None, "see figures")
    demand_published(ledger, workflow)
    return {
        "kpi": kpi_report(ledger, workflow, period),
        "cost": cost_report(ledger, workflow, period),
        "budgets": budget_report(ledger, workflow)["budgets"],
    }
