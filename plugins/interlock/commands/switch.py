"""``airflow interlock switch …``"""

from __future__ import annotations

from typing import Any

from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table
from interlock.engine.runs.kill_switch import switches
from interlock.hooks.ledger import LedgerHook


@command
def off(args: Any) -> None:
    """Switch something off, as the person who is logged in."""
    answer = _switch(args, off=True)
    if answer["is_new"]:
        print(
            f"{answer['kind']} {answer['name']} is off in {answer['environment']}, by {answer['off_by']}. Running "
            "tasks stop before their next group of cases; what was sent is recorded, and the cases stay where they are"
        )
    else:
        print(f"{answer['kind']} {answer['name']} is already off, by {answer['off_by']}: {answer['off_reason']}")


@command
def on(args: Any) -> None:
    """Switch something on again, as the person who is logged in."""
    answer = _switch(args, off=False)
    print(
        f"{answer['kind']} {answer['name']} is on again in {answer['environment']}, by {answer['on_by']}. "
        "To continue its cases: airflow interlock resume WORKFLOW"
    )


@command
def list_(args: Any) -> None:
    """List what is switched off."""
    rows = switches(LedgerHook().get_conn(), history=args.all)
    if args.json:
        print_json(rows)
        return
    columns = {"kind": "KIND", "name": "NAME", "off_at": "OFF SINCE", "off_by": "BY", "off_reason": "REASON"}
    if args.all:
        columns |= {"on_at": "ON AGAIN", "on_by": "BY", "on_reason": "REASON"}
    print_table(rows, columns, empty="Nothing is switched off" if not args.all else "Nothing was ever switched off")


def _switch(args: Any, *, off: bool) -> dict[str, Any]:
    body = {"kind": args.kind, "name": args.name, "off": off, "reason": args.reason}
    return call("POST", "/switches", body)
