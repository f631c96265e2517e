"""``airflow interlock quote``: what a run will cost, and how good such quotes were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from interlock.commands.terminal import command, format_fields, print_json, print_table
from interlock.domain.base.duration import format_duration
from interlock.domain.base.plural import counted
from interlock.domain.cost.price import tell_dollars, to_nano
from interlock.domain.data.source import describe, parse_source
from interlock.engine.agents.permission import demand_reading
from interlock.engine.reports.quote import quote_history, quote_run
from interlock.engine.sources.source import located, read_rows
from interlock.errors import InputError
from interlock.hooks.connection import find_connection
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import include_path
from interlock.hooks.storage import object_path
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import demand_published
from interlock.ledger.store.ledger import Ledger


def _usd(value: float) -> str:
    return tell_dollars(to_nano(Decimal(str(value))))


FIGURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "reviews": ("reviews", lambda value: f"{value:.0f}"),
    "seconds": ("time of tasks", format_duration),
    "usd": ("cost", _usd),
}
"""Figure to what it is called and how it is told."""


@command
def quote(args: Any) -> None:
    """Print a quote, or the record of quotes."""
    ledger = LedgerHook().get_conn()
    if args.history == bool(args.source):
        raise InputError("give --source for a quote, or --history for the record of them")
    demand_published(ledger, args.workflow)
    told = quote_history(ledger, args.workflow) if args.history else _quote(ledger, args)
    if args.json:
        print_json(told)
    elif args.history:
        _print_history(told)
    else:
        print("\n".join(describe_quote(told)))


def _quote(ledger: Ledger, args: Any) -> dict[str, Any]:
    spec, base = parse_source(args.source), include_path().parent
    demand_reading(company_in_force(ledger).access, getattr(spec, "conn_id", None), ledger.environment)
    rows = read_rows(spec, connection=_connection, base=base, storage=object_path)
    return quote_run(ledger, args.workflow, rows, source=located(describe(spec), base))


def _connection(conn_id: str) -> Any:
    return find_connection(conn_id, wanted_for="the source", example="--conn-uri <uri>")


def describe_quote(told: Mapping[str, Any]) -> list[str]:
    """Return the lines that say what a run is expected to take."""
    there = [
        f"{told[name]} {what}" for name, what in (("known", "are in the ledger"), ("repeated", "twice")) if told[name]
    ]
    of_rows = f" of {told['rows']} rows ({', '.join(there)})" if there else ""
    lines = [f"{told['workflow']}, {told['phase']}: {counted(told['cases'], 'new case')}{of_rows} of {told['source']}"]
    estimates = ((title, _estimate(told[name], tell)) for name, (title, tell) in FIGURES.items())
    lines.append(format_fields(estimates, indent=2, width=14))
    lines.append(
        f"  by {counted(told['from_runs'], 'earlier run')} with {counted(told['from_cases'], 'case')}; "
        f"{told['coverage']:.0%} of such runs should lie between"
        if told["from_runs"]
        else "  no run of it is over here, so there is nothing to go by"
    )
    lines.append(f"  kept as quote {told['id'][-8:]}; the next run over this source says how good it was")
    return lines


def _estimate(one: Mapping[str, Any], tell: Callable[[float], str]) -> str:
    if one["middle"] is None:
        return f"not known: {one['why']}"
    why = f" ({one['why']})" if one["why"] else ""
    if one["low"] is None:
        return f"about {tell(one['middle'])}{why}"
    return f"{tell(one['middle'])}, between {tell(one['low'])} and {tell(one['high'])}{why}"


def _print_history(told: Mapping[str, Any]) -> None:
    rows = []
    for row in told["quotes"]:
        line = {"at": row["created_at"][:16].replace("T", " "), "source": row["source"], "cases": row["cases"]}
        for name, (_, tell) in FIGURES.items():
            one, actual = row["estimate"][name], row["actual"]
            said = "not known" if one["middle"] is None else tell(one["middle"])
            if one["low"] is not None:
                said = f"{tell(one['low'])} to {tell(one['high'])}"
            if actual:
                held = {True: "inside", False: "outside", None: "no interval"}[actual["inside"][name]]
                said += f", was {tell(float(actual[name]))}: {held}"
            line[name] = said
        rows.append(line)
    columns = {"at": "QUOTED", "source": "SOURCE", "cases": "CASES"}
    print_table(
        rows,
        columns | {name: title.upper() for name, (title, _) in FIGURES.items()},
        empty=f"No run of {told['workflow']} was quoted here",
    )
    for name, (title, _) in FIGURES.items():
        held = told["held"][name]
        if settled := held["inside"] + held["outside"]:
            print(f"{title}: {held['inside']} of {settled} were inside their interval")
