"""``airflow interlock kpi`` and ``cost``: what a workflow achieves, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from interlock.commands.terminal import command, print_json, print_table
from interlock.domain.cost import FATES, KINDS
from interlock.domain.price import tell_dollars, to_nano
from interlock.engine.value import cost_report, kpi_report
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
                "threshold": _threshold(row),
                "over": row["over"] or "",
                "said": row["note"] or row["meaning"],
            }
            for row in phase["kpis"]
        ]
        columns = {"name": "KPI", "told": "VALUE", "baseline_told": "BASELINE", "threshold": "THRESHOLD"}
        print_table(rows, {**columns, "over": "OVER", "said": "WHAT"}, empty="")
        if phase["approval_latency_by_stage"]:
            print()
            print_table(
                phase["approval_latency_by_stage"],
                {"gate": "GATE", "stage": "STAGE", "median_hours": "MEDIAN HOURS", "decided": "DECIDED"},
                empty="",
            )
        print()


def _threshold(row: Mapping[str, Any]) -> str:
    limits = [f"{word} {row[key]}" for key, word in (("at_least", "≥"), ("at_most", "≤")) if row[key] is not None]
    return " ".join(limits) + (" broken" if row["breach"] else "")


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
        rows = [{**row, "usd": _usd(row["usd"]), "kind": KINDS[row["kind"]]} for row in phase["by_agent"]]
        columns = {"kind": "KIND", "agent": "WHO", "model": "MODEL", "rows": "NUMBER", "seconds": "SECONDS"}
        print_table(rows, {**columns, "tokens": "TOKENS", "usd": "COST"}, empty="Nothing was recorded")
        print()


def describe_cost(phase: Mapping[str, Any]) -> list[str]:
    """Return the lines that say what a phase cost."""
    got = phase["outcomes"]
    lines = [f"{_usd(phase['usd'])} in all"]
    lines += [f"  {_usd(usd)} for {KINDS[kind]}" for kind, usd in phase["by_kind"].items() if Decimal(usd)]
    lines.append("of it, by what became of the case,")
    lines += [f"  {_usd(usd)} for {FATES[fate]}" for fate, usd in phase["by_fate"].items() if Decimal(usd)]
    if len(lines) == 2:
        lines = [*lines[:1], "nothing that was recorded has a price: see prices.yaml"]
    for key, what in (("failed_usd", "calls and attempts that gave nothing"), ("repeated_usd", "repeats")):
        if Decimal(phase[key]):
            lines.append(f"{_usd(phase[key])} of the whole went into {what}")
    if phase["unpriced_calls"]:
        lines.append(f"{phase['unpriced_calls']} calls have no price and are not in it")
    if phase["attempts_without_end"]:
        lines.append(f"the time of tasks that have no end yet is not in it; attempts: {phase['attempts_without_end']}")
    if got["completed"]:
        open_ = f", {got['provisional']} of which can still be undone" if got["provisional"] else ""
        each = _usd(phase["usd_per_outcome"])
        lines.append(f"{each} for each of {got['completed']} completed outcomes{open_}; failures are in it")
    else:
        lines.append("no outcome was completed in it, so the cost of one is not known: see outcomes record")
    if got["undone"]:
        lines.append(f"{got['undone']} cases were completed and undone; they count as no outcome")
    return lines


def _heading(report: Mapping[str, Any], phase: Mapping[str, Any]) -> str:
    until = "" if report["is_over"] else " until now"
    return f"{report['workflow']}, {phase['phase']} in {report['environment']}, {report['period']}{until}"


def _usd(text: str) -> str:
    return tell_dollars(to_nano(Decimal(text)))
