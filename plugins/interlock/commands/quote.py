"""``airflow interlock quote``: estimates of a run's cost, duration and reviews, and how accurate they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from interlock.commands.source_option import notation_of
from interlock.commands.terminal import command, format_fields, print_json, print_table
from interlock.domain.base.duration import format_duration
from interlock.domain.base.plural import counted
from interlock.domain.cost.price import format_dollars, to_nano
from interlock.domain.data.source import describe, parse_source
from interlock.engine.agents.permission import demand_reading
from interlock.engine.reports.quote import quote_history, quote_run
from interlock.engine.sources.source import located, read_rows
from interlock.errors import InputError
from interlock.hooks.connection import find_connection
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import include_path
from interlock.hooks.source_access import source_access
from interlock.hooks.storage import object_path
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import demand_published
from interlock.ledger.store.ledger import Ledger


def _usd(value: float) -> str:
    return format_dollars(to_nano(Decimal(str(value))))


FIGURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "reviews": ("reviews", lambda value: f"{value:.0f}"),
    "seconds": ("time of tasks", format_duration),
    "usd": ("cost", _usd),
}
"""Each figure with its title and its format."""
SKIPPED = {"known": "already in the ledger", "repeated": "duplicates"}
"""Counts of rows that open no case, and how they are described."""


@command
def quote(args: Any) -> None:
    """Print a quote, or the past quotes."""
    ledger = LedgerHook().get_conn()
    if args.history == bool(args.source):
        raise InputError("give either --source for a quote, or --history for past quotes")
    demand_published(ledger, args.workflow)
    report = quote_history(ledger, args.workflow) if args.history else _quote(ledger, args)
    if args.json:
        print_json(report)
    elif args.history:
        _print_history(report)
    else:
        print("\n".join(describe_quote(report)))


def _quote(ledger: Ledger, args: Any) -> dict[str, Any]:
    spec, base, company = (
        parse_source(args.source, **notation_of(args)),
        include_path().parent,
        company_in_force(ledger),
    )
    demand_reading(company.access, getattr(spec, "conn_id", None), ledger.environment)
    access = source_access(company.connectors)
    rows = read_rows(spec, connection=_connection, base=base, storage=object_path, access=access)
    return quote_run(ledger, args.workflow, rows, source=located(describe(spec), base), include=include_path())


def _connection(conn_id: str) -> Any:
    return find_connection(conn_id, wanted_for="the source", example="--conn-uri <uri>")


def describe_quote(quoted: Mapping[str, Any]) -> list[str]:
    """Return a quote as lines of text."""
    skipped = [f"{quoted[name]} {what}" for name, what in SKIPPED.items() if quoted[name]]
    rows = f" of {quoted['rows']} rows ({', '.join(skipped)})" if skipped else ""
    cases = f"{counted(quoted['cases'], 'new case')}{rows} in {quoted['source']}"
    lines = [f"{quoted['workflow']}, {quoted['phase']}: {cases}"]
    if quoted["quarantined"]:
        lines.append(
            f"  {counted(quoted['quarantined'], 'row')} would be quarantined: airflow interlock data readiness"
        )
    estimates = ((title, _estimate(quoted[name], format_value)) for name, (title, format_value) in FIGURES.items())
    lines.append(format_fields(estimates, indent=2, width=14))
    lines.append(
        f"  based on {counted(quoted['from_runs'], 'earlier run')} with {counted(quoted['from_cases'], 'case')}; "
        f"{quoted['coverage']:.0%} of such runs should stay within the ranges"
        if quoted["from_runs"]
        else "  no run has finished here yet, so there is nothing to base an estimate on"
    )
    lines.append(f"  saved as quote {quoted['id'][-8:]}, to compare with the next run over this source")
    return lines


def _estimate(one: Mapping[str, Any], format_value: Callable[[float], str]) -> str:
    if one["middle"] is None:
        return f"unknown: {one['why']}"
    why = f" ({one['why']})" if one["why"] else ""
    if one["low"] is None:
        return f"about {format_value(one['middle'])}{why}"
    interval = f"between {format_value(one['low'])} and {format_value(one['high'])}"
    return f"{format_value(one['middle'])}, {interval}{why}"


def _print_history(history: Mapping[str, Any]) -> None:
    rows = []
    for row in history["quotes"]:
        line = {"at": row["created_at"][:16].replace("T", " "), "source": row["source"], "cases": row["cases"]}
        for name, (_, format_value) in FIGURES.items():
            estimate, actual = row["estimate"][name], row["actual"]
            text = "unknown" if estimate["middle"] is None else format_value(estimate["middle"])
            if estimate["low"] is not None:
                text = f"{format_value(estimate['low'])} to {format_value(estimate['high'])}"
            if actual:
                hit = {True: "within", False: "outside", None: "no range"}[actual["inside"][name]]
                text += f", was {format_value(float(actual[name]))}: {hit}"
            line[name] = text
        rows.append(line)
    columns = {"at": "QUOTED", "source": "SOURCE", "cases": "CASES"}
    print_table(
        rows,
        columns | {name: title.upper() for name, (title, _) in FIGURES.items()},
        empty=f"There are no quotes for {history['workflow']} here",
    )
    for name, (title, _) in FIGURES.items():
        hits = history["held"][name]
        if settled := hits["inside"] + hits["outside"]:
            print(f"{title}: {hits['inside']} of {settled} were within their range")
