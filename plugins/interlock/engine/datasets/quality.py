"""
Holding the run's cases against a suite before anything rests on them: failing rows to quarantine, the rest goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.policy.suite_check import load_suite
from interlock.engine.cases.station import CaseStep, Passage, Station, run_step
from interlock.engine.runs.session import Session
from interlock.errors import Stopped
from interlock.ledger.cases.case import DATA_CHECK, CaseFile
from interlock.ledger.facts.quality import write_reports
from interlock.ledger.store.record import CaseChange


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
        write_reports(tx, session.run, session.task.task_id, [result])
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
        change = CaseChange(state=CaseState.QUARANTINED, task=None, reason=f"{DATA_CHECK}{why}")
        return Passage(file=file, change=change, counts=("quarantined",), kind="quality.quarantined")


def _frame(payloads: list[dict[str, Any]]) -> Any:
    import pandas

    return pandas.DataFrame(payloads)
