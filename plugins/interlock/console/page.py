"""
The pages: the review queue, one review, one case, the cases of a run, the newest runs.

They are rendered on the server and only read. Every button posts to the API, which checks permissions again, so a
button too many on a page changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from interlock.console.address import console_path
from interlock.console.guard import SeesCase, SeesDag, SeesDags, guards
from interlock.console.identity import Person, may
from interlock.console.queue import Filter, neighbours, queue_rows
from interlock.console.reading import CaseId, Sees
from interlock.console.rendering import render
from interlock.console.review_draft import rendered_review
from interlock.console.timeline import entries
from interlock.domain.cases.case import UNSENT, CaseState
from interlock.engine.approvals import review_action
from interlock.errors import InputError
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.cases.queue_query import cases_of_run, newest_runs, waiting
from interlock.ledger.reports.summary import summarize
from interlock.ledger.runs.run import find_run

router = APIRouter(default_response_class=HTMLResponse)

SHOWN = 200
"""Rows on a page at most; its heading says how many there are."""
SUMMARISED = 5_000
"""Cases up to which a page counts how many automatic ones were right, which reads each of them."""


@router.get("/", dependencies=guards(SeesDags("see cases")))
@router.get("/review", dependencies=guards(SeesDags("see cases")))
def queue(sight: Sees, workflow: str = "", route: str = "", gate: str = "") -> Response:
    """Return the review queue: the cases that wait for people, first those that wait for the person who asks."""
    wanted = Filter(workflow=workflow, route=route, gate=gate)
    person, ledger = sight.person, sight.ledger
    found = waiting(ledger, person=person.id, among=sight.cases, workflow=workflow, route=route, gate=gate, limit=SHOWN)
    rows = queue_rows(sight, found)
    return render(
        "queue.html.j2",
        here="queue",
        person=person,
        rows=rows,
        found=found,
        wanted=wanted,
        now=ledger.clock(),
        may_vote=may(person, "PUT", None, gate=True),
    )


@router.get("/review/{name}", dependencies=guards(SeesCase("see cases")))
def review(name: CaseId, sight: Sees, workflow: str = "", route: str = "", gate: str = "") -> Response:
    """Return what people are asked about one case; one that is decided by now has its own page."""
    person, ledger = sight.person, sight.ledger
    history = show_case(ledger, name)
    try:
        everything = review_action.see(ledger, name, person=person.identity)
    except InputError:
        return RedirectResponse(console_path(f"case/{history['case']['id']}"), status_code=303)
    seen = sight.question(everything)
    if not sight.reads_question(everything):
        history = sight.history(history)
    current = set(history["case"]["context"].values())
    asked = next(row for row in history["gate_requests"] if row["state"] == "open")
    wanted = Filter(workflow=workflow, route=route, gate=gate)
    votes = [row for row in history["votes"] if row["request_id"] == asked["id"]]
    return render(
        "review.html.j2",
        here="queue",
        person=person,
        seen=seen,
        handoffs=[row for row in history["handoffs"] if row["id"] in current and row["payload"] != seen["execute"]],
        votes=votes,
        closed=_why_not(person, seen, votes),
        beside=neighbours(sight, seen["case_id"], wanted),
        wanted=wanted,
        entries=entries(history),
        rendered=rendered_review(seen["execute"], seen["case"]),
        now=ledger.clock(),
    )


@router.get("/case/{name}", dependencies=guards(SeesCase("see cases")))
def case(name: CaseId, sight: Sees) -> Response:
    """Return everything in the ledger about one case, in the order in which it happened."""
    person = sight.person
    history = sight.history(show_case(sight.ledger, name))
    row = history["case"]
    dag_id = sight.dag_of(sight.case(name))
    draft = next((each["payload"] for each in history["handoffs"] if each["id"] == row["draft_id"]), None)
    return render(
        "case.html.j2",
        here="case",
        person=person,
        case=row,
        history=history,
        entries=entries(history),
        rendered=rendered_review(draft, row["content"]),
        acts=_acts(person, row, dag_id),
    )


@router.get("/task", dependencies=guards(SeesDag("see cases")))
def task(
    sight: Sees,
    dag_id: str = "",
    run_id: str = "",
    task_id: str = "",
    state: str = "",
    route: str = "",
    text: Annotated[str, Query(alias="q")] = "",
) -> Response:
    """
    Return the cases of a run, as a tab of a task instance.

    Airflow also sends ``map_index``; it stays the literal ``{MAP_INDEX}`` for a task that is not mapped, and a run's
    cases are the same on every index.
    """
    person, ledger = sight.person, sight.ledger
    place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id}
    run = find_run(ledger, dag_id, run_id) if dag_id and run_id else None
    if run is None:
        return render("no_run.html.j2", here="runs", person=person, place=place)
    figures = newest_runs(ledger, dags=sight.dags, only=run.id)[0]
    rows, total = cases_of_run(
        ledger,
        run,
        among=sight.cases,
        reads_reasons=sight.may_read("read_personal", run.workflow),
        state=state,
        route=route,
        text=text,
        limit=SHOWN,
    )
    return render(
        "task.html.j2",
        here="runs",
        person=person,
        place=place,
        run=run,
        figures=figures,
        summary=summarize(ledger, run.id) if figures.cases <= SUMMARISED else None,
        rows=[replace(row, reason=sight.reason(row)) for row in rows],
        total=total,
        wanted={"state": state, "route": route, "q": text},
        unsent={state.value for state in UNSENT} - {CaseState.WAITING.value},
        may_ask=may(person, "PUT", dag_id, gate=True) and person.id != "Anonymous",
    )


@router.get("/runs", dependencies=guards(SeesDags("see runs")))
def runs(sight: Sees) -> Response:
    """Return the newest runs with their figures."""
    found = newest_runs(sight.ledger, dags=sight.dags, limit=30)
    return render("runs.html.j2", here="runs", person=sight.person, runs=found)


def _why_not(person: Person, seen: dict[str, Any], votes: list[dict[str, Any]]) -> str:
    """Return why *person* cannot vote on what is *seen*; empty: they can."""
    if person.id == "Anonymous":
        return "Airflow knows nobody by name here (simple_auth_manager_all_admins), so nobody can sign anything off."
    mine = next((row for row in votes if row["person"] == person.id), None)
    if mine is not None:
        return f"You voted {mine['answer']!r}; now waiting for: {seen['asks_now']}."
    if seen["refused"]:
        return str(seen["refused"])
    if not may(person, "PUT", seen["run"]["dag_id"], gate=True):
        return f"Your role in Airflow may view {seen['run']['dag_id']}, but not answer its human tasks."
    return ""


def _acts(person: Person, row: dict[str, Any], dag_id: str | None) -> dict[str, bool]:
    """Return what *person* can do to a case from its page."""
    state = CaseState(row["state"])
    known = person.id != "Anonymous"
    changes = known and may(person, "PUT", dag_id)
    return {
        "review": state is CaseState.WAITING,
        "ask": known and may(person, "PUT", dag_id, gate=True) and state in UNSENT - {CaseState.WAITING},
        "resubmit": changes and state in (CaseState.QUARANTINED, CaseState.DEAD) and bool(row["run_id"]),
        "close": changes and state not in (CaseState.OPEN, CaseState.ROUTED, CaseState.AUTHORISED, CaseState.CLOSED),
    }
