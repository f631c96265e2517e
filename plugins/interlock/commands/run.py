"""``airflow interlock resume`` and ``summary``."""

from __future__ import annotations

from typing import Any

from interlock.commands.airflow_client import ApiRefused
from interlock.commands.person import as_person
from interlock.commands.summary_text import describe_summary
from interlock.commands.terminal import command, print_json
from interlock.errors import InputError
from interlock.hooks.ledger import LedgerHook
from interlock.ledger.reports.summary import summarize


@command
def resume(args: Any) -> None:
    """Start a resume run as the person who is logged in."""
    client = as_person()
    try:
        run_id = client.trigger(args.dag or args.workflow, {"interlock_resume": True})
    except ApiRefused as error:
        raise InputError(f"the run could not be started: {error.detail}") from None
    finally:
        client.close()
    print(f"run {run_id} resumes the unfinished cases of {args.workflow}; see: airflow interlock summary {run_id}")


@command
def summary(args: Any) -> None:
    """Print the results of a run."""
    figures = summarize(LedgerHook().get_conn(), args.run, workflow=args.workflow)
    if args.json:
        print_json(figures)
    else:
        print(describe_summary(figures))
