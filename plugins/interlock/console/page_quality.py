"""The page of data quality: results of a run's data checks, by severity, and what was read. No values of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from interlock.console.guard import SeesDag, guards
from interlock.console.identity import Reader
from interlock.console.ledger import OpenLedger
from interlock.console.rendering import render
from interlock.ledger.facts.fact import readings_of
from interlock.ledger.facts.quality import reports_of
from interlock.ledger.runs.run import find_run
from interlock.ledger.store.record import QualityReport

router = APIRouter(default_response_class=HTMLResponse)

_ORDER = {"critical": 0, "warning": 1, "info": 2}


@router.get("/quality", dependencies=guards(SeesDag("see data checks")))
def quality(person: Reader, ledger: OpenLedger, dag_id: str = "", run_id: str = "", task_id: str = "") -> Response:
    """Return what the data checks of a run found, or those of one task of it."""
    place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}
    run = find_run(ledger, dag_id, run_id) if dag_id and run_id else None
    if run is None:
        return render("no_run.html.j2", here="runs", person=person, place=place)
    with ledger.read() as connection:
        readings = {row.id: row for row in readings_of(connection, run.id).values()}
        reports = reports_of(connection, run.id, task=task_id or None)
    if task_id:
        readings = {name: row for name, row in readings.items() if row.task == task_id}
    return render(
        "quality.html.j2",
        here="runs",
        person=person,
        place=place,
        run=run,
        readings=list(readings.values()),
        reports=[_shown(row) for row in reports],
    )


def _shown(report: QualityReport) -> dict[str, Any]:
    """Return a report with failed checks, the worst first, apart from those that passed."""
    results = sorted(report.results, key=_rank)
    failed = [result for result in results if not result["success"]]
    state = "withheld" if not report.passed else "fit"
    if report.passed and any(result["severity"] == "warning" for result in failed):
        state = "warned"
    return {
        **report.values(),
        "state": state,
        "failed": failed,
        "passing": [result for result in results if result["success"]],
    }


def _rank(result: Mapping[str, Any]) -> int:
    return _ORDER[result["severity"]]
