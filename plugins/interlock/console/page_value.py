"""
The page of a workflow's value: its KPIs, what it costs, its budgets, and the incidents that are not over.

The figures are those of ``airflow interlock kpi``, ``cost`` and ``budgets``; everyone who may see cases may see them.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from interlock.console.guard import SeesDags, guards
from interlock.console.identity import Person, may
from interlock.console.reading import Sees
from interlock.console.rendering import render
from interlock.domain.reports.cost import FATES, KINDS
from interlock.engine.reports.budget_report import budget_report
from interlock.engine.reports.value import cost_remarks, cost_report, kpi_report
from interlock.errors import InputError, UnknownName
from interlock.ledger.incidents.incident import list_incidents
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import demand_published, in_force, versions_in_force
from interlock.ledger.store.ledger import Ledger

router = APIRouter(default_response_class=HTMLResponse)

PERIODS = {"day": "today", "7d": "last 7 days", "month": "this month", "30d": "last 30 days", "all": "all time"}
_NO_FIGURES: dict[str, Any] = {"report": None, "phases": []}


@router.get("/value", dependencies=guards(SeesDags("see figures")))
def value(sight: Sees, workflow: str = "", period: str = "month") -> Response:
    """Return the KPIs and the cost of a workflow in a period; without a workflow, the list of them."""
    person, ledger = sight.person, sight.ledger
    workflows = [one.bundle.settings for one in versions_in_force(ledger) if sight.sees_workflow(one.workflow)]
    if not workflow and len(workflows) != 1:
        with ledger.read() as connection:
            troubles = Counter(row.workflow for row in list_incidents(connection, ledger.environment))
        return render("values.html.j2", here="value", person=person, workflows=workflows, troubles=troubles)
    name = workflow or workflows[0].workflow
    sight.demand_workflow(name)
    demand_published(ledger, name)
    version = in_force(ledger, name)
    with ledger.read() as connection:
        incidents = list_incidents(connection, ledger.environment, workflow=name)
    problem, figures = "", _NO_FIGURES
    try:
        figures = _figures(ledger, name, period, first=version.bundle.settings.phase)
    except InputError as error:  # the form stays, with what was typed into it
        problem = str(error)
    return render(
        "value.html.j2",
        status=409 if problem else 200,
        problem=problem,
        here="value",
        person=person,
        workflow=name,
        title=version.bundle.settings.title,
        names=[settings.workflow for settings in workflows],
        period=period,
        periods=PERIODS,
        kinds=KINDS,
        now=ledger.clock(),
        incidents=incidents,
        may_settle=_may_settle(person, ledger),
        budgets=budget_report(ledger, name)["budgets"],
        **figures,
    )


def _figures(ledger: Ledger, workflow: str, period: str, *, first: str) -> dict[str, Any]:
    """Return both reports by phase, *first* the one in force, or none of them while the workflow has no run."""
    try:
        kpis, costs = kpi_report(ledger, workflow, period), cost_report(ledger, workflow, period)
    except UnknownName:
        return _NO_FIGURES
    spent = {phase["phase"]: phase for phase in costs["phases"]}
    phases = sorted(kpis["phases"], key=lambda phase: phase["phase"] != first)
    return {"report": kpis, "phases": [_shown(phase, spent[phase["phase"]]) for phase in phases]}


def _shown(kpis: dict[str, Any], cost: dict[str, Any]) -> dict[str, Any]:
    wanted = [row for row in kpis["kpis"] if row["is_wanted"]]
    return {
        "phase": kpis["phase"],
        "wanted": wanted,
        "rest": [row for row in kpis["kpis"] if row not in wanted],
        "stages": kpis["approval_latency_by_stage"],
        "cost": cost,
        "remarks": cost_remarks(cost),
        "parts": {
            "By purpose": _parts(cost["by_kind"], KINDS, cost["usd"]),
            "By outcome of the case": _parts(cost["by_fate"], FATES, cost["usd"]),
        },
    }


def _parts(amounts: dict[str, str], names: dict[str, str], whole: str) -> list[dict[str, Any]]:
    """Return the parts of a sum that are not nothing, each with its share."""
    return [
        {"name": names[key], "usd": usd, "share": float(Decimal(usd) / Decimal(whole))}
        for key, usd in amounts.items()
        if Decimal(usd)
    ]


def _may_settle(person: Person, ledger: Ledger) -> bool:
    """Return whether *person* may acknowledge and close incidents; the API checks it again."""
    holds = company_in_force(ledger).access.holds(person.identity, "switch")
    return holds and person.id != "Anonymous" and may(person, "PUT", None)
