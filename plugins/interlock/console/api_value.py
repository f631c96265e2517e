"""The API of a workflow's value: its KPIs, what it costs, its budgets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from interlock.console.guard import SeesWorkflow, guards
from interlock.console.identity import Reader
from interlock.console.ledger import OpenLedger
from interlock.engine.reports.budget_report import budget_report
from interlock.engine.reports.value import cost_report, kpi_report
from interlock.ledger.policy.version import demand_published

router = APIRouter()


@router.get("/workflows/{workflow}/value", dependencies=guards(SeesWorkflow("see figures")))
def value(workflow: str, person: Reader, ledger: OpenLedger, period: str = "month") -> dict[str, Any]:
    """Return what a workflow achieves and costs in a period, as ``kpi``, ``cost`` and ``budgets`` print it."""
    demand_published(ledger, workflow)
    return {
        "kpi": kpi_report(ledger, workflow, period),
        "cost": cost_report(ledger, workflow, period),
        "budgets": budget_report(ledger, workflow)["budgets"],
    }
