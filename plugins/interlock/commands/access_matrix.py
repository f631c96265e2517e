"""``airflow interlock access matrix`` and ``airflow interlock owners``."""

from __future__ import annotations

from typing import Any

from interlock.commands.terminal import command, print_json, print_table
from interlock.engine.approvals.access_matrix import access_matrix
from interlock.engine.approvals.access_matrix import owners as owners_of
from interlock.hooks.ledger import LedgerHook


@command
def matrix(args: Any) -> None:
    """Print who can do what."""
    found = access_matrix(LedgerHook().get_conn())
    if args.json:
        print_json(found)
        return
    print_table(
        [{**row, "people": _people(row["people"]), "groups": _people(row["groups"])} for row in found["rights"]],
        {"right": "RIGHT", "workflow": "WORKFLOW", "people": "PEOPLE", "groups": "GROUPS"},
        empty="",
    )
    print()
    print_table(
        [{**row, "people": _people(row["people"])} for row in found["gates"]],
        {"workflow": "WORKFLOW", "gate": "GATE", "stage": "STAGE", "order": "ORDER", "votes": "VOTES", "people": "OF"},
        empty="There are no gates here",
    )
    if found["delegations"]:
        print()
        columns = {"taker": "VOTES", "giver": "FOR", "workflow": "WORKFLOW", "until": "UNTIL"}
        print_table(found["delegations"], columns, empty="")
    for warning in found["warnings"]:
        print(f"warning: {warning}")


@command
def owners(args: Any) -> None:
    """Print the owner, maintainer and approver of each workflow."""
    found = owners_of(LedgerHook().get_conn())
    if args.json:
        print_json(found)
        return
    rows = [
        {
            **row,
            **{duty: f"{row[duty]['name']} <{row[duty]['email']}>" for duty in ("owner", "maintainer", "approver")},
            "escalation": _people(
                dict.fromkeys(
                    f"{contact['name']} <{contact['email']}>"
                    for duty in ("owner", "maintainer", "approver")
                    for contact in row[duty]["escalation"]
                )
            ),
        }
        for row in found
    ]
    print_table(
        rows,
        {
            "workflow": "WORKFLOW",
            "phase": "PHASE",
            "state": "STATE",
            "owner": "OWNER",
            "maintainer": "MAINTAINER",
            "approver": "APPROVER",
            "escalation": "ESCALATION",
            "review_by": "REVIEW BY",
        },
        empty="No workflow has an active policy here",
    )
    for row in found:
        if row["is_past_review"]:
            print(f"warning: the policy of {row['workflow']} is overdue for review since {row['review_by']}")


def _people(names: Any) -> str:
    return ", ".join(names) or "nobody"
