"""
What a workflow achieves and what it costs: the figures of a period, each phase apart, as JSON types.

Read from the ledger when asked; the owner is told of a broken threshold by the upkeep, once in a period.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from interlock.domain.base.period import Period
from interlock.domain.base.timeframe import parse_period
from interlock.domain.cost.price import format_dollars, to_nano
from interlock.domain.reports import cost as costs
from interlock.domain.reports.kpi import (
    KPIS,
    Counts,
    Kpi,
    breach,
    format_change,
    format_thresholds,
    format_value,
    is_better,
)
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import in_force
from interlock.ledger.reports.cost import cost_lines, open_attempts
from interlock.ledger.reports.kpi import count, outcomes, sent
from interlock.ledger.reports.report_scope import scopes
from interlock.ledger.store.ledger import Ledger


def kpi_report(ledger: Ledger, workflow: str, period: str = "month") -> dict[str, Any]:
    """
    Return every KPI of *workflow* in *period*, held against its ``workflow.yaml`` that is in force.

    :raises InputError: *period* is none.
    :raises UnknownName: the ledger has no run of it.
    """
    now = ledger.clock()
    span = parse_period(period, company_in_force(ledger).calendar, now)
    wanted = in_force(ledger, workflow).bundle.settings.kpis
    with ledger.read() as connection:
        phases = [
            {"phase": scope.phase, **kpi_rows(count(connection, scope, now), wanted)}
            for scope in scopes(connection, ledger, workflow, span)
        ]
    return {**_heading(ledger, workflow, span), "phases": phases}


def kpi_rows(counts: Counts, wanted: Mapping[str, Kpi]) -> dict[str, Any]:
    """Return the KPIs over *counts* as JSON types: those of ``workflow.yaml`` first."""
    rows = []
    for name in sorted(KPIS, key=lambda name: (name not in wanted, list(wanted).index(name) if name in wanted else 0)):
        definition, kpi = KPIS[name], wanted.get(name)
        measured = definition.measure(counts)
        change = measured.value - kpi.baseline if kpi and measured.value is not None else None
        rows.append(
            {
                "name": name,
                "is_wanted": kpi is not None,
                "value": _number(measured.value),
                "unit": definition.unit,
                "told": format_value(measured.value, definition.unit),
                "over": measured.over,
                "note": measured.note,
                "better": definition.better,
                "meaning": definition.meaning,
                "baseline": _number(kpi.baseline) if kpi else None,
                "baseline_told": format_value(kpi.baseline, definition.unit) if kpi else None,
                "change": _number(change),
                "change_told": format_change(change, definition.unit),
                "is_better": is_better(change, definition.better),
                "at_least": _number(kpi.at_least) if kpi else None,
                "at_most": _number(kpi.at_most) if kpi else None,
                "threshold_told": format_thresholds(kpi, definition.unit) if kpi else "",
                "breach": breach(kpi, measured.value) if kpi else None,
            }
        )
    stages = [
        {"gate": at.gate, "stage": at.order, "median_hours": round(at.median_seconds / 3600, 4), "decided": at.decided}
        for at in counts.approvals
    ]
    return {"kpis": rows, "approval_latency_by_stage": stages}


def cost_report(ledger: Ledger, workflow: str, period: str = "month") -> dict[str, Any]:
    """
    Return what *workflow* cost in *period*: in total, by kind, agent and fate of the case, and for each outcome.

    :raises InputError: *period* is none.
    :raises UnknownName: the ledger has no run of it.
    """
    now = ledger.clock()
    span = parse_period(period, company_in_force(ledger).calendar, now)
    phases = []
    with ledger.read() as connection:
        for scope in scopes(connection, ledger, workflow, span):
            lines = cost_lines(connection, scope)
            got = outcomes(connection, scope, now)
            phases.append(
                {
                    "phase": scope.phase,
                    "usd": _number(costs.total(lines)),
                    "by_kind": _numbers(costs.split(lines, lambda line: line.kind)),
                    "by_fate": _numbers(costs.split(lines, lambda line: line.fate)),
                    "by_agent": _by_agent(lines),
                    "failed_usd": _number(costs.total(line for line in lines if line.failed)),
                    "repeated_usd": _number(costs.total(line for line in lines if line.repeated)),
                    "unpriced_calls": sum(line.unpriced for line in lines),
                    "attempts_without_end": open_attempts(connection, scope),
                    "sent": sent(connection, scope, now).sent,
                    "outcomes": asdict(got),
                    "usd_per_outcome": _number(costs.cost_per_outcome(lines, got.completed)),
                }
            )
    return {**_heading(ledger, workflow, span), "phases": phases}


def cost_remarks(phase: Mapping[str, Any]) -> list[str]:
    """Return the lines that say what the sums of a phase of :func:`cost_report` hold, and what is not in them."""
    got, lines = phase["outcomes"], []
    if not phase["by_agent"]:
        lines.append("nothing was recorded in it")
    elif not Decimal(phase["usd"]):
        lines.append("nothing that was recorded has a price: see prices.yaml")
    for key, what in (("failed_usd", "calls and attempts that gave nothing"), ("repeated_usd", "repeats")):
        if Decimal(phase[key]):
            lines.append(f"{tell_usd(phase[key])} of the whole went into {what}")
    if unpriced := phase["unpriced_calls"]:
        what = "call has no price and is" if unpriced == 1 else "calls have no price and are"
        lines.append(f"{unpriced} {what} not in it")
    if phase["attempts_without_end"]:
        lines.append(f"the time of tasks that have no end yet is not in it; attempts: {phase['attempts_without_end']}")
    if got["completed"]:
        open_ = f", {got['provisional']} of which can still be undone" if got["provisional"] else ""
        each = tell_usd(phase["usd_per_outcome"])
        lines.append(f"{each} for each of {got['completed']} completed outcomes{open_}; failures are in it")
    else:
        lines.append("no outcome was completed in it, so the cost of one is not known: see outcomes record")
    if got["undone"]:
        lines.append(f"{got['undone']} cases were completed and undone; they count as no outcome")
    return lines


def tell_cost(row: Mapping[str, Any]) -> str:
    """Return what a row of ``by_agent`` cost, for a person: what has no price was not free."""
    if row["unpriced"] == row["rows"]:
        return "no price"
    return tell_usd(row["usd"]) + (f", {row['unpriced']} without a price" if row["unpriced"] else "")


def tell_usd(text: str) -> str:
    """Return an amount of a report for a person."""
    return format_dollars(to_nano(Decimal(text)))


def _by_agent(lines: list[costs.CostLine]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], list[costs.CostLine]] = {}
    for line in lines:
        found.setdefault((line.kind, line.agent, line.model), []).append(line)
    return [
        {
            "kind": kind,
            "agent": agent,
            "model": model,
            "rows": sum(line.rows for line in own),
            "unpriced": sum(line.unpriced for line in own),
            "seconds": round(sum(line.seconds for line in own), 3),
            "tokens": sum(line.tokens for line in own),
            "usd": _number(costs.total(own)),
        }
        for (kind, agent, model), own in sorted(found.items(), key=lambda item: (-costs.total(item[1]), item[0]))
    ]


def _heading(ledger: Ledger, workflow: str, period: Period) -> dict[str, Any]:
    return {
        "workflow": workflow,
        "environment": ledger.environment,
        "period": period.label,
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "is_over": period.end <= ledger.clock(),
    }


def _number(value: Decimal | None) -> str | None:
    """Return a number without loss; JSON's own have binary fractions."""
    return None if value is None else format(value, "f")


def _numbers(values: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: format(value, "f") for name, value in sorted(values.items(), key=lambda item: -item[1])}
