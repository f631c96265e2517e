"""What data checks found: the reports of a run, and the warnings that go with a case wherever it is decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from interlock.domain.data.quality import QualityResult
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import in_groups
from interlock.ledger.store.record import QualityReport
from interlock.ledger.store.schema import case_run, quality_report
from interlock.ledger.store.transaction import Transaction, new_id


@dataclass(frozen=True)
class DataWarning:
    """An expectation of severity ``warning`` that failed in a run."""

    name: str
    caps_confidence: float | None
    raised_at: datetime


def warnings_of(connection: Connection, case_ids: Sequence[str]) -> dict[str, tuple[DataWarning, ...]]:
    """
    Return, for each case that has any, the warnings of all runs that it was part of.

    A case that waited and goes on in a later run keeps what the data check of its first run warned of.
    """
    reports: dict[str, list[str]] = {}
    for group in in_groups(list(case_ids), 400):
        pairs = connection.execute(
            select(case_run.c.case_id, quality_report.c.id)
            .join(quality_report, quality_report.c.run_id == case_run.c.run_id)
            .where(case_run.c.case_id.in_(group))
        )
        for case_id, report_id in pairs:
            reports.setdefault(case_id, []).append(report_id)
    raised = _raised(connection, {report_id for ids in reports.values() for report_id in ids})
    found = {case_id: tuple(one for i in ids for one in raised.get(i, ())) for case_id, ids in reports.items()}
    return {case_id: raised_in for case_id, raised_in in found.items() if raised_in}


def _raised(connection: Connection, report_ids: Iterable[str]) -> dict[str, list[DataWarning]]:
    found: dict[str, list[DataWarning]] = {}
    for group in in_groups(sorted(report_ids), 400):
        query = select(quality_report.c.id, quality_report.c.results, quality_report.c.created_at)
        for row in connection.execute(query.where(quality_report.c.id.in_(group))):
            found[row.id] = [
                DataWarning(result["name"], result.get("caps_confidence"), row.created_at)
                for result in row.results
                if not result["success"] and result["severity"] == "warning"
            ]
    return found


def reports_of(connection: Connection, run_id: str, *, task: str | None = None) -> list[QualityReport]:
    """Return the reports of a run, or of one task of it, the earliest first."""
    query = select(quality_report).where(quality_report.c.run_id == run_id)
    if task is not None:
        query = query.where(quality_report.c.task == task)
    return QualityReport.all_of(connection.execute(query.order_by(quality_report.c.created_at)))


def write_reports(
    tx: Transaction,
    run: WorkflowRun,
    task: str,
    results: Sequence[QualityResult],
    *,
    reading_id: str | None = None,
) -> None:
    """Write what checks at *task* found, without a value of the data."""
    reports = [
        QualityReport(
            id=new_id(),
            run_id=run.id,
            task=task,
            suite=result.suite,
            row_count=result.rows,
            passed=result.passed,
            results=result.results_as_json(),
            created_at=tx.at,
            reading_id=reading_id,
        )
        for result in results
    ]
    tx.insert(
        quality_report,
        reports,
        kind="quality.checked",
        facts=lambda row: {"suite": row["suite"], "passed": row["passed"]},
    )
