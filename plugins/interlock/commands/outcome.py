"""``airflow interlock outcomes …``: business outcomes of cases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from interlock.commands.person import call
from interlock.commands.source_option import notation_of
from interlock.commands.terminal import command, print_json, print_table, read_changes
from interlock.domain.data.source import FileSource, SourceRow, parse_source
from interlock.engine.cases.outcome import SHOWN, named_columns, pick_fields, read_fields
from interlock.engine.sources.source import read_rows
from interlock.errors import InputError

AT_ONCE = 500


@command
def record(args: Any) -> None:
    """Record the outcomes of a file as the person who is logged in."""
    spec = parse_source(args.file, **notation_of(args))
    if not isinstance(spec, FileSource):
        raise InputError(f"{args.file!r} is not a file. A query or a service is read by RecordOutcomeOperator")
    source = Path(spec.path).name
    columns = named_columns({name: str(column) for name, column in read_changes(args.column).items()})
    counts: Counter[str] = Counter()
    shown: list[str] = []
    pending: list[dict[str, Any]] = []

    def send() -> None:
        answer = call("POST", "/outcomes", {"workflow": args.workflow, "source": source, "rows": pending})
        shown.extend(answer.pop("rejected_rows"))
        counts.update(answer)
        pending.clear()

    for row in read_rows(spec, connection=str):
        pending.append(_outcome_row(row, columns, source))
        if len(pending) == AT_ONCE:
            send()
    if pending:
        send()
    print(", ".join(f"{number} {what.replace('_', ' ')}" for what, number in counts.items()) or f"{source} has no rows")
    for line in shown[:SHOWN]:
        print(f"  {line}")
    if counts["rejected"] > SHOWN:
        print(f"  … and {counts['rejected'] - SHOWN} more")
    if counts["rejected"]:
        raise InputError("correct the rejected rows and record the file again: outcomes on record stay as they are")


def _outcome_row(row: SourceRow, columns: dict[str, str], source: str) -> dict[str, Any]:
    if row.values is None:
        return {"number": row.number, "values": None, "problem": row.problem}
    fields = pick_fields(row.values, columns, source)
    try:
        fields = read_fields(fields, row.notation)
    except ValueError as error:
        return {"number": row.number, "values": None, "problem": str(error)}
    return {"number": row.number, "values": {n: None if v is None else str(v) for n, v in fields.items()}}


@command
def list_(args: Any) -> None:
    """List the outcomes of a workflow's cases."""
    query = urlencode({"workflow": args.workflow, "limit": args.limit})
    rows = call("GET", f"/outcomes?{query}")["outcomes"]
    if args.json:
        print_json(rows)
        return
    print_table(
        rows,
        {
            "business_key": "CASE",
            "outcome": "OUTCOME",
            "value": "VALUE",
            "happened_at": "HAPPENED",
            "standing": "STANDING",
            "final_at": "FINAL",
            "recorded_by": "BY",
            "source": "SOURCE",
        },
        empty=f"No outcome of {args.workflow} is recorded",
    )
