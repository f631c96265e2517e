"""The end of a run: its figures, and the check that each of its cases is in exactly one place."""

from __future__ import annotations

from typing import Any

from interlock.engine.session import Session
from interlock.errors import Stopped
from interlock.ledger.run import end_run
from interlock.ledger.summary import summarize, unplaced


def report_run(session: Session) -> dict[str, Any]:
    """
    End the run and return its figures.

    :raises Stopped: a case is in no place where anything takes it on.
    """
    with session.read() as connection:
        lost = unplaced(connection, session.run)
    if lost:
        where = ", ".join(sorted({f"{row['state']} at {row['task']!r}" for row in lost}))
        raise Stopped(
            f"{len(lost)} cases are in no resting place: {where}. Look at the tasks above that failed; clear them, or "
            f"go on with: airflow interlock resume {session.run.workflow}"
        )
    with session.write() as tx:
        end_run(tx, session.run)
    session.finish()
    return summarize(session.ledger, session.run.id)
