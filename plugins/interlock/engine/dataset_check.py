"""
Holding a dataset against what it must be, while it is read: failing rows are put aside, the rest is judged by severity.
"""

from __future__ import annotations

from datetime import datetime

from interlock.analysis.staging import Staging
from interlock.domain.dataset import Dataset
from interlock.domain.quality import parse_suite
from interlock.engine.reading import Verdict
from interlock.engine.session import Session


def check_dataset(session: Session, name: str, dataset: Dataset, staged: Staging, as_of: datetime) -> Verdict:
    """Check *staged*, and put aside the rows whose expectations ask for it."""
    verdict = Verdict()
    if dataset.suite is not None:
        _check_suite(session, dataset.suite, staged, verdict)
    return verdict


def _check_suite(session: Session, suite_name: str, staged: Staging, verdict: Verdict) -> None:
    from interlock.quality.check import check_frame

    suite = parse_suite(session.version.bundle.document(f"expectations/{suite_name}.yaml"))
    frame = staged.frame()
    numbers = frame.pop("_number").tolist()
    result = check_frame(suite, frame)
    verdict.critical += [f"{found.name}: {found.message}" for found in result.critical_failed]
    verdict.warnings += [f"{found.name}: {found.message}" for found in result.warnings]
    aside = {numbers[row]: reasons for row, reasons in result.quarantined_rows.items()}
    staged.put_aside_rows(aside)
