"""``airflow interlock workflow …``: which workflows may run in this environment."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table
from interlock.engine.policy.deployment import list_deployments
from interlock.hooks.ledger import LedgerHook


@command
def deploy(args: Any) -> None:
    """Deploy a workflow, as the person who is logged in."""
    answer = _change(args, "deploy")
    print(
        f"{answer['workflow']} is deployed in {answer['environment']} by {answer['set_by']}; "
        f"version {answer['version']} is in force"
    )


@command
def pause(args: Any) -> None:
    """Pause a workflow, as the person who is logged in."""
    answer = _change(args, "pause")
    print(
        f"{answer['workflow']} is paused in {answer['environment']} by {answer['set_by']}. Running runs continue; to "
        "stop them: airflow interlock switch off workflow " + str(answer["workflow"])
    )


@command
def retire(args: Any) -> None:
    """Retire a workflow, as the person who is logged in."""
    answer = _change(args, "retire")
    print(f"{answer['workflow']} is retired in {answer['environment']} by {answer['set_by']}")


@command
def list_(args: Any) -> None:
    """List the workflows of this environment with their state."""
    rows = list_deployments(LedgerHook().get_conn(), history=args.all)
    if args.json:
        print_json(rows)
        return
    print_table(
        rows,
        {"workflow": "WORKFLOW", "state": "STATE", "since": "SINCE", "set_by": "BY", "reason": "REASON"},
        empty="No workflow has been deployed here",
    )


def _change(args: Any, act: str) -> dict[str, Any]:
    body = {"act": act, "reason": args.reason}
    return call("POST", f"/workflows/{quote(args.workflow, safe='')}/deployment", body)
