"""
``airflow interlock …``: the commands and their arguments.

Imported by every ``airflow`` command, so it declares and nothing more; what a command does stands in
:mod:`interlock.commands`.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command, positive_int

WORKFLOW = Arg(("workflow",), help="Name of the workflow: a folder of include")
SUBJECT = Arg(("workflow",), help="Name of the workflow, or company for the company's own files")
NUMBER = Arg(("--number",), help="Number of the version; left out: the newest", type=int)
CASE = Arg(("case",), help="Business key of the case, its id, or the last 8 digits of it")
REASON = Arg(("--reason",), help="Why", default="")
SET = Arg(
    ("--set",), help="FIELD=VALUE, as often as needed; VALUE is read as JSON when it is", action="append", default=[]
)
JSON = Arg(("--json",), help="Print JSON", action="store_true")
COUNT = positive_int(allow_zero=False)
LIMIT = Arg(("--limit",), help="At most so many (default 100)", type=COUNT, default=100)
PERIOD = Arg(("--period",), help="day, month (default), all, 7d, 2026-11 or 2026-11-23", default="month")
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
                GroupCommand(
                    name="workflow", help="Whether a workflow runs in this environment", subcommands=_workflow()
                ),
                GroupCommand(
                    name="access",
                    help="Who can do what",
                    subcommands=(
                        _command("matrix", "Print who can do what, from what is in force", "access_matrix.matrix", (JSON,)),
                    ),
                ),
                _command(
                    "provenance",
                    "Print where a number of a review comes from, with its rows",
                    "report.provenance",
                    (
                        Arg(("fact",), help="Id of the fact, or the beginning of it"),
                        Arg(("--rows",), help="At most so many of its rows (default 10)", type=COUNT, default=10),
                        JSON,
                    ),
                ),
                GroupCommand(
                    name="report",
                    help="Reviews of periods",
                    subcommands=(
                        _command(
                            "show",
                            "Print the newest review of a workflow, or write it to files",
                            "report.show",
                            (
                                WORKFLOW,
                                Arg(("--period",), help="Its label or a part of it, such as 2014-06-16"),
                                Arg(("--html",), help="Write it there as one HTML page, and over what is there"),
                                Arg(("--markdown",), help="Write it there as Markdown, and over what is there"),
                                JSON,
                            ),
                        ),
                    ),
                ),
                _command("owners", "Print who answers for which workflow", "access_matrix.owners", (JSON,)),
                _command(
                    "secrets",
                    "List the connections in use: who works with them, how old they are, which nobody needs",
                    "secret.secrets",
                    (JSON,),
                ),
                GroupCommand(name="switch", help="Stop work at once, and let it go on", subcommands=_switch()),
                GroupCommand(
                    name="incidents", help="What is going wrong, and who looks after it", subcommands=_incidents()
                ),
                GroupCommand(name="cases", help="Cases: quarantine, dead letters, all others", subcommands=_cases()),
                GroupCommand(name="data", help="Datasets: fit or not, and what was put aside", subcommands=_data()),
                GroupCommand(name="outcomes", help="What the business got from cases", subcommands=_outcomes()),
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
                _command("kpi", "What a workflow achieves, and did before", "value.kpi", (WORKFLOW, PERIOD, JSON)),
                _command(
                    "cost", "What a workflow costs, and what for each outcome", "value.cost", (WORKFLOW, PERIOD, JSON)
                ),
                _command(
                    "budgets",
                    "What may be spent, what was, and what is left",
                    "value.budgets",
                    (Arg(("workflow",), help="Name of the workflow; left out: all", nargs="?"), JSON),
                ),
                _command(
                    "quote",
                    "What a run over a source will cost, take and ask of people; or how good such quotes were",
                    "quote.quote",
                    (
                        WORKFLOW,
                        Arg(("--source",), help="What the run will take in, as its Dag is given it"),
                        Arg(("--history",), help="The quotes so far, and what became of them", action="store_true"),
                        JSON,
                    ),
                ),
                _command(
                    "override",
                    "Send a case onto another route of its policy",
                    "case.override",
                    (
                        CASE,
                        Arg(("--route",), help="A route that a gate serves, or stop", required=True),
                        Arg(("--reason",), help="Why", required=True),
                    ),
                ),
                _command(
                    "forget",
                    "Erase what a case says of a person; what happened stays provable",
                    "forget.forget",
                    (
                        CASE,
                        REASON,
                        Arg(("--key-too",), help="Replace the business key as well", action="store_true"),
                    ),
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
    reason = Arg(("--reason",), help="What changed and why", default="published from the command line")
    return (
        _command("check", "Say what cannot work, without publishing", "policy.check", (SUBJECT, INCLUDE, DAG)),
        _command(
            "publish",
            "Propose what stands in include, and put it in force where no approval is lacking",
            "policy.publish",
            (SUBJECT, reason, INCLUDE, DAG),
        ),
        _command(
            "propose",
            "Record what stands in include as the next version, without putting it in force",
            "policy.propose",
            (
                SUBJECT,
                Arg(("--reason",), help="What changed and why", required=True),
                Arg(("--from",), dest="origin", help="Take what is in force in this environment of the same ledger"),
                INCLUDE,
                DAG,
            ),
        ),
        _command(
            "approve",
            "Say yes to a version, or no with --reject",
            "policy.approve",
            (
                SUBJECT,
                NUMBER,
                Arg(("--digest",), help="Digest of what you read; left out: what the version has now"),
                Arg(("--reject",), help="Say no, with a reason; one no ends it", action="store_true"),
                REASON,
            ),
        ),
        _command(
            "promote",
            "Put a version in force that has its approvals",
            "policy.promote",
            (
                SUBJECT,
                NUMBER,
                Arg(("--at",), help="From this instant on: 2026-03-02T09:00:00Z; left out: now"),
                Arg(("--reason",), help="Why", required=True),
                DAG,
            ),
        ),
        _command(
            "export",
            "Write a version that is or was in force, signed, for another environment's ledger",
            "policy.export",
            (
                SUBJECT,
                Arg(("--number",), help="Number of the version; left out: the one in force", type=int),
                Arg(("--file",), help="A new file for it; left out: print it"),
            ),
        ),
        _command(
            "import",
            "Propose a version that was exported in the environment before this one",
            "policy.import_",
            (
                Arg(("file",), help="The file"),
                Arg(("--reason",), help="Why", default="brought over from the environment before"),
            ),
        ),
        _command("key", "Print a new key pair that exported versions are signed with", "policy.key"),
        _command(
            "show",
            "Print the policy in force",
            "policy.show",
            (
                SUBJECT,
                Arg(
                    ("--matrix",),
                    help="What leads to escalation, retry, fallback and hard stop",
                    action="store_true",
                ),
                JSON,
            ),
        ),
        _command("history", "List the versions, and which is in force", "policy.history", (SUBJECT, JSON)),
        _command(
            "diff",
            "Print what is another between two versions; left out: between the one in force and include",
            "policy.diff",
            (
                SUBJECT,
                Arg(("a",), help="Number of a version; left out: the one in force", type=int, nargs="?"),
                Arg(("b",), help="Number of a version; left out: what stands in include", type=int, nargs="?"),
                INCLUDE,
            ),
        ),
        _command(
            "replay",
            "Say which decisions of the past a proposal would make otherwise",
            "replay.replay",
            (
                WORKFLOW,
                Arg(("--last",), help="At most so many decisions (default 10000)", type=COUNT, default=10_000),
                INCLUDE,
                Arg(("--version",), help="Number of a published version instead of what stands in include", type=int),
                Arg(("--dag",), help="Dag that would carry it out; left out: each decision's own, as it was then"),
                Arg(("--minutes",), help="Of work for one review (default 3)", type=float, default=3.0),
                JSON,
            ),
        ),
        _command(
            "rollback",
            "Put an earlier version in force again, at once",
            "policy.rollback",
            (
                SUBJECT,
                Arg(("--to",), help="Number of the version; left out: the one before", type=int),
                Arg(("--reason",), help="Why", required=True),
            ),
        ),
    )


def _workflow() -> tuple[ActionCommand, ...]:
    reason = Arg(("--reason",), help="Why", required=True)
    return (
        _command("deploy", "Let it run here", "workflow.deploy", (WORKFLOW, reason)),
        _command("pause", "Let no new run of it begin here", "workflow.pause", (WORKFLOW, reason)),
        _command("retire", "Let it run here no more", "workflow.retire", (WORKFLOW, reason)),
        _command(
            "list",
            "List how each workflow stands here",
            "workflow.list_",
            (Arg(("--all",), help="Every change of it", action="store_true"), JSON),
        ),
    )


def _switch() -> tuple[ActionCommand, ...]:
    kind = Arg(("kind",), help="What it is", choices=("workflow", "agent", "connector"))
    name = Arg(("name",), help="Its name; an agent's is WORKFLOW/AGENT")
    reason = Arg(("--reason",), help="Why", required=True)
    return (
        _command("off", "Stop new work of a workflow, an agent or a connector", "switch.off", (kind, name, reason)),
        _command("on", "Let it go on; resume takes up the cases", "switch.on", (kind, name, reason)),
        _command(
            "list",
            "List what is off",
            "switch.list_",
            (Arg(("--all",), help="Also what is on again", action="store_true"), JSON),
        ),
    )


def _incidents() -> tuple[ActionCommand, ...]:
    incident = Arg(("id",), help="The last digits of its id, from incidents list")
    closed = Arg(("--closed",), help="Those that are over, too", action="store_true")
    return (
        _command("list", "List the incidents that are not over", "incident.list_", (OF_WORKFLOW, closed, JSON)),
        _command("acknowledge", "Look after it, so that nobody else is told", "incident.acknowledge", (incident,)),
        _command("close", "Say that it is over", "incident.close", (incident,)),
    )


def _outcomes() -> tuple[ActionCommand, ...]:
    column = Arg(
        ("--column",),
        help="FIELD=NAME, as often as needed: what the file calls key, outcome, happened_at or value",
        action="append",
        default=[],
    )
    return (
        _command(
            "record",
            "Record the outcomes that a file tells of",
            "outcome.record",
            (WORKFLOW, Arg(("file",), help="CSV, JSON lines or Parquet"), column),
        ),
        _command("list", "List them, the last that happened first", "outcome.list_", (WORKFLOW, LIMIT, JSON)),
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
                Arg(("--late",), help="Only those that are past their time and not done", action="store_true"),
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
        _command("undo", "Undo the effect of a case in the other system", "case.undo", (CASE, REASON)),
        _command(
            "reconcile",
            "Say whether an effect took place that nobody can look for, such as a mail",
            "case.reconcile",
            (
                CASE,
                Arg(("--took-place",), help="Whether it did", choices=("yes", "no"), required=True),
                Arg(("--reason",), help="How you know", required=True),
            ),
        ),
        _command("close", "End a case without sending anything", "case.close", (CASE, REASON)),
    )


TEXT = Arg(("--text",), help="What to say", required=True)


def _review() -> tuple[ActionCommand, ...]:
    return (
        _command("list", "List the cases that wait for people", "review.list_", (OF_WORKFLOW, LIMIT, JSON)),
        _command("show", "Print what is to be decided on a case", "review.show", (CASE, JSON)),
        _command("approve", "Approve what a case would send", "review.approve", (CASE, DIGEST, REASON)),
        _command("reject", "Reject it, with a reason", "review.reject", (CASE, DIGEST, REASON)),
        _command("ask", "Ask the owner of a case something before you decide", "review.ask", (CASE, TEXT)),
        _command("reply", "Answer what was asked back", "review.reply", (CASE, TEXT)),
        _command(
            "handover",
            "Hand a case over to another who may decide it",
            "review.handover",
            (CASE, Arg(("--to",), help="Who", required=True), TEXT),
        ),
        _command(
            "breakglass",
            "Sign a case off alone when nobody who may can be reached; it must be reviewed later",
            "review.break_glass",
            (CASE, DIGEST, Arg(("--reason",), help="Why nobody else could decide", required=True)),
        ),
        _command("unreviewed", "List what was signed off so and awaits its review", "review.unreviewed", (JSON,)),
        _command(
            "confirm",
            "Review what was signed off so; what was sent is not undone by a no",
            "review.confirm",
            (CASE, Arg(("--reject",), help="Say that it was wrong, with a reason", action="store_true"), REASON),
        ),
        _command(
            "answer",
            "Cast the votes of a CSV file: case, answer, digest, reason",
            "review.answer",
            (Arg(("file",), help="The file"),),
        ),
        _command("edit", "Change the draft with --set; it is asked about again", "review.edit", (CASE, SET, DIGEST)),
        _command("request", "Pull a case that was not sent yet back to people", "review.request", (CASE, REASON)),
        _command(
            "delegate",
            "Let another person vote for you until a date",
            "delegation.give",
            (
                Arg(("--to",), help="Who stands in for you", required=True),
                Arg(("--until",), help="2026-12-24, or an instant with its time zone", required=True),
                Arg(("--reason",), help="Why", required=True),
                OF_WORKFLOW,
            ),
        ),
        _command("delegations", "List who stands in for whom", "delegation.list_", (JSON,)),
        _command(
            "undelegate",
            "End a delegation before its time",
            "delegation.end",
            (Arg(("id",), help="Its id, from review delegations"),),
        ),
    )


def _data() -> tuple[ActionCommand, ...]:
    of_dataset = Arg(("--dataset",), help="Only of this dataset")
    return (
        _command(
            "profile",
            "Propose a declaration and a suite from a sample of a file",
            "data.profile",
            (
                Arg(("file",), help="The file, or another source"),
                Arg(("--dataset",), help="Name of the dataset; left out: the file's"),
                Arg(("--out",), help="The workflow's folder to write into; left out: print"),
            ),
        ),
        _command(
            "readiness",
            "Say whether a workflow's data is fit, before anything is built on it",
            "data.readiness",
            (
                WORKFLOW,
                Arg(("--source",), help="What its intake would read: is held against the contract"),
                Arg(("--as-of",), help="Read as of this instant; left out: when the newest row became known"),
                INCLUDE,
                JSON,
            ),
        ),
        _command(
            "quarantine",
            "List the rows that were put aside, each with its reasons",
            "data.quarantine",
            (WORKFLOW, of_dataset, Arg(("--run",), help="Only of this Dag run"), LIMIT, JSON),
        ),
    )


def _ledger() -> tuple[ActionCommand, ...]:
    return (
        _command("migrate", "Make or renew the tables", "ledger.migrate", ()),
        _command(
            "verify",
            "Prove that nothing was changed behind the ledger's back",
            "ledger.verify",
            (
                Arg(
                    ("--anchor",),
                    help="File of an anchor that was kept elsewhere, as often as needed",
                    action="append",
                    default=[],
                ),
                JSON,
            ),
        ),
        _command(
            "anchor",
            "Record the length and head of every chain, to be kept elsewhere",
            "ledger.anchor",
            (Arg(("--file",), help="A new file for it; left out: print it"),),
        ),
        _command(
            "export",
            "Write the audit events as lines of JSON, without content",
            "ledger.export",
            (
                Arg(("--since",), help="Only from this instant on: 2026-03-02T09:00:00Z"),
                Arg(("--chain",), help="Only of this chain"),
                Arg(("--file",), help="Write there, and over what is there; left out: print"),
            ),
        ),
        _command(
            "grants",
            "Print the SQL for three PostgreSQL roles with the rights that they need",
            "ledger.grants",
            tuple(
                Arg((f"--{name}",), help=f"Role of {whose}", default=f"interlock_{name}")
                for name, whose in (("worker", "the tasks"), ("console", "the API server"), ("auditor", "who verifies"))
            ),
        ),
        _command("show", "Print all that the ledger knows of a case", "case.show", (CASE, JSON)),
    )
