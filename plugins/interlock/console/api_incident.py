"""The API of incidents: what is going wrong, who looks after it, and when it was over."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from interlock.console.guard import ChangesDags, HoldsRight, SeesDags, guards
from interlock.console.identity import Actor
from interlock.console.ledger import OpenLedger
from interlock.console.reading import Sees
from interlock.ledger.incidents.incident import list_incidents, settle_incident
from interlock.ledger.store.record import Incident

router = APIRouter()


@router.get("/incidents", dependencies=guards(SeesDags("see incidents")))
def incidents(sight: Sees, workflow: str | None = None, closed: bool = False) -> dict[str, Any]:
    """Return the incidents that are not over; with *closed*, all of them."""
    with sight.ledger.read() as connection:
        rows = list_incidents(connection, sight.ledger.environment, workflow=workflow, all_of_them=closed)
    return {"incidents": [_as_json(row) for row in rows if sight.sees_workflow(row.workflow)]}


_SETTLES = guards(ChangesDags("settle an incident"), HoldsRight("switch"))


@router.post("/incidents/{name}/acknowledge", dependencies=_SETTLES)
def acknowledge(name: str, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Record that the person looks after an incident, so that nobody else is notified."""
    return _as_json(settle_incident(ledger, name, person=person.id, close=False))


@router.post("/incidents/{name}/close", dependencies=_SETTLES)
def close(name: str, person: Actor, ledger: OpenLedger) -> dict[str, Any]:
    """Record that an incident is over."""
    return _as_json(settle_incident(ledger, name, person=person.id, close=True))


def _as_json(row: Incident) -> dict[str, Any]:
    instants = ("opened_at", "last_at", "acknowledged_at", "escalated_at", "closed_at")
    values = row.values()
    texts = {name: values[name].isoformat() if values.get(name) else None for name in instants}
    names = ("id", "workflow", "kind", "subject", "state", "reason", "cases", "acknowledged_by", "closed_by")
    return {name: values.get(name) for name in names} | texts
