"""The page of data quality: what a run's data checks found, by severity, and what was read. No value of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from interlock.console.api import Book
from interlock.console.identity import Reader, demand
from interlock.console.rendering import render
from interlock.ledger.fact import readings_of
from interlock.ledger.quality import reports_of
from interlock.ledger.run import find_run

router = APIRouter(default_response_class=HTMLResponse)

_ORDER = {"critical": 0, "warning": 1, "info": 2}


@router.get("/quality")
def quality(person: Reader, ledger: Book, dag_id: str = "", run_id: str = "", task_id: str = "") -> Response:
    """Return what the data checks of a run found, or those of one task of it."""
    demand(person, "GET", dag_id or None, "see data checks")
    place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}
    run = find_run(ledger, dag_id, run_id) if dag_id and run_id else None
    if run is None:
        return render("no_run.html.j2", here="runs", person=person, place=place)
    with ledger.read() as connection:
        readings = {row["id"]: row for row in readings_of(connection, run.id).values()}
        reports = reports_of(connection, run.id, task=task_id or None)
    if task_id:
        readings = {name: row for name, row in readings.items() if row["task"] == task_id}
    return render(
        "quality.html.j2",
        here="runs",
        person=person,
        place=place,
        run=run,
        readings=list(readings.values()),
        reports=[
            {
                **row,
                "results": sorted(row["results"], key=_rank),
                "failed": sum(not r["success"] for r in row["results"]),
            }
            for row in reports
        ],
    )


def _rank(result: Mapping[str, Any]) -> tuple[bool, int]:
    return bool(result["success"]), _ORDER[result["severity"]]
