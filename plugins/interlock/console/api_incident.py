"""The API of incidents: what is going wrong, who looks after it, and when it was over."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from interlock.console.api_case import Book
from interlock.console.identity import Actor, Reader, demand
from interlock.ledger.incidents.incident import list_incidents, settle_incident
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.store.record import Incident

router = APIRouter()


@router.get("/incidents")
def incidents(person: Reader, ledger: Book, workflow: str | None = None, closed: bool = False) -> dict[str, Any]:
    """Return the incidents that are not over; with *closed*, all of them."""
    demand(person, "GET", None, "see incidents")
    with ledger.read() as connection:
        rows = list_incidents(connection, ledger.environment, workflow=workflow, all_of_them=closed)
    return {"incidents": [_told(row) for row in rows]}


@router.post("/incidents/{name}/acknowledge")
def acknowledge(name: str, person: Actor, ledger: Book) -> dict[str, Any]:
    """Say that one looks after an incident, so that nobody else is told."""
    return _settle(name, person, ledger, close=False)


@router.post("/incidents/{name}/close")
def close(name: str, person: Actor, ledger: Book) -> dict[str, Any]:
    """Say that an incident is over."""
    return _settle(name, person, ledger, close=True)


def _settle(name: str, person: Actor, ledger: Book, *, close: bool) -> dict[str, Any]:
    demand(person, "PUT", None, "settle an incident")
    company_in_force(ledger).access.demand(person.identity, "switch")
    return _told(settle_incident(ledger, name, person=person.identity.id, close=close))


def _told(row: Incident) -> dict[str, Any]:
    instants = ("opened_at", "last_at", "acknowledged_at", "escalated_at", "closed_at")
    values = row.values()
    told = {name: values[name].isoformat() if values.get(name) else None for name in instants}
    names = ("id", "workflow", "kind", "subject", "state", "reason", "cases", "acknowledged_by", "closed_by")
    return {name: values.get(name) for name in names} | told
