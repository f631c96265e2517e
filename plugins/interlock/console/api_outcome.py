"""The API of outcomes: what the business got from cases."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from interlock.console.guard import AnswersDags, HoldsRightOnOutcomes, SeesDags, guards
from interlock.console.identity import Actor
from interlock.console.ledger import OpenLedger
from interlock.console.reading import Sees
from interlock.console.request_body import OutcomesRequest
from interlock.domain.data.source import SourceRow
from interlock.engine.cases.outcome import record
from interlock.ledger.cases.outcome import list_outcomes
from interlock.ledger.store import transaction

router = APIRouter()


@router.get("/outcomes", dependencies=guards(SeesDags("see outcomes")))
def outcomes(sight: Sees, workflow: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Return the outcomes that were recorded, the last that happened first."""
    return {
        "outcomes": [
            row.to_json() for row in list_outcomes(sight.ledger, workflow=workflow, among=sight.cases, limit=limit)
        ]
    }


@router.post("/outcomes", dependencies=guards(AnswersDags("record outcomes"), HoldsRightOnOutcomes("correct")))
def record_outcomes(body: OutcomesRequest, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Record outcomes as the person who asks."""
    rows = (SourceRow(number=row.number, values=row.values, problem=row.problem) for row in body.rows)
    actor = transaction.Actor("person", person.id)
    return record(ledger, body.workflow, rows, source=body.source, actor=actor)
