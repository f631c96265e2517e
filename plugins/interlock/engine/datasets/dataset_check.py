"""
Holding a dataset against what it must be, while it is read: failing rows are put aside, the rest is judged by severity.

Two results come of it: what is checked without an expectation, and the suite's. What the source lacks as a whole (its
columns) makes the suite pointless, so it is not run then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from interlock.analysis.history import Before, compare
from interlock.analysis.inspection import check_result, count_aside, inspect, reconcile
from interlock.analysis.staging import Staging
from interlock.domain.data.dataset import Control, Dataset
from interlock.domain.data.quality import ExpectationResult, QualityResult, Suite
from interlock.domain.policy.suite_check import load_suite
from interlock.engine.datasets.reading import Beside
from interlock.engine.runs.session import Session
from interlock.errors import InterlockError, SourceError


def check_dataset(
    session: Session, name: str, dataset: Dataset, staged: Staging, as_of: datetime, beside: Beside
) -> list[QualityResult]:
    """Check *staged*, and put aside the rows whose expectations ask for it."""
    suite = None
    if dataset.suite is not None:
        suite = load_suite(session.version.bundle, dataset.suite)
    return check_staged(name, staged, as_of, suite, beside)


def check_staged(
    name: str, staged: Staging, as_of: datetime, suite: Suite | None, beside: Beside
) -> list[QualityResult]:
    """Check *staged* against its declaration, its past, its control totals and *suite*."""
    found = inspect(staged, as_of)
    results: list[QualityResult] = []
    if suite is not None and not (staged.missing and staged.found):
        results.append(_check_suite(suite, staged))
    with _before(beside) as before:
        found += compare(staged, as_of, before)
    found += [_reconcile(staged, control, beside) for control in staged.dataset.controls]
    found.append(count_aside(staged))
    return [QualityResult(suite=f"dataset {name}", rows=staged.count(), results=tuple(found)), *results]


def _check_suite(suite: Suite, staged: Staging) -> QualityResult:
    from interlock.quality.check import check_frame
    from interlock.quality.table import FRAME_ROWS, CheckedTable, check_table

    if staged.count() > FRAME_ROWS:
        table = CheckedTable(staged.dataset.columns, staged.count(), staged.rows_of, _values(staged))
        found = check_table(suite, table)
        if found.aside:
            staged.put_aside(found.aside)
        return found.result
    frame = staged.frame()
    numbers = frame.pop("_number").tolist()
    result = check_frame(suite, frame)
    staged.put_aside_rows({numbers[row]: reasons for row, reasons in result.quarantined_rows.items()})
    return result


def _values(staged: Staging) -> Callable[[int | None], Any]:
    return lambda limit: staged.frame(limit).drop(columns="_number")


@contextmanager
def _before(beside: Beside) -> Iterator[Before | None]:
    """Give the reading before, with its rows where they are still kept."""
    row = beside.before
    if row is None or beside.snapshots is None:
        yield None
        return
    try:
        with beside.snapshots.open(row.snapshot or "") as snapshot:
            yield Before(row.as_of, row.row_count, dict(row.columns), snapshot)
    except SourceError:
        yield Before(row.as_of, row.row_count, dict(row.columns), None)


def _reconcile(staged: Staging, control: Control, beside: Beside) -> ExpectationResult:
    total = None
    if control.source is not None:
        try:
            first = next(iter(beside.rows_of(control.source)), None)
            total = (first.values or {}).get(control.column or "") if first is not None else None
        except InterlockError as error:
            if error.retryable:
                raise
            name = f"control {control.name}"
            return check_result(staged.dataset, "control", str(error), severity=control.severity, name=name)
    return reconcile(staged, control, total)
