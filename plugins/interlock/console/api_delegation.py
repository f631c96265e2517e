"""The API of delegations: who stands in for whom at gates, until when."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from interlock.console.guard import AnswersDags, SeesDags, guards
from interlock.console.identity import Actor
from interlock.console.ledger import OpenLedger
from interlock.console.reading import Sees
from interlock.console.request_body import DelegateRequest
from interlock.errors import InputError
from interlock.ledger.approvals.delegation import delegate, end_delegation, list_delegations
from interlock.ledger.store import record

router = APIRouter()


@router.get("/delegations", dependencies=guards(SeesDags("see delegations")))
def delegations(sight: Sees) -> dict[str, Any]:
    """Return the delegations in effect now."""
    rows = [row for row in list_delegations(sight.ledger) if row.workflow is None or sight.sees_workflow(row.workflow)]
    return {"delegations": [_as_json(row) for row in rows]}


@router.post("/delegations", dependencies=guards(AnswersDags("let somebody stand in")))
def give(body: DelegateRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Let another person vote for the one who asks."""
    if not body.reason.strip():
        raise InputError("letting somebody stand in needs a reason: say why")
    row = delegate(
        ledger, person.identity, taker=body.taker, until=body.until, reason=body.reason, workflow=body.workflow
    )
    return _as_json(row)


@router.post("/delegations/{name}/end", dependencies=guards(AnswersDags("end a delegation")))
def end(name: str, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """End a delegation before its time; both people of it may."""
    return _as_json(end_delegation(ledger, person.identity, name))


def _as_json(row: record.Delegation) -> dict[str, Any]:
    return {
        "id": row.id,
        "giver": row.giver,
        "taker": row.taker,
        "workflow": row.workflow,
        "reason": row.reason,
        "since": row.since.isoformat(),
        "until": row.until.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }
