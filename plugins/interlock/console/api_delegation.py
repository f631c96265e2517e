"""The API of delegations: who stands in for whom at gates, until when."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict

from interlock.console.api_case import Book
from interlock.console.identity import Actor, Reader, demand
from interlock.errors import InputError
from interlock.ledger.approvals.delegation import delegate, end_delegation, list_delegations
from interlock.ledger.store import record

router = APIRouter()


class Delegation(BaseModel):
    """Who shall vote for the person who asks, and until when."""

    model_config = ConfigDict(extra="forbid")

    taker: str
    until: AwareDatetime
    reason: str
    workflow: str | None = None
    """Left out: in all of them."""


@router.get("/delegations")
def delegations(person: Reader, ledger: Book) -> dict[str, Any]:
    """Return the delegations that stand now."""
    demand(person, "GET", None, "see delegations")
    return {"delegations": [_told(row) for row in list_delegations(ledger)]}


@router.post("/delegations")
def give(body: Delegation, person: Actor, ledger: Book) -> dict[str, Any]:
    """Let another person vote for the one who asks."""
    demand(person, "PUT", None, "let somebody stand in", gate=True)
    if not body.reason.strip():
        raise InputError("letting somebody stand in needs a reason: say why")
    row = delegate(
        ledger, person.identity, taker=body.taker, until=body.until, reason=body.reason, workflow=body.workflow
    )
    return _told(row)


@router.post("/delegations/{name}/end")
def end(name: str, person: Actor, ledger: Book) -> dict[str, Any]:
    """End a delegation before its time; who gave it and who took it may."""
    demand(person, "PUT", None, "end a delegation", gate=True)
    return _told(end_delegation(ledger, person.identity, name))


def _told(row: record.Delegation) -> dict[str, Any]:
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
