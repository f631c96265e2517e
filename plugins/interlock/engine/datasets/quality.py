"""
Holding the run's cases against a suite before anything rests on them: failing rows to quarantine, the rest goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.data.quality import QualityResult
from interlock.domain.policy.suite_check import load_suite
from interlock.engine.runs.session import Session
from interlock.errors import Stopped
from interlock.ledger.cases.case import cases_at, load_files, lock_cases, move
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.schema import quality_report
from interlock.ledger.store.transaction import Transaction, new_id


def check_cases(session: Session, suite_name: str) -> dict[str, int]:
    """
    Check the cases that stand at the task against ``expectations/<suite_name>.yaml`` of the pinned version.

    :raises Stopped: a critical expectation failed that no quarantine of rows mends.
    """
    from interlock.quality.check import check_frame

    suite = load_suite(session.version.bundle, suite_name)
    rows, payloads = _load(session)
    result = check_frame(suite, _frame(payloads))
    session.log.info("%s", result.summary())
    with session.write() as tx:
        record_results(tx, session, [result])
    if result.critical_failed:
        names = "; ".join(f"{r.name}: {r.message}" for r in result.critical_failed)
        raise Stopped(
            f"data check {suite_name!r} stops the run: {names}. The cases stand where they are; mend the source or the "
            f"suite, and go on with: airflow interlock resume {session.run.workflow}"
        )
    failing = result.quarantined_rows
    change = session.place_after(None)
    for start in range(0, len(rows), 500):
        part = range(start, min(start + 500, len(rows)))
        with session.write() as tx:
            unchanged = {row.id for row in lock_cases(tx, [rows[i] for i in part])}
            here = [i for i in part if rows[i].id in unchanged]
            move(tx, [(rows[i], change) for i in here if i not in failing], kind="quality.passed")
            move(
                tx,
                [
                    (
                        rows[i],
                        CaseChange(
                            state=CaseState.QUARANTINED, task=None, reason="data check: " + "; ".join(failing[i])
                        ),
                    )
                    for i in here
                    if i in failing
                ],
                kind="quality.quarantined",
            )
        session.count("passed", sum(i not in failing for i in here))
        session.count("quarantined", sum(i in failing for i in here))
    return session.finish()


def _load(session: Session) -> tuple[list[Case], list[dict[str, Any]]]:
    rows: list[Case] = []
    payloads: list[dict[str, Any]] = []
    after = ""
    while True:
        with session.read() as connection:
            group = cases_at(connection, session.run, session.task.task_id, limit=1000, after=after)
            payloads += [dict(file.payload) for file in load_files(connection, group, contracts=[])]
        if not group:
            return rows, payloads
        rows += group
        after = group[-1].id


def _frame(payloads: list[dict[str, Any]]) -> Any:
    import pandas

    return pandas.DataFrame(payloads)


def record_results(
    tx: Transaction, session: Session, results: Sequence[QualityResult], *, reading_id: str | None = None
) -> None:
    """Write what checks found, without a value of the data."""
    tx.insert(
        quality_report,
        [
            {
                "id": new_id(),
                "run_id": session.run.id,
                "task": session.task.task_id,
                "suite": result.suite,
                "row_count": result.rows,
                "passed": result.passed,
                "results": result.told(),
                "created_at": tx.at,
                "reading_id": reading_id,
            }
            for result in results
        ],
        kind="quality.checked",
        facts=lambda row: {"suite": row["suite"], "passed": row["passed"]},
    )
