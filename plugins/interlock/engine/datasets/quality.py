"""
Holding the run's cases against a suite before anything rests on them: failing rows to quarantine, the rest goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.data.quality import QualityResult
from interlock.domain.policy.suite_check import load_suite
from interlock.engine.cases.station import CaseStep, Passage, Station, run_step
from interlock.engine.runs.session import Session
from interlock.errors import Stopped
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import quality_report
from interlock.ledger.store.transaction import Transaction, new_id


def check_cases(session: Session, suite_name: str) -> dict[str, int]:
    """
    Check the cases that stand at the task against ``expectations/<suite_name>.yaml`` of the pinned version.

    :raises Stopped: a critical expectation failed that no quarantine of rows mends.
    """
    from interlock.quality.check import check_frame

    suite = load_suite(session.version.bundle, suite_name)
    station = Station(session, contracts=[])
    groups = list(station.groups())
    files = [file for group in groups for file in group.files]
    result = check_frame(suite, _frame([dict(file.payload) for file in files]))
    session.log.info("%s", result.summary())
    with session.write() as tx:
        record_results(tx, session, [result])
    if result.critical_failed:
        names = "; ".join(f"{r.name}: {r.message}" for r in result.critical_failed)
        raise Stopped(
            f"data check {suite_name!r} stops the run: {names}. The cases stand where they are; mend the source or the "
            f"suite, and go on with: airflow interlock resume {session.run.workflow}"
        )
    failing = {files[row].id: "; ".join(reasons) for row, reasons in result.quarantined_rows.items()}
    return run_step(station, _Sorting(session, failing), groups)


class _Sorting(CaseStep):
    kind = "quality.passed"

    def __init__(self, session: Session, failing: Mapping[str, str]) -> None:
        super().__init__(session)
        self._failing = failing
        """Why, by the id of a case that is quarantined."""
        self._place = session.place_after(None)

    def passage(self, file: CaseFile) -> Passage:
        why = self._failing.get(file.id)
        if why is None:
            return Passage(file=file, change=self._place, counts=("passed",))
        change = CaseChange(state=CaseState.QUARANTINED, task=None, reason=f"data check: {why}")
        return Passage(file=file, change=change, counts=("quarantined",), kind="quality.quarantined")


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
                "results": result.results_as_json(),
                "created_at": tx.at,
                "reading_id": reading_id,
            }
            for result in results
        ],
        kind="quality.checked",
        facts=lambda row: {"suite": row["suite"], "passed": row["passed"]},
    )
