"""``airflow interlock workflow …``: whether a workflow runs in this environment."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table
from interlock.engine.policy.deployment import list_deployments
from interlock.hooks.ledger import LedgerHook


@command
def deploy(args: Any) -> None:
    """Let it run, as the person who is logged in."""
    answer = _change(args, "deploy")
    print(f"{answer['workflow']} is deployed in {answer['environment']} by {answer['set_by']}: {_version(answer)}")


@command
def pause(args: Any) -> None:
    """Let no new run of it begin."""
    answer = _change(args, "pause")
    print(
        f"{answer['workflow']} is paused in {answer['environment']} by {answer['set_by']}. Runs that began go on; to "
        "stop these: airflow interlock switch off workflow " + str(answer["workflow"])
    )


@command
def retire(args: Any) -> None:
    """Let it run no more."""
    answer = _change(args, "retire")
    print(f"{answer['workflow']} is retired in {answer['environment']} by {answer['set_by']}")


@command
def list_(args: Any) -> None:
    """List how each workflow stands."""
    rows = list_deployments(LedgerHook().get_conn(), history=args.all)
    if args.json:
        print_json(rows)
        return
    print_table(
        rows,
        {"workflow": "WORKFLOW", "state": "STATE", "since": "SINCE", "set_by": "BY", "reason": "REASON"},
        empty="No workflow was deployed here",
    )


def _change(args: Any, act: str) -> dict[str, Any]:
    body = {"act": act, "reason": args.reason}
    return call("POST", f"/workflows/{quote(args.workflow, safe='')}/deployment", body)


def _version(answer: dict[str, Any]) -> str:
    return f"version {answer['version']} is in force"
