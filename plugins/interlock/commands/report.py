"""``airflow interlock report show`` and ``provenance``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from interlock.commands.terminal import command, format_fields, print_json, print_table
from interlock.domain.facts.fact import show_number
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.provenance import Provenance, trace
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import snapshot_path
from interlock.ledger.policy.version import demand_published
from interlock.ledger.reports.review import latest_review


@command
def show(args: Any) -> None:
    """Print the newest review of a workflow, or write it to files."""
    from interlock.reporting.markdown import render_markdown
    from interlock.reporting.page import render_html
    from interlock.reporting.view import View

    ledger = LedgerHook().get_conn()
    demand_published(ledger, args.workflow)
    row, review, finding = latest_review(ledger, args.workflow, period=args.period)
    view = View.of(review, finding)
    if args.html:
        Path(args.html).write_text(render_html(view), encoding="utf-8")
    if args.markdown:
        Path(args.markdown).write_text(render_markdown(view), encoding="utf-8")
    if args.json:
        facts = [fact.model_dump(mode="json") | {"shown": fact.shown} for fact in view.sources]
        print_json({"case": row.business_key, "state": row.state, "review": review, "facts": facts})
    elif args.html or args.markdown:
        files = " and ".join(file for file in (args.html, args.markdown) if file)
        print(f"{view.review.title}, {view.review.period} (case {row.business_key}, {row.state}): {files}")
    else:
        print(render_markdown(view), end="")


@command
def provenance(args: Any) -> None:
    """Print where a fact comes from, and recompute its number."""
    found = trace(LedgerHook().get_conn(), args.fact, Snapshots(snapshot_path()), limit=args.rows)
    if args.json:
        document = asdict(found) | {
            "fact": found.fact.model_dump(mode="json"),
            "inputs": [one.model_dump(mode="json") for one in found.inputs],
        }
        print_json(document)
        return
    print(provenance_text(found))
    if found.rows:
        print()
        columns = {name: name.upper() for name in found.columns}
        print_table([dict(zip(columns, row, strict=True)) for row in found.rows], columns, empty="")
        if len(found.rows) < found.fact.rows:
            print(f"… {found.fact.rows - len(found.rows):,} more rows; --rows N shows more")


def provenance_text(found: Provenance) -> str:
    """Return where a fact comes from, as text."""
    fact, reading = found.fact, found.reading
    again = show_number(found.again, fact.unit, fact.decimals)
    check = {
        True: f"recomputed just now: {again}, the same",
        False: f"RECOMPUTED, AND NOT THE SAME: {found.problem or again}",
        None: f"cannot be recomputed here: {found.problem}",
    }[found.is_confirmed]
    lines = [
        ("fact", f"{fact.id}  {fact.name}"),
        ("value", f"{fact.label}: {fact.shown}" if not fact.withheld else f"{fact.label}: withheld, {fact.withheld}"),
        ("period", f"{fact.period}, as of {fact.as_of.isoformat()}"),
        ("check", check),
        ("expression", fact.expression),
        ("rows", f"{fact.rows:,} where {fact.where}" if fact.where else ""),
        ("digest of rows", fact.rows_digest),
        *(("derived from", f"{one.id}  {one.label}: {one.shown} ({one.period})") for one in found.inputs),
        *(("transformation", text) for text in fact.transformations),
        *(("assumption", text) for text in fact.assumptions),
        ("confidence", "" if fact.confidence is None else f"{fact.confidence:.1%}: {fact.confidence_basis}"),
        ("dataset", f"{fact.dataset}, {reading.row_count:,} rows read, {reading.quarantined:,} quarantined"),
        ("source", str(reading.source)),
        ("snapshot", str(reading.snapshot or "none")),
        ("data quality", str(reading.state)),
        *(("warning", text) for text in fact.warnings if text not in reading.reasons.get("warning", ())),
        *((severity, text) for severity, texts in reading.reasons.items() for text in texts),
        ("computed by", f"{found.run.workflow}, run {found.run.run_id}"),
    ]
    return format_fields(((name, text) for name, text in lines if text), width=15)
