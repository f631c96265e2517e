"""
The API: every act of a person enters here, and who acts is who Airflow says is asking.

The terminal's commands are clients of it. What a route asks first are the guards that it names; who may vote at a gate
is the policy's matter and is asked as well.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request

from interlock.console.guard import (
    AnswersCase,
    AnswersEachCase,
    AnyLogin,
    HoldsRightOnCase,
    HoldsRightOnSwitch,
    SeesCase,
    SeesDags,
    SortedVotes,
    guards,
)
from interlock.console.identity import Actor, Reader
from interlock.console.ledger import OpenLedger
from interlock.console.reading import CaseId, Sees
from interlock.console.request_body import (
    BreakGlassRequest,
    EditRequest,
    EraseRequest,
    HandOverRequest,
    MessageRequest,
    OverrideRequest,
    ReasonRequest,
    ReconcileRequest,
    ResubmitRequest,
    SwitchRequest,
    VoteRequest,
)
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
from interlock.hooks.setting import include_path
from interlock.ledger.approvals.gate import open_requests_of
from interlock.ledger.audit.case_history import show_case
from interlock.ledger.audit.erasure import forget_case

router = APIRouter()


@router.get("/me", dependencies=guards(AnyLogin()))
def me(person: Reader) -> dict[str, str]:
    """Return who is asking."""
    return {"id": person.id}


@router.get("/reviews", dependencies=guards(SeesDags("see cases")))
def reviews(sight: Sees, workflow: str | None = None, limit: int = 200) -> dict[str, Any]:
    """Return the cases that people are asked about."""
    found = [
        {
            "case_id": row.case_id,
            "business_key": row.business_key,
            "workflow": row.workflow,
            "route": row.route,
            "why": sight.text(row.why, row.workflow, row.run_id) or "",
            "gate": row.gate,
            "voters": row.voters,
            "digest": row.seen_digest,
            "opened_at": row.opened_at.isoformat(),
            "mine": sight.person.id in row.voters,
        }
        for row in open_requests_of(sight.ledger, workflow=workflow, among=sight.cases, limit=limit)
    ]
    return {"reviews": found}


@router.get("/reviews/{name}", dependencies=guards(SeesCase("see cases")))
def review(name: CaseId, sight: Sees) -> dict[str, Any]:
    """Return what people see of one case, and the digest that a vote is bound to."""
    return sight.question(review_action.see(sight.ledger, name, person=sight.person.identity))


@router.get("/cases/{name}", dependencies=guards(SeesCase("see cases")))
def case(name: CaseId, sight: Sees) -> dict[str, Any]:
    """Return everything in the ledger about one case."""
    return sight.history(show_case(sight.ledger, name))


@router.post("/cases/{name}/vote", dependencies=guards(AnswersCase("vote")))
def vote(
    name: CaseId, body: VoteRequest, person: Actor, ledger: OpenLedger, request: Request, background: BackgroundTasks
) -> dict[str, Any]:
    """Vote on one case; the last vote of a gate wakes its task."""
    result = review_action.vote(
        ledger, name, person=person.identity, answer=body.answer, seen_digest=body.digest, reason=body.reason
    )
    return _woken(result, request, background)


@router.post("/votes")
def vote_on_many(
    votes: Annotated[SortedVotes, Depends(AnswersEachCase("vote"))],
    person: Actor,
    ledger: OpenLedger,
    request: Request,
    background: BackgroundTasks,
) -> dict[str, Any]:
    """
    Vote on several cases; each counts or is refused by itself, and the response has the result of each.

    Nothing counts for a person whom Airflow does not let answer for one of their Dags.
    """
    results = [_refused(name, error) for name, error in votes.refused]
    for case_id, one in votes.allowed:
        try:
            result = review_action.vote(
                ledger,
                case_id,
                person=person.identity,
                answer=one.answer,
                seen_digest=one.digest,
                reason=one.reason,
            )
            results.append({"counts": True, **_woken(result, request, background)})
        except InterlockError as error:
            results.append(_refused(one.case, error))
    return {"votes": results}


def _refused(name: str, error: InterlockError) -> dict[str, Any]:
    return {"counts": False, "case": name, "refused": f"{type(error).__name__}: {error}"}


@router.post("/cases/{name}/edit", dependencies=guards(AnswersCase("edit a draft")))
def edit(name: CaseId, body: EditRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Change a draft under its contract; it is asked about again."""
    return review_action.edit(
        ledger, name, person=person.identity, changes=body.changes, seen_digest=body.digest, include=include_path()
    )


@router.post("/cases/{name}/review-request", dependencies=guards(AnswersCase("ask for a review")))
def request_review(name: CaseId, body: ReasonRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Send a case to people that is not sent yet."""
    return review_action.request_review(ledger, name, person=person.id, reason=body.reason)


@router.post(
    "/cases/{name}/override", dependencies=guards(AnswersCase("override a decision"), HoldsRightOnCase("override"))
)
def override_decision(name: CaseId, body: OverrideRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Move a case to another route."""
    return override(ledger, name, person=person.id, route=body.route, reason=body.reason)


@router.post(
    "/cases/{name}/break-glass", dependencies=guards(AnswersCase("break the glass"), HoldsRightOnCase("break_glass"))
)
def break_the_glass(name: CaseId, body: BreakGlassRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Sign a case off alone, to be reviewed later."""
    return break_glass(ledger, name, person=person.identity, reason=body.reason, seen_digest=body.digest)


@router.post("/cases/{name}/confirmation", dependencies=guards(AnswersCase("review a break-glass")))
def confirm_glass(name: CaseId, body: VoteRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Review what was signed off by breaking the glass."""
    return confirm(
        ledger, name, person=person.identity, answer=body.answer, reason=body.reason, seen_digest=body.digest
    )


@router.post("/cases/{name}/question", dependencies=guards(AnswersCase("ask back")))
def ask_back_about(name: CaseId, body: MessageRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Ask the owner of a case something before deciding."""
    return ask_back(ledger, name, person=person.identity, text=body.text)


@router.post("/cases/{name}/reply", dependencies=guards(AnswersCase("answer a question")))
def reply_about(name: CaseId, body: MessageRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Answer what was asked back about a case."""
    return reply(ledger, name, person=person.identity, text=body.text)


@router.post("/cases/{name}/hand-over", dependencies=guards(AnswersCase("hand a case over")))
def hand_case_over(name: CaseId, body: HandOverRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Hand a case over to another who may vote on it."""
    return hand_over(ledger, name, person=person.identity, to=body.to, text=body.text)


@router.get("/break-glass", dependencies=guards(SeesDags("see cases")))
def unreviewed_glass(sight: Sees) -> dict[str, Any]:
    """Return what was signed off by breaking the glass and awaits its review."""
    found = unreviewed(sight.ledger, among=sight.cases)
    return {"unreviewed": [{**row, "reason": sight.text(row["reason"], row["workflow"], None)} for row in found]}


@router.post("/cases/{name}/resubmit", dependencies=guards(AnswersCase("resubmit a case"), HoldsRightOnCase("correct")))
def resubmit_case(name: CaseId, body: ResubmitRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Put a quarantined case or a dead letter back to work."""
    return resubmit(
        ledger, name, person=person.id, changes=body.changes, include=include_path(), from_start=body.from_start
    )


@router.post("/cases/{name}/close", dependencies=guards(AnswersCase("close a case"), HoldsRightOnCase("correct")))
def close(
    name: CaseId, body: ReasonRequest, person: Actor, ledger: OpenLedger, request: Request, background: BackgroundTasks
) -> dict[str, Any]:
    """End a case without sending anything."""
    return _woken(review_action.close(ledger, name, person=person.id, reason=body.reason), request, background)


@router.post("/cases/{name}/undo", dependencies=guards(AnswersCase("undo an effect"), HoldsRightOnCase("correct")))
def undo_effect(name: CaseId, body: ReasonRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Undo the effect of a case in the other system."""
    from interlock.hooks.connector import open_connector_from_airflow

    return undo(ledger, name, person=person.id, reason=body.reason, open_connector=open_connector_from_airflow)


@router.post(
    "/cases/{name}/reconcile", dependencies=guards(AnswersCase("reconcile an effect"), HoldsRightOnCase("correct"))
)
def reconcile_effect(name: CaseId, body: ReconcileRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Record whether an effect in doubt took place, as a person found out."""
    return reconcile(ledger, name, person=person.id, took_place=body.took_place, reason=body.reason)


@router.post("/cases/{name}/forget", dependencies=guards(HoldsRightOnCase("forget")))
def forget(name: CaseId, body: EraseRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Erase the content of a case."""
    return forget_case(ledger, name, person=person.id, reason=body.reason, key_too=body.key_too)


@router.get("/switches", dependencies=guards(SeesDags("see switches")))
def list_switches(sight: Sees, history: bool = False) -> dict[str, Any]:
    """Return what is switched off, or every time that something was; a connector is everybody's."""
    found = switches(sight.ledger, history=history)
    return {
        "switches": [
            row for row in found if row["kind"] == "connector" or sight.sees_workflow(row["name"].split("/")[0])
        ]
    }


@router.post("/switches", dependencies=guards(HoldsRightOnSwitch("switch")))
def throw_switch(body: SwitchRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Stop a workflow, an agent or a connector, or resume it."""
    return throw(ledger, kind=body.kind, name=body.name, off=body.off, person=person.id, reason=body.reason)


def _woken(result: dict[str, Any], request: Request, background: BackgroundTasks) -> dict[str, Any]:
    if result.get("gate_is_done"):
        token = bearer_of(request)
        if token is not None:
            background.add_task(wake_gate, result["gate"], token)
    return result
