"""
The API: every act of a person enters here, and who acts is who Airflow says is asking.

The terminal's commands are clients of it. Reads ask for the right to see the Dag, acts for the right to change it or to
answer its human tasks; who may vote at a gate is the policy's matter and is asked as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from interlock.console.identity import Actor, Reader, demand, demand_right
from interlock.console.reading import for_reader, for_voter
from interlock.console.wake import bearer_of, wake_gate
from interlock.engine.approvals import review_action
from interlock.engine.approvals.break_glass import break_glass, confirm, unreviewed
from interlock.engine.approvals.clarification import ask_back, hand_over, reply
from interlock.engine.approvals.override import override
from interlock.engine.approvals.resubmission import resubmit
from interlock.engine.effects.manual_reconciliation import reconcile
from interlock.engine.effects.undo import undo
from interlock.engine.runs.kill_switch import switches, throw
from interlock.errors import InterlockError
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import environment, include_path
from interlock.ledger.approvals.gate import open_requests_of
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.audit.erasure import forget_case
from interlock.ledger.cases.case import find_case
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger

router = APIRouter()


def open_ledger() -> Ledger:
    """Return the ledger; every request reads the connection anew, so a changed one counts at once."""
    return _ledger_at(LedgerHook().url(), environment())


@lru_cache(maxsize=4)
def _ledger_at(url: str, environment: str) -> Ledger:
    # A PostgreSQL engine has a pool: one for each request would leave its connections behind.
    return Ledger.open(url, environment)


Book = Annotated[Ledger, Depends(open_ledger)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Vote(_Body):
    """A vote on one case."""

    answer: str
    digest: str
    """Of what the voter saw."""
    reason: str | None = None


class CaseVote(Vote):
    """A vote among many."""

    case: str
    """Business key or id."""


class Votes(_Body):
    """Votes on several cases, each bound to what its voter saw of it."""

    votes: list[CaseVote] = Field(min_length=1, max_length=500)


class Edit(_Body):
    """Changed fields of a draft."""

    changes: dict[str, Any]
    digest: str


class Reason(_Body):
    """Why."""

    reason: str = ""


class Reconciliation(_Body):
    """Whether an effect took place, and how one knows."""

    took_place: bool
    reason: str


class Glass(_Body):
    """Why nobody else could decide, and what was seen."""

    reason: str
    digest: str


class Said(_Body):
    """What one person tells another."""

    text: str


class HandOver(Said):
    """To whom, and why."""

    to: str


class Override(_Body):
    """Another route, and why."""

    route: str
    reason: str


class Resubmission(_Body):
    """Changed fields of a case's content."""

    changes: dict[str, Any] = Field(default_factory=dict)
    from_start: bool = False


class Oblivion(_Body):
    """Why a case is forgotten, and whether its key is."""

    reason: str
    key_too: bool = False


class Switch(_Body):
    """A kill switch to throw."""

    kind: str
    name: str
    off: bool
    reason: str


@router.get("/me")
def me(person: Reader) -> dict[str, str]:
    """Return who is asking."""
    return {"id": person.id}


@router.get("/reviews")
def reviews(person: Reader, ledger: Book, workflow: str | None = None, limit: int = 200) -> dict[str, Any]:
    """Return the cases that people are asked about."""
    demand(person, "GET", None, "see cases")
    found = [
        {
            "case_id": row.case_id,
            "business_key": row.business_key,
            "workflow": row.workflow,
            "route": row.route,
            "why": row.why or "",
            "gate": row.gate,
            "voters": row.voters,
            "digest": row.seen_digest,
            "opened_at": row.opened_at.isoformat(),
            "mine": person.id in row.voters,
        }
        for row in open_requests_of(ledger, workflow=workflow, limit=limit)
    ]
    return {"reviews": found}


@router.get("/reviews/{name}")
def review(name: str, person: Reader, ledger: Book) -> dict[str, Any]:
    """Return what people see of one case, and the digest that a vote is bound to."""
    demand(person, "GET", None, "see cases")
    return for_voter(
        review_action.see(ledger, name, person=person.identity), person, ledger, _workflow_of(ledger, name)
    )


@router.get("/cases/{name}")
def case(name: str, person: Reader, ledger: Book) -> dict[str, Any]:
    """Return all that the ledger knows of one case."""
    demand(person, "GET", None, "see cases")
    return for_reader(show_case(ledger, name), person, ledger)


@router.post("/cases/{name}/vote")
def vote(
    name: str, body: Vote, person: Actor, ledger: Book, request: Request, background: BackgroundTasks
) -> dict[str, Any]:
    """Vote on one case; the last vote of a gate wakes its task."""
    demand(person, "PUT", _dag_of(ledger, name), "vote", gate=True)
    came_of_it = review_action.vote(
        ledger, name, person=person.identity, answer=body.answer, seen_digest=body.digest, reason=body.reason
    )
    return _woken(came_of_it, request, background)


@router.post("/votes")
def vote_on_many(
    body: Votes, person: Actor, ledger: Book, request: Request, background: BackgroundTasks
) -> dict[str, Any]:
    """
    Vote on several cases; each counts or is refused by itself, and the answer says what came of each.

    Nothing counts for a person whom Airflow does not let answer for one of their Dags.
    """
    came_of_them: list[dict[str, Any]] = []
    there = []
    for one in body.votes:
        try:
            demand(person, "PUT", _dag_of(ledger, one.case), "vote", gate=True)
            there.append(one)
        except InterlockError as error:
            came_of_them.append(_refused(one.case, error))
    for one in there:
        try:
            came = review_action.vote(
                ledger,
                one.case,
                person=person.identity,
                answer=one.answer,
                seen_digest=one.digest,
                reason=one.reason,
            )
            came_of_them.append({"counts": True, **_woken(came, request, background)})
        except InterlockError as error:
            came_of_them.append(_refused(one.case, error))
    return {"votes": came_of_them}


def _refused(name: str, error: InterlockError) -> dict[str, Any]:
    return {"counts": False, "case": name, "refused": f"{type(error).__name__}: {error}"}


@router.post("/cases/{name}/edit")
def edit(name: str, body: Edit, person: Actor, ledger: Book) -> dict[str, Any]:
    """Change a draft under its contract; it is asked about again."""
    demand(person, "PUT", _dag_of(ledger, name), "edit a draft", gate=True)
    return review_action.edit(
        ledger, name, person=person.identity, changes=body.changes, seen_digest=body.digest, include=include_path()
    )


@router.post("/cases/{name}/review-request")
def request_review(name: str, body: Reason, person: Actor, ledger: Book) -> dict[str, Any]:
    """Pull a case that was not sent back to people."""
    demand(person, "PUT", _dag_of(ledger, name), "ask for a review", gate=True)
    return review_action.request_review(ledger, name, person=person.id, reason=body.reason)


@router.post("/cases/{name}/override")
def override_decision(name: str, body: Override, person: Actor, ledger: Book) -> dict[str, Any]:
    """Send a case onto another route."""
    demand(person, "PUT", _dag_of(ledger, name), "override a decision", gate=True)
    demand_right(person, ledger, "override", _workflow_of(ledger, name))
    return override(ledger, name, person=person.id, route=body.route, reason=body.reason)


@router.post("/cases/{name}/break-glass")
def break_the_glass(name: str, body: Glass, person: Actor, ledger: Book) -> dict[str, Any]:
    """Sign a case off alone, to be reviewed later."""
    demand(person, "PUT", _dag_of(ledger, name), "break the glass", gate=True)
    demand_right(person, ledger, "break_glass", _workflow_of(ledger, name))
    return break_glass(ledger, name, person=person.identity, reason=body.reason, seen_digest=body.digest)


@router.post("/cases/{name}/confirmation")
def confirm_glass(name: str, body: Vote, person: Actor, ledger: Book) -> dict[str, Any]:
    """Review what was signed off by breaking the glass."""
    demand(person, "PUT", _dag_of(ledger, name), "review a break-glass", gate=True)
    return confirm(
        ledger, name, person=person.identity, answer=body.answer, reason=body.reason, seen_digest=body.digest
    )


@router.post("/cases/{name}/question")
def ask_back_about(name: str, body: Said, person: Actor, ledger: Book) -> dict[str, Any]:
    """Ask the owner of a case something before deciding."""
    demand(person, "PUT", _dag_of(ledger, name), "ask back", gate=True)
    return ask_back(ledger, name, person=person.identity, text=body.text)


@router.post("/cases/{name}/reply")
def reply_about(name: str, body: Said, person: Actor, ledger: Book) -> dict[str, Any]:
    """Answer what was asked back about a case."""
    demand(person, "PUT", _dag_of(ledger, name), "answer a question", gate=True)
    return reply(ledger, name, person=person.identity, text=body.text)


@router.post("/cases/{name}/hand-over")
def hand_case_over(name: str, body: HandOver, person: Actor, ledger: Book) -> dict[str, Any]:
    """Hand a case over to another who may vote on it."""
    demand(person, "PUT", _dag_of(ledger, name), "hand a case over", gate=True)
    return hand_over(ledger, name, person=person.identity, to=body.to, text=body.text)


@router.get("/break-glass")
def unreviewed_glass(person: Reader, ledger: Book) -> dict[str, Any]:
    """Return what was signed off by breaking the glass and awaits its review."""
    demand(person, "GET", None, "see cases")
    return {"unreviewed": unreviewed(ledger)}


@router.post("/cases/{name}/resubmit")
def resubmit_case(name: str, body: Resubmission, person: Actor, ledger: Book) -> dict[str, Any]:
    """Put a quarantined case or a dead letter back to work."""
    demand(person, "PUT", _dag_of(ledger, name), "resubmit a case", gate=True)
    demand_right(person, ledger, "correct", _workflow_of(ledger, name))
    return resubmit(
        ledger, name, person=person.id, changes=body.changes, include=include_path(), from_start=body.from_start
    )


@router.post("/cases/{name}/close")
def close(
    name: str, body: Reason, person: Actor, ledger: Book, request: Request, background: BackgroundTasks
) -> dict[str, Any]:
    """End a case without sending anything."""
    demand(person, "PUT", _dag_of(ledger, name), "close a case", gate=True)
    demand_right(person, ledger, "correct", _workflow_of(ledger, name))
    return _woken(review_action.close(ledger, name, person=person.id, reason=body.reason), request, background)


@router.post("/cases/{name}/undo")
def undo_effect(name: str, body: Reason, person: Actor, ledger: Book) -> dict[str, Any]:
    """Undo the effect of a case in the other system."""
    demand(person, "PUT", _dag_of(ledger, name), "undo an effect", gate=True)
    demand_right(person, ledger, "correct", _workflow_of(ledger, name))
    from interlock.hooks.connector import open_connector_from_airflow

    return undo(ledger, name, person=person.id, reason=body.reason, open_connector=open_connector_from_airflow)


@router.post("/cases/{name}/reconcile")
def reconcile_effect(name: str, body: Reconciliation, person: Actor, ledger: Book) -> dict[str, Any]:
    """Take a person's word for whether an effect in doubt took place."""
    demand(person, "PUT", _dag_of(ledger, name), "reconcile an effect", gate=True)
    demand_right(person, ledger, "correct", _workflow_of(ledger, name))
    return reconcile(ledger, name, person=person.id, took_place=body.took_place, reason=body.reason)


@router.post("/cases/{name}/forget")
def forget(name: str, body: Oblivion, person: Actor, ledger: Book) -> dict[str, Any]:
    """Erase what a case says of a person."""
    demand_right(person, ledger, "forget", _workflow_of(ledger, name))
    return forget_case(ledger, name, person=person.id, reason=body.reason, key_too=body.key_too)


@router.get("/switches")
def list_switches(person: Reader, ledger: Book, history: bool = False) -> dict[str, Any]:
    """Return what is switched off, or every time that something was."""
    demand(person, "GET", None, "see switches")
    return {"switches": switches(ledger, history=history)}


@router.post("/switches")
def throw_switch(body: Switch, person: Actor, ledger: Book) -> dict[str, Any]:
    """Stop a workflow, an agent or a connector, or let it go on."""
    demand_right(person, ledger, "switch", body.name.split("/")[0] if body.kind != "connector" else None)
    return throw(ledger, kind=body.kind, name=body.name, off=body.off, person=person.id, reason=body.reason)


def _dag_of(ledger: Ledger, name: str) -> str | None:
    with ledger.read() as connection:
        row = find_case(connection, ledger, name)
        return load_run(connection, row.run_id).dag_id if row.run_id else None


def _workflow_of(ledger: Ledger, name: str) -> str:
    with ledger.read() as connection:
        return str(find_case(connection, ledger, name).workflow)


def _woken(came_of_it: dict[str, Any], request: Request, background: BackgroundTasks) -> dict[str, Any]:
    if came_of_it.get("gate_is_done"):
        token = bearer_of(request)
        if token is not None:
            background.add_task(wake_gate, came_of_it["gate"], token)
    return came_of_it
