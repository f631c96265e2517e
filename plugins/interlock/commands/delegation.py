"""``airflow interlock review delegate …``: who may vote in whose place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table
from interlock.errors import InputError


@command
def give(args: Any) -> None:
    """Let another person vote in the place of the one who is logged in."""
    body = {"taker": args.to, "until": _instant(args.until), "reason": args.reason, "workflow": args.workflow}
    answer = call("POST", "/delegations", body)
    where = f" in {answer['workflow']}" if answer["workflow"] else ""
    print(
        f"{answer['taker']} votes for {answer['giver']}{where} until {answer['until']}. To end it earlier: airflow "
        f"interlock review undelegate {answer['id'][-8:]}"
    )


@command
def list_(args: Any) -> None:
    """List the current delegations."""
    rows = call("GET", "/delegations")["delegations"]
    if args.json:
        print_json(rows)
        return
    print_table(
        [{**row, "id": row["id"][-8:]} for row in rows],
        {
            "id": "ID",
            "giver": "FOR",
            "taker": "VOTES",
            "workflow": "WORKFLOW",
            "until": "UNTIL",
            "reason": "REASON",
        },
        empty="There are no delegations",
    )


@command
def end(args: Any) -> None:
    """End a delegation early."""
    answer = call("POST", f"/delegations/{quote(args.id, safe='')}/end")
    giver = answer["giver"]
    print(f"{answer['taker']} no longer votes for {giver}; votes cast for {giver} in open requests no longer count")


def _instant(text: str) -> str:
    """Return an instant as the API takes it; a date alone ends with its day, in UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a date. Write 2026-12-24 or 2026-12-24T17:00:00+01:00") from None
    if len(text) == 10:
        instant = instant.replace(hour=23, minute=59, second=59)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).isoformat()
