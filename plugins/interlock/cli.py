"""
``airflow interlock …``: the commands and their arguments.

Every ``airflow`` command imports this module, so it only declares; what a command does is in :mod:`interlock.commands`.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command, positive_int

WORKFLOW = Arg(("workflow",), help="Name of the workflow: its folder in include/")
SUBJECT = Arg(("workflow",), help="Name of the workflow, or company for the files that all workflows share")
NUMBER = Arg(("--number",), help="Number of the version (default: the newest)", type=int)
CASE = Arg(("case",), help="Business key of the case, its id, or the last 8 characters of its id")
REASON = Arg(("--reason",), help="Reason, kept in the audit trail", default="")
REQUIRED_REASON = Arg(("--reason",), help="Reason, kept in the audit trail", required=True)
SET = Arg(
    ("--set",),
    help="FIELD=VALUE: the new value of a field, as JSON or as text; can be repeated",
    action="append",
    default=[],
)
JSON = Arg(("--json",), help="Print JSON instead of text", action="store_true")
COUNT = positive_int(allow_zero=False)
LIMIT = Arg(("--limit",), help="Maximum number of rows (default: 100)", type=COUNT, default=100)
PERIOD = Arg(
    ("--period",),
    help="Period: day, month, all, 7d (the last 7 days), 2026-11 or 2026-11-23 (default: month)",
    default="month",
)
OF_WORKFLOW = Arg(("--workflow",), help="Only this workflow")
INCLUDE = Arg(("--include",), help="Folder that holds the workflows' folders (default: [interlock] include_path)")
NOTATION = (
    Arg(("--delimiter",), help="Character that separates the fields of a CSV file (default: a comma; a tab for TSV)"),
    Arg(("--encoding",), help="Encoding of a text file, such as cp1252 (default: utf-8)"),
    Arg(("--decimal",), help="Decimal mark of its numbers (default: a point)", choices=(".", ",")),
    Arg(("--thousands",), help="Thousands separator of its numbers (default: none)"),
    Arg(("--day-first",), help="Its dates are written 31.12.2026 or 31/12/2026", action="store_true"),
)
DAG = Arg(("--dag",), help="Dag to validate the policy with (default: the Dag with the workflow's name)")
DIGEST = Arg(
    ("--digest",), help="Digest from review show: refuse if the case has changed since (default: no comparison)"
)


def _command(name: str, help: str, action: str, args: Iterable[Arg] = ()) -> ActionCommand:
    return ActionCommand(name=name, help=help, func=lazy_load_command(f"interlock.commands.{action}"), args=tuple(args))


def get_commands() -> list[CLICommand]:
    """Return the command group ``interlock``."""
    return [
        GroupCommand(
            name="interlock",
            help="Run AI agents as governed batch work: policies, cases, reviews, the ledger",
            subcommands=(
                _command(
                    "login",
                    "Log in, and store the token for the commands that act in your name",
                    "person.login",
                    (
                        Arg(("--username",), help="Your user name in Airflow (default: ask)"),
                        Arg(("--password",), help="Your password (default: ask)"),
                    ),
                ),
                GroupCommand(
                    name="policy",
                    help="Versions of a workflow's policy: propose, approve, activate, compare",
                    subcommands=_policy(),
                ),
                GroupCommand(
                    name="workflow",
                    help="Deploy, pause and retire workflows in this environment",
                    subcommands=_workflow(),
                ),
                GroupCommand(
                    name="access",
                    help="Rights of people and groups",
                    subcommands=(
                        _command(
                            "matrix",
                            "Show who has which right and who may vote at which gate",
                            "access_matrix.matrix",
                            (JSON,),
                        ),
                    ),
                ),
                _command(
                    "provenance",
                    "Show where a number of a review comes from, with its source rows",
                    "report.provenance",
                    (
                        Arg(("fact",), help="Id of the number (fact), or the beginning of the id"),
                        Arg(("--rows",), help="Maximum number of source rows (default: 10)", type=COUNT, default=10),
                        JSON,
                    ),
                ),
                GroupCommand(
                    name="report",
                    help="Periodic reviews, such as a weekly report",
                    subcommands=(
                        _command(
                            "show",
                            "Print the newest review of a workflow as Markdown, or write it to files",
                            "report.show",
                            (
                                WORKFLOW,
                                Arg(
                                    ("--period",),
                                    help="Newest review whose period contains this text (default: the newest of all)",
                                ),
                                Arg(
                                    ("--html",), help="Write the review to this HTML file; overwrites an existing file"
                                ),
                                Arg(
                                    ("--markdown",),
                                    help="Write the review to this Markdown file; overwrites an existing file",
                                ),
                                JSON,
                            ),
                        ),
                    ),
                ),
                _command(
                    "owners",
                    "List the owner, maintainer and approver of each workflow",
                    "access_matrix.owners",
                    (JSON,),
                ),
                _command(
                    "secrets",
                    "List the Airflow connections in use: who uses them, how old their secrets are, which are unused",
                    "secret.secrets",
                    (JSON,),
                ),
                GroupCommand(name="switch", help="Kill switches: stop work now, or resume it", subcommands=_switch()),
                GroupCommand(
                    name="incidents", help="Incidents: current problems, and who handles them", subcommands=_incidents()
                ),
                GroupCommand(name="cases", help="Cases: list, inspect, correct and close them", subcommands=_cases()),
                GroupCommand(
                    name="data",
                    help="Datasets: profile them, check their quality, list quarantined rows",
                    subcommands=_data(),
                ),
                GroupCommand(name="outcomes", help="Business outcomes of cases", subcommands=_outcomes()),
                GroupCommand(
                    name="review",
                    help="Human review: approve, reject or edit what a case would send",
                    subcommands=_review(),
                ),
                _command(
                    "resume",
                    "Start a run that resumes unfinished cases, each case from the task where it stopped",
                    "run.resume",
                    (WORKFLOW, Arg(("--dag",), help="Dag to start (default: the Dag with the workflow's name)")),
                ),
                _command(
                    "summary",
                    "Show the results of a run",
                    "run.summary",
                    (Arg(("run",), help="Dag run id (default: the newest run)", nargs="?"), OF_WORKFLOW, JSON),
                ),
                _command("kpi", "Show a workflow's KPIs and their baselines", "value.kpi", (WORKFLOW, PERIOD, JSON)),
                _command(
                    "cost",
                    "Show what a workflow costs, in total and per outcome",
                    "value.cost",
                    (WORKFLOW, PERIOD, JSON),
                ),
                _command(
                    "budgets",
                    "Show each budget: limit, spent, reserved, left",
                    "value.budgets",
                    (Arg(("workflow",), help="Name of the workflow (default: all)", nargs="?"), JSON),
                ),
                _command(
                    "quote",
                    "Estimate a run's cost, duration and number of reviews, or show how accurate past estimates were",
                    "quote.quote",
                    (
                        WORKFLOW,
                        Arg(
                            ("--source",), help="File or other source with the cases, as in the Dag's parameter source"
                        ),
                        *NOTATION,
                        Arg(("--history",), help="List past estimates beside the actual figures", action="store_true"),
                        JSON,
                    ),
                ),
                _command(
                    "override",
                    "Move a case to another route of its policy, such as a review gate",
                    "case.override",
                    (
                        CASE,
                        Arg(("--route",), help="Route with a review gate, or stop", required=True),
                        REQUIRED_REASON,
                    ),
                ),
                _command(
                    "forget",
                    "Erase a case's personal data; its history stays and can still be verified",
                    "forget.forget",
                    (
                        CASE,
                        REASON,
                        Arg(("--key-too",), help="Also replace the business key", action="store_true"),
                    ),
                ),
                GroupCommand(
                    name="ledger", help="The ledger: Interlock's database, with its audit trail", subcommands=_ledger()
                ),
                GroupCommand(
                    name="settings",
                    help="Airflow connections, pools and variables",
                    subcommands=(
                        _command(
                            "import",
                            "Import connections, pools and variables from airflow_settings.yaml into Airflow",
                            "settings.import_",
                            (
                                Arg(
                                    ("file",),
                                    help="Settings file (default: airflow_settings.yaml)",
                                    nargs="?",
                                    default="airflow_settings.yaml",
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        )
    ]


def _policy() -> tuple[ActionCommand, ...]:
    reason = Arg(("--reason",), help="What changed and why", default="published from the command line")
    return (
        _command(
            "check", "List the errors in a policy, without publishing it", "policy.check", (SUBJECT, INCLUDE, DAG)
        ),
        _command(
            "publish",
            "Propose the files in include/ as the next version, and activate it unless approvals are missing",
            "policy.publish",
            (SUBJECT, reason, INCLUDE, DAG),
        ),
        _command(
            "propose",
            "Record the files in include/ as the next version, without activating it",
            "policy.propose",
            (
                SUBJECT,
                Arg(("--reason",), help="What changed and why", required=True),
                Arg(
                    ("--from",),
                    dest="origin",
                    help="Propose the active version of this environment (same ledger) instead of include/",
                ),
                INCLUDE,
                DAG,
            ),
        ),
        _command(
            "approve",
            "Approve a version, or reject it with --reject",
            "policy.approve",
            (
                SUBJECT,
                NUMBER,
                Arg(
                    ("--digest",),
                    help="Digest of the version that you read: refuse if it differs (default: no comparison)",
                ),
                Arg(
                    ("--reject",),
                    help="Reject the version; one rejection is final, and needs a reason",
                    action="store_true",
                ),
                REASON,
            ),
        ),
        _command(
            "promote",
            "Activate an approved version",
            "policy.promote",
            (
                SUBJECT,
                NUMBER,
                Arg(("--at",), help="When the version becomes active, such as 2026-03-02T09:00:00Z (default: now)"),
                REQUIRED_REASON,
                DAG,
            ),
        ),
        _command(
            "export",
            "Export a current or past active version, signed, for another environment",
            "policy.export",
            (
                SUBJECT,
                Arg(("--number",), help="Number of the version (default: the active version)", type=int),
                Arg(("--file",), help="New file to write (default: print)"),
            ),
        ),
        _command(
            "import",
            "Propose a version that another environment exported",
            "policy.import_",
            (
                Arg(("file",), help="File that policy export wrote"),
                Arg(
                    ("--reason",),
                    help="Reason, kept in the audit trail",
                    default="brought over from the environment before",
                ),
            ),
        ),
        _command("key", "Generate a key pair for signing exported versions", "policy.key"),
        _command(
            "show",
            "Print the active policy",
            "policy.show",
            (
                SUBJECT,
                Arg(
                    ("--matrix",),
                    help="Print a summary instead: what leads to human review, retry, fallback and stop",
                    action="store_true",
                ),
                JSON,
            ),
        ),
        _command("history", "List all versions, and which one is active", "policy.history", (SUBJECT, JSON)),
        _command(
            "diff",
            "Show the differences between two versions (default: the active version and include/)",
            "policy.diff",
            (
                SUBJECT,
                Arg(("a",), help="Number of the first version (default: the active version)", type=int, nargs="?"),
                Arg(("b",), help="Number of the second version (default: the files in include/)", type=int, nargs="?"),
                INCLUDE,
            ),
        ),
        _command(
            "replay",
            "Show which past decisions a proposed policy would change",
            "replay.replay",
            (
                WORKFLOW,
                Arg(("--last",), help="Maximum number of past decisions (default: 10000)", type=COUNT, default=10_000),
                INCLUDE,
                Arg(("--version",), help="Replay this version (default: the files in include/)", type=int),
                Arg(("--dag",), help="Dag to replay with (default: the Dag of each decision, as it was then)"),
                Arg(("--minutes",), help="Minutes of work per review (default: 3)", type=float, default=3.0),
                JSON,
            ),
        ),
        _command(
            "rollback",
            "Activate an earlier version again, effective immediately",
            "policy.rollback",
            (
                SUBJECT,
                Arg(
                    ("--to",),
                    help="Number of the version (default: the nearest lower number that was active)",
                    type=int,
                ),
                REQUIRED_REASON,
            ),
        ),
    )


def _workflow() -> tuple[ActionCommand, ...]:
    return (
        _command(
            "deploy", "Allow a workflow to run in this environment", "workflow.deploy", (WORKFLOW, REQUIRED_REASON)
        ),
        _command(
            "pause",
            "Stop new runs of a workflow in this environment; running ones continue",
            "workflow.pause",
            (WORKFLOW, REQUIRED_REASON),
        ),
        _command("retire", "End a workflow in this environment", "workflow.retire", (WORKFLOW, REQUIRED_REASON)),
        _command(
            "list",
            "List the workflows of this environment: deployed, paused or retired",
            "workflow.list_",
            (Arg(("--all",), help="List every past change, too", action="store_true"), JSON),
        ),
    )


def _switch() -> tuple[ActionCommand, ...]:
    kind = Arg(("kind",), help="What to switch", choices=("workflow", "agent", "connector"))
    name = Arg(("name",), help="Name of the workflow or connector; for an agent, WORKFLOW/AGENT")
    return (
        _command(
            "off", "Stop new work of a workflow, an agent or a connector", "switch.off", (kind, name, REQUIRED_REASON)
        ),
        _command(
            "on",
            "Allow new work again; then run resume to continue the cases",
            "switch.on",
            (kind, name, REQUIRED_REASON),
        ),
        _command(
            "list",
            "List what is switched off",
            "switch.list_",
            (Arg(("--all",), help="Also list past switches that are on again", action="store_true"), JSON),
        ),
    )


def _incidents() -> tuple[ActionCommand, ...]:
    incident = Arg(("id",), help="Id of the incident, or its last characters, from incidents list")
    closed = Arg(("--closed",), help="Also list closed incidents", action="store_true")
    return (
        _command("list", "List the open incidents", "incident.list_", (OF_WORKFLOW, closed, JSON)),
        _command(
            "acknowledge",
            "Take charge of an incident, so that it is not escalated to others",
            "incident.acknowledge",
            (incident,),
        ),
        _command("close", "Close an incident", "incident.close", (incident,)),
    )


def _outcomes() -> tuple[ActionCommand, ...]:
    column = Arg(
        ("--column",),
        help="FIELD=NAME: the file's column for key, outcome, happened_at or value; can be repeated",
        action="append",
        default=[],
    )
    return (
        _command(
            "record",
            "Import the outcomes in a file",
            "outcome.record",
            (WORKFLOW, Arg(("file",), help="CSV, JSON lines or Parquet file"), column, *NOTATION),
        ),
        _command("list", "List outcomes, latest first", "outcome.list_", (WORKFLOW, LIMIT, JSON)),
    )


def _cases() -> tuple[ActionCommand, ...]:
    return (
        _command(
            "list",
            "List cases, most recently changed first",
            "case.list_",
            (
                OF_WORKFLOW,
                Arg(
                    ("--state",),
                    help="Only cases in this state, such as quarantined, dead or waiting; can be repeated",
                    action="append",
                    default=[],
                ),
                Arg(("--late",), help="Only unfinished cases past their deadline", action="store_true"),
                LIMIT,
                JSON,
            ),
        ),
        _command("show", "Print a case with its full history", "case.show", (CASE, JSON)),
        _command(
            "resubmit",
            "Requeue a quarantined or dead-letter case, corrected with --set; the next resume run processes it",
            "case.resubmit",
            (
                CASE,
                SET,
                Arg(
                    ("--from-start",),
                    help="Restart after the intake (default for a dead letter: at the task where it failed)",
                    action="store_true",
                ),
            ),
        ),
        _command("undo", "Undo in the external system what a case sent", "case.undo", (CASE, REASON)),
        _command(
            "reconcile",
            "Record whether an effect took place that cannot be looked up, such as an email",
            "case.reconcile",
            (
                CASE,
                Arg(("--took-place",), help="Whether the effect took place", choices=("yes", "no"), required=True),
                Arg(("--reason",), help="How you know, kept in the audit trail", required=True),
            ),
        ),
        _command("close", "Close a case without sending anything", "case.close", (CASE, REASON)),
    )


TEXT = Arg(("--text",), help="Text of the message", required=True)


def _review() -> tuple[ActionCommand, ...]:
    return (
        _command("list", "List the cases that wait for human review", "review.list_", (OF_WORKFLOW, LIMIT, JSON)),
        _command("show", "Print what a case would send, and its digest", "review.show", (CASE, JSON)),
        _command("approve", "Vote to approve what a case would send", "review.approve", (CASE, DIGEST, REASON)),
        _command("reject", "Vote to reject a case; needs a reason", "review.reject", (CASE, DIGEST, REASON)),
        _command("ask", "Ask the owner of a case a question before you decide", "review.ask", (CASE, TEXT)),
        _command("reply", "Answer a reviewer's question about a case", "review.reply", (CASE, TEXT)),
        _command(
            "handover",
            "Hand a case over to another eligible reviewer",
            "review.handover",
            (CASE, Arg(("--to",), help="User name of the new reviewer", required=True), TEXT),
        ),
        _command(
            "breakglass",
            "Emergency sign-off (break glass) by one person when no eligible reviewer is reachable",
            "review.break_glass",
            (CASE, DIGEST, Arg(("--reason",), help="Why no eligible reviewer could decide", required=True)),
        ),
        _command("unreviewed", "List emergency sign-offs that still need their review", "review.unreviewed", (JSON,)),
        _command(
            "confirm",
            "Review an emergency sign-off; a rejection does not undo what was sent",
            "review.confirm",
            (CASE, Arg(("--reject",), help="Judge the sign-off wrong; needs a reason", action="store_true"), REASON),
        ),
        _command(
            "answer",
            "Cast the votes in a CSV file with the columns case, answer, digest and reason",
            "review.answer",
            (Arg(("file",), help="CSV file with the votes"),),
        ),
        _command(
            "edit",
            "Change the draft with --set; earlier votes become void and approval starts again",
            "review.edit",
            (CASE, SET, DIGEST),
        ),
        _command("request", "Return a case that is not sent yet to human review", "review.request", (CASE, REASON)),
        _command(
            "delegate",
            "Let another person vote in your place until a date",
            "delegation.give",
            (
                Arg(("--to",), help="User name of your deputy", required=True),
                Arg(
                    ("--until",),
                    help="End: a date such as 2026-12-24, or a time such as 2026-12-24T17:00:00+01:00",
                    required=True,
                ),
                REQUIRED_REASON,
                OF_WORKFLOW,
            ),
        ),
        _command("delegations", "List current delegations", "delegation.list_", (JSON,)),
        _command(
            "undelegate",
            "End a delegation early",
            "delegation.end",
            (Arg(("id",), help="Id of the delegation, from review delegations"),),
        ),
    )


def _data() -> tuple[ActionCommand, ...]:
    of_dataset = Arg(("--dataset",), help="Only this dataset")
    return (
        _command(
            "profile",
            "Generate a dataset declaration and an expectation suite from a sample of a file",
            "data.profile",
            (
                Arg(("file",), help="File or other source to sample"),
                *NOTATION,
                Arg(("--dataset",), help="Name of the dataset (default: the file's name)"),
                Arg(("--out",), help="Workflow folder to write into (default: print)"),
            ),
        ),
        _command(
            "readiness",
            "Check a workflow's datasets: exit code 1 if one that it requires is unfit for use",
            "data.readiness",
            (
                WORKFLOW,
                Arg(("--source",), help="Source of cases to validate with the intake's contract"),
                *NOTATION,
                Arg(("--as-of",), help="Read the data as of this time (default: when its newest row became known)"),
                INCLUDE,
                JSON,
            ),
        ),
        _command(
            "quarantine",
            "List quarantined rows with their reasons",
            "data.quarantine",
            (WORKFLOW, of_dataset, Arg(("--run",), help="Only this Dag run"), LIMIT, JSON),
        ),
    )


def _ledger() -> tuple[ActionCommand, ...]:
    return (
        _command("migrate", "Create the ledger's tables, or upgrade them", "ledger.migrate", ()),
        _command(
            "verify",
            "Verify the audit trail: exit code 1 if anything was altered afterwards",
            "ledger.verify",
            (
                Arg(
                    ("--anchor",),
                    help="Anchor file that was kept elsewhere, to compare with; can be repeated",
                    action="append",
                    default=[],
                ),
                JSON,
            ),
        ),
        _command(
            "seal",
            "List the seal's keys by their rows, and seal again what an earlier key sealed",
            "ledger.seal",
            (
                Arg(
                    ("--unsealed",),
                    help="Also seal rows from before there were seals, if the ledger is sound; cases that were "
                    "authorised before are asked again",
                    action="store_true",
                ),
            ),
        ),
        _command(
            "anchor",
            "Create an anchor: the state of every audit chain, to keep outside the database",
            "ledger.anchor",
            (Arg(("--file",), help="New file to write (default: print)"),),
        ),
        _command(
            "export",
            "Export audit events as JSON lines, without the cases' content",
            "ledger.export",
            (
                Arg(("--since",), help="Only events since this time, such as 2026-03-02T09:00:00Z"),
                Arg(("--chain",), help="Only this audit chain"),
                Arg(("--file",), help="File to write; overwrites an existing file (default: print)"),
            ),
        ),
        _command(
            "grants",
            "Print the SQL that grants three PostgreSQL roles the rights that they need",
            "ledger.grants",
            tuple(
                Arg(
                    (f"--{name}",),
                    help=f"PostgreSQL role of {whose} (default: interlock_{name})",
                    default=f"interlock_{name}",
                )
                for name, whose in (("worker", "the tasks"), ("console", "the API server"), ("auditor", "the auditors"))
            ),
        ),
        _command("show", "Same as cases show", "case.show", (CASE, JSON)),
    )
