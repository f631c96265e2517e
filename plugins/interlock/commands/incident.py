"""``airflow interlock incidents …``: current problems, and who handles them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table


@command
def list_(args: Any) -> None:
    """List the open incidents, with --closed all."""
    wanted = {"workflow": args.workflow, "closed": "true" if args.closed else None}
    query = urlencode({name: value for name, value in wanted.items() if value})
    rows = call("GET", f"/incidents?{query}")["incidents"]
    if args.json:
        print_json(rows)
        return
    print_table(
        [{**row, "id": row["id"][-8:]} for row in rows],
        {
            "id": "ID",
            "workflow": "WORKFLOW",
            "kind": "KIND",
            "subject": "AT",
            "cases": "CASES",
            "state": "STATE",
            "opened_at": "SINCE",
            "reason": "REASON",
        },
        empty="There are no incidents",
    )


@command
def acknowledge(args: Any) -> None:
    """Take charge of an incident as the person who is logged in."""
    _settle(args.id, "acknowledge", "acknowledged")


@command
def close(args: Any) -> None:
    """Close an incident as the person who is logged in."""
    _settle(args.id, "close", "closed")


def _settle(name: str, act: str, done: str) -> None:
    row = call("POST", f"/incidents/{quote(name, safe='')}/{act}")
    print(f"{row['kind']} at {row['subject']} in {row['workflow']} is {done}")
