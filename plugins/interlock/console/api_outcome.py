"""The API of outcomes: what the business got from cases."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from interlock.console.api_case import Book
from interlock.console.identity import Actor, Reader, demand, demand_right
from interlock.domain.data.source import SourceRow
from interlock.engine.cases.outcome import record
from interlock.ledger.cases.outcome import list_outcomes
from interlock.ledger.store import transaction

router = APIRouter()


class OutcomeRow(BaseModel):
    """A row of a source that tells of one outcome."""

    model_config = ConfigDict(extra="forbid")

    number: int
    """In the source, as a person counts."""
    values: dict[str, str | None] | None
    """``key``, ``outcome``, ``happened_at`` and ``value``; None when the row could not be parsed."""
    problem: str | None = None


class OutcomeRows(BaseModel):
    """Outcomes of a workflow's cases."""

    model_config = ConfigDict(extra="forbid")

    workflow: str
    source: str = Field(max_length=400)
    """Where they come from, for people: a file's name."""
    rows: list[OutcomeRow] = Field(min_length=1, max_length=500)


@router.get("/outcomes")
def outcomes(person: Reader, ledger: Book, workflow: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Return the outcomes that were recorded, the last that happened first."""
    demand(person, "GET", None, "see outcomes")
    return {"outcomes": [row.to_json() for row in list_outcomes(ledger, workflow=workflow, limit=limit)]}


@router.post("/outcomes")
def tell(body: OutcomeRows, person: Actor, ledger: Book) -> dict[str, Any]:
    """Record outcomes as the person who asks."""
    demand(person, "PUT", None, "record outcomes", gate=True)
    demand_right(person, ledger, "correct", body.workflow)
    rows = (SourceRow(number=row.number, values=row.values, problem=row.problem) for row in body.rows)
    actor = transaction.Actor("person", person.id)
    return record(ledger, body.workflow, rows, source=body.source, actor=actor)
