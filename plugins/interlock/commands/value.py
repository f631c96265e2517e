"""``airflow interlock kpi``, ``cost`` and ``budgets``: a workflow's KPIs, its cost and its budgets."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from interlock.commands.terminal import command, print_json, print_table
from interlock.domain.reports.cost import FATES, KINDS
from interlock.engine.reports.budget_report import budget_report
from interlock.engine.reports.value import cost_remarks, cost_report, kpi_report, tell_cost, tell_usd
from interlock.hooks.ledger import LedgerHook


@command
def kpi(args: Any) -> None:
    """Print the KPIs of a workflow."""
    report = kpi_report(LedgerHook().get_conn(), args.workflow, args.period)
    if args.json:
        print_json(report)
        return
    for phase in report["phases"]:
        print(_heading(report, phase))
        rows = [
            {
                **row,
                "threshold": row["threshold_told"] + (" broken" if row["breach"] else ""),
                "over": row["over"] or "",
                "meaning": row["note"] or row["meaning"],
            }
            for row in phase["kpis"]
        ]
        columns = {"name": "KPI", "told": "VALUE", "baseline_told": "BASELINE", "threshold": "THRESHOLD"}
        print_table(rows, {**columns, "over": "OVER", "meaning": "WHAT"}, empty="")
        if phase["approval_latency_by_stage"]:
            print()
            print_table(
                phase["approval_latency_by_stage"],
                {"gate": "GATE", "stage": "STAGE", "median_hours": "MEDIAN HOURS", "decided": "DECIDED"},
                empty="",
            )
        print()


@command
def cost(args: Any) -> None:
    """Print what a workflow cost."""
    report = cost_report(LedgerHook().get_conn(), args.workflow, args.period)
    if args.json:
        print_json(report)
        return
    for phase in report["phases"]:
        print(_heading(report, phase))
        print("\n".join(f"  {line}" for line in describe_cost(phase)))
        print()
        rows = [{**row, "usd": tell_cost(row), "kind": KINDS[row["kind"]]} for row in phase["by_agent"]]
        columns = {"kind": "KIND", "agent": "WHO", "model": "MODEL", "rows": "NUMBER", "seconds": "SECONDS"}
        print_table(rows, {**columns, "tokens": "TOKENS", "usd": "COST"}, empty="Nothing was recorded")
        print()


def describe_cost(phase: Mapping[str, Any]) -> list[str]:
    """Return the cost of a phase as lines of text."""
    lines = [f"{tell_usd(phase['usd'])} in total"]
    lines += [f"  {tell_usd(usd)} for {KINDS[kind]}" for kind, usd in phase["by_kind"].items() if Decimal(usd)]
    lines.append("of this, by the result of the case:")
    lines += [f"  {tell_usd(usd)} for {FATES[fate]}" for fate, usd in phase["by_fate"].items() if Decimal(usd)]
    if not Decimal(phase["usd"]):
        lines = lines[:1]
    return lines + cost_remarks(phase)


def _heading(report: Mapping[str, Any], phase: Mapping[str, Any]) -> str:
    until = "" if report["is_over"] else " until now"
    return f"{report['workflow']}, {phase['phase']} in {report['environment']}, {report['period']}{until}"


@command
def budgets(args: Any) -> None:
    """Print each budget with what is spent, reserved and left."""
    report = budget_report(LedgerHook().get_conn(), args.workflow)
    if args.json:
        print_json(report)
        return
    money = ("limit", "spent", "reserved", "left")
    rows = [
        {
            **row,
            **{name: row[name] and tell_usd(row[name]) for name in money},
            "soft_told": ("passed, " if row["is_past_soft"] else "") + row["soft_told"],
        }
        for row in report["budgets"]
    ]
    heads = {"budget": "BUDGET", "of": "OF", "limit": "LIMIT", "spent": "SPENT", "reserved": "RESERVED", "left": "LEFT"}
    subject = f"{args.workflow} has no budget" if args.workflow else "No workflow has a budget"
    heads |= {"soft_told": "SOFT LIMIT", "until": "UNTIL"}
    print_table(rows, heads, empty=f"{subject}: spending is not limited")
