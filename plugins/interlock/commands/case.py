"""``airflow interlock cases …`` and ``ledger show``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from interlock.commands.case_text import case_text
from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table, print_text, read_changes
from interlock.domain.cases.case import CaseState
from interlock.errors import UnknownName
from interlock.hooks.ledger import LedgerHook
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.cases.case import list_cases


@command
def list_(args: Any) -> None:
    """List cases."""
    known = [state.value for state in CaseState]
    for state in args.state:
        if state not in known:
            raise UnknownName("state", state, known)
    found = list_cases(
        LedgerHook().get_conn(), workflow=args.workflow, states=args.state, is_late=args.late, limit=args.limit
    )
    rows = [case.values() for case in found]
    if args.json:
        print_json(rows)
        return
    print_table(
        rows,
        {
            "business_key": "CASE",
            "state": "STATE",
            "route": "ROUTE",
            "task": "TASK",
            "owner": "OWNER",
            "due_at": "DUE",
            "changed_at": "CHANGED",
            "reason": "REASON",
        },
        empty="No case matches",
    )


@command
def show(args: Any) -> None:
    """Print a case."""
    found = show_case(LedgerHook().get_conn(), args.case)
    if args.json:
        print_json(found)
    else:
        print_text(case_text(found))


@command
def resubmit(args: Any) -> None:
    """Requeue a case as the person who is logged in."""
    body = {"changes": read_changes(args.set), "from_start": args.from_start}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/resubmit", body)
    print(f"{answer['case']} is {answer['state']} at {answer['task']}; {answer['note']}")


@command
def override(args: Any) -> None:
    """Override the decision on a case as the person who is logged in."""
    body = {"route": args.route, "reason": args.reason}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/override", body)
    print(f"{answer['case']} is {answer['state']} on route {answer['route']}")


@command
def undo(args: Any) -> None:
    """Undo the effect of a case as the person who is logged in."""
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/undo", {"reason": args.reason})
    print(
        f"the effect of {answer['case']} by {answer['action']} is {answer['effect']}; the case is {answer['state']}. "
        "Close it, or resubmit it with --from-start"
    )


@command
def reconcile(args: Any) -> None:
    """Record whether an effect in doubt took place, as the person who is logged in."""
    body = {"took_place": args.took_place == "yes", "reason": args.reason}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/reconcile", body)
    print(f"{answer['case']} is {answer['state']}{'; ' if answer['note'] else ''}{answer['note']}")


@command
def close(args: Any) -> None:
    """Close a case as the person who is logged in."""
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/close", {"reason": args.reason})
    print(f"{answer['case']} is {answer['state']}")
