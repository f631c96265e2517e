"""
``airflow interlock …``: the commands and their arguments.

Imported by every ``airflow`` command, so it declares and nothing more; what a command does stands in
:mod:`interlock.commands`.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command

WORKFLOW = Arg(("workflow",), help="Name of the workflow: a folder of include")
CASE = Arg(("case",), help="Business key of the case, its id, or the first 8 digits of it")
REASON = Arg(("--reason",), help="Why", default="")
SET = Arg(
    ("--set",), help="FIELD=VALUE, as often as needed; VALUE is read as JSON when it is", action="append", default=[]
)
JSON = Arg(("--json",), help="Print JSON", action="store_true")
LIMIT = Arg(("--limit",), help="At most so many (default 100)", type=int, default=100)
OF_WORKFLOW = Arg(("--workflow",), help="Only of this workflow")
INCLUDE = Arg(("--include",), help="Folder of the workflows; left out: [interlock] include_path")
DAG = Arg(("--dag",), help="Dag that the policy is held against; left out: the one named like the workflow")
DIGEST = Arg(("--digest",), help="Digest of what you saw, from review show; left out: what the case shows now")


def _command(name: str, help: str, action: str, args: Iterable[Arg] = ()) -> ActionCommand:
    return ActionCommand(name=name, help=help, func=lazy_load_command(f"interlock.commands.{action}"), args=tuple(args))


def get_commands() -> list[CLICommand]:
    """Return the command group ``interlock``."""
    return [
        GroupCommand(
            name="interlock",
            help="AI agents as governed batch work: policies, cases, reviews, the ledger",
            subcommands=(
                _command(
                    "login",
                    "Log in as a person and keep the token for the commands that act as one",
                    "person.login",
                    (
                        Arg(("--username",), help="Who you are; asked for when left out"),
                        Arg(("--password",), help="Asked for when left out"),
                    ),
                ),
                GroupCommand(name="policy", help="Versions of a workflow's policy", subcommands=_policy()),
                GroupCommand(name="cases", help="Cases: quarantine, dead letters, all others", subcommands=_cases()),
                GroupCommand(name="review", help="Sign off, reject, edit, ask for a review", subcommands=_review()),
                _command(
                    "resume",
                    "Start a run that takes up the cases that wait in the ledger, each where it stands",
                    "run.resume",
                    (WORKFLOW, DAG),
                ),
                _command(
                    "summary",
                    "What a run came to",
                    "run.summary",
                    (Arg(("run",), help="Run id; left out: the newest run", nargs="?"), OF_WORKFLOW, JSON),
                ),
                GroupCommand(name="ledger", help="The ledger's tables and its proof", subcommands=_ledger()),
                GroupCommand(
                    name="settings",
                    help="Connections, pools and variables of airflow_settings.yaml",
                    subcommands=(
                        _command(
                            "import",
                            "Load them into this Airflow",
                            "settings.import_",
                            (Arg(("file",), help="The file", nargs="?", default="airflow_settings.yaml"),),
                        ),
                    ),
                ),
            ),
        )
    ]


def _policy() -> tuple[ActionCommand, ...]:
    return (
        _command("check", "Say what cannot work, without publishing", "policy.check", (WORKFLOW, INCLUDE, DAG)),
        _command(
            "publish",
            "Put what stands in include/<workflow> in force as the next version",
            "policy.publish",
            (
                WORKFLOW,
                Arg(("--reason",), help="What changed and why", default="published from the command line"),
                INCLUDE,
                DAG,
            ),
        ),
        _command(
            "show",
            "Print the policy in force",
            "policy.show",
            (
                WORKFLOW,
                Arg(
                    ("--matrix",),
                    help="What leads to escalation, retry, fallback and hard stop",
                    action="store_true",
                ),
                JSON,
            ),
        ),
        _command("history", "List the versions", "policy.history", (WORKFLOW, JSON)),
    )


def _cases() -> tuple[ActionCommand, ...]:
    return (
        _command(
            "list",
            "List cases, the last changed first",
            "case.list_",
            (
                OF_WORKFLOW,
                Arg(
                    ("--state",),
                    help="Only in this state, as often as needed: quarantined, dead, waiting …",
                    action="append",
                    default=[],
                ),
                LIMIT,
                JSON,
            ),
        ),
        _command("show", "Print all that the ledger knows of a case", "case.show", (CASE, JSON)),
        _command(
            "resubmit",
            "Put a quarantined case or a dead letter back to work, corrected with --set",
            "case.resubmit",
            (CASE, SET, Arg(("--from-start",), help="Begin again behind the intake", action="store_true")),
        ),
        _command("close", "End a case without sending anything", "case.close", (CASE, REASON)),
    )


def _review() -> tuple[ActionCommand, ...]:
    return (
        _command("list", "List the cases that wait for people", "review.list_", (OF_WORKFLOW, LIMIT, JSON)),
        _command("show", "Print what is to be decided on a case", "review.show", (CASE, JSON)),
        _command("approve", "Approve what a case would send", "review.approve", (CASE, DIGEST, REASON)),
        _command("reject", "Reject it, with a reason", "review.reject", (CASE, DIGEST, REASON)),
        _command("edit", "Change the draft with --set; it is asked about again", "review.edit", (CASE, SET, DIGEST)),
        _command("request", "Pull a case that was not sent yet back to people", "review.request", (CASE, REASON)),
    )


def _ledger() -> tuple[ActionCommand, ...]:
    return (
        _command("migrate", "Make or renew the tables", "ledger.migrate", ()),
        _command("verify", "Prove that nothing was changed behind the ledger's back", "ledger.verify", (JSON,)),
        _command("show", "Print all that the ledger knows of a case", "case.show", (CASE, JSON)),
    )
