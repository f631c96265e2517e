"""
The end of a run: its figures, and the checks that its tasks did their work and that each case is in exactly one place.

The report runs whatever became of the tasks above it, and Airflow gives a run the state of its last task: a report that
passed after a failed intake would show a green run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.domain.base.plural import counted
from interlock.engine.runs.session import Session
from interlock.errors import Stopped
from interlock.ledger.reports.quote import settle_quote
from interlock.ledger.reports.summary import summarize, unplaced
from interlock.ledger.runs.run import end_run

_NAMED = 5
"""Of cases that stand nowhere, so many are named: one is enough to look into."""


def report_run(session: Session, *, not_done: Mapping[str, str] | None = None) -> dict[str, Any]:
    """
    End the run and return its figures.

    :param not_done: tasks of the run that neither succeeded nor were skipped, with Airflow's word for what they are.
    :raises Stopped: a case is in no place where anything takes it on, or a task did not do its work.
    """
    with session.read() as connection:
        lost = unplaced(connection, session.run)
    problems = []
    if not_done:
        problems.append(
            "not all tasks are done: " + ", ".join(f"{task!r} is {state}" for task, state in not_done.items())
        )
    if lost:
        where = ", ".join(sorted({f"{row.state} at {row.task!r}" for row in lost}))
        names = ", ".join(sorted(str(row.business_key) for row in lost)[:_NAMED])
        more = ", …" if len(lost) > _NAMED else ""
        problems.append(f"{counted(len(lost), 'case', 'are')} in no resting place: {names}{more} ({where})")
    if problems:
        raise Stopped(
            f"{'; '.join(problems)}. Look at the tasks above that failed; clear them, or go on with: "
            f"airflow interlock resume {session.run.workflow}"
        )
    with session.write() as tx:
        end_run(tx, session.run)
    session.finish()
    with session.write() as tx:
        settle_quote(tx, session.run)
    return summarize(session.ledger, session.run.id)
