"""All that the ledger knows of one case, in the order in which it happened."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, select

from interlock.domain.policy.visibility import CASE, TEXT, Masks
from interlock.errors import ConfigurationError
from interlock.ledger.audit.verify import FORGOTTEN
from interlock.ledger.cases.case import find_case, load_files
from interlock.ledger.policy.version import find_in_force
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.schema import (
    audit_event,
    authorisation,
    decision,
    effect,
    gate_request,
    handoff,
    outcome,
    payload,
    usage,
    vote,
)


def show_case(ledger: Ledger, name: str) -> dict[str, Any]:
    """
    Return the case *name* (id, end of an id, or business key) with its whole history: JSON types.

    :raises UnknownName: there is no such case.
    """
    with ledger.read() as connection:
        row = find_case(connection, ledger, name)
        file = load_files(connection, [row])[0]
        bodies = {
            found.digest: found.body for found in connection.execute(select(payload).where(payload.c.case_id == row.id))
        }
        handoffs = _of_case(connection, handoff, row.id)
        decisions = _of_case(connection, decision, row.id)
        history: dict[str, Any] = {
            "case": {**_plain(row.values()), "content": dict(file.payload)},
            "handoffs": [{**_plain(h), "payload": bodies.get(h["payload_digest"])} for h in handoffs],
            "decisions": [{**_plain(d), "inputs": bodies.get(d["inputs_digest"])} for d in decisions],
            "authorisations": [_plain(a) for a in _of_case(connection, authorisation, row.id)],
            "gate_requests": [_plain(g) for g in _of_case(connection, gate_request, row.id, "opened_at")],
            "votes": [_plain(v) for v in _of_case(connection, vote, row.id)],
            "effects": [_plain(e) for e in _of_case(connection, effect, row.id, "intended_at")],
            "outcomes": [_plain(o) for o in _of_case(connection, outcome, row.id, "happened_at")],
            "usage": [_plain(u) for u in _of_case(connection, usage, row.id)],
        }
        events = connection.execute(
            select(audit_event.c.at, audit_event.c.kind, audit_event.c.chain, audit_event.c.number)
            .where(audit_event.c.subject == f"case:{row.id}")
            .order_by(audit_event.c.at, audit_event.c.number)
        )
        history["events"] = [_plain(as_dict(event)) for event in events]
        erased = [event["at"] for event in history["events"] if event["kind"] == FORGOTTEN]
        history["forgotten"] = {"at": erased[0], "why": row.reason} if erased else None
    return history


def masks_of(ledger: Ledger, workflow: str, run_id: str | None) -> Masks:
    """
    Return what is masked of the cases of a run; without one, what the version in force masks.

    :raises ConfigurationError: no version is in force.
    """
    with ledger.read() as connection:
        version = (
            load_run(connection, run_id).version
            if run_id
            else find_in_force(connection, ledger.environment, workflow, None)
        )
    if version is None:
        raise ConfigurationError(f"no version of {workflow!r} says which fields of its cases hold personal data")
    return Masks.of(version.bundle)


def mask_history(history: dict[str, Any], masks: Masks) -> dict[str, Any]:
    """Return a case's *history* as people without ``read_personal`` see it: all that ``forget`` erases is masked."""
    row = history["case"]
    of_unnamed = masks.has_unnamed(CASE, row["content"])

    def text(one: str | None) -> str | None:
        return masks.text(one, of_unnamed=of_unnamed)

    is_quiet = masks.has_classes or of_unnamed
    return {
        **history,
        "case": {**row, "content": masks.masked(CASE, row["content"]), "reason": text(row["reason"])},
        "handoffs": [{**h, "payload": masks.masked(str(h["contract"]), h["payload"])} for h in history["handoffs"]],
        "decisions": [
            {
                **d,
                "inputs": masks.inputs(d["inputs"]),
                "rule": text(d["rule"]) if str(d["decided_by"]).startswith("person:") else d["rule"],
                "error": text(d["error"]),
            }
            for d in history["decisions"]
        ],
        "votes": [{**v, "reason": text(v["reason"])} for v in history["votes"]],
        "effects": [{**e, "receipt": _quiet(e["receipt"]) if is_quiet else e["receipt"]} for e in history["effects"]],
        "forgotten": history["forgotten"] and {**history["forgotten"], "why": text(history["forgotten"]["why"])},
    }


def _quiet(receipt: Any) -> Any:
    """Return what another system answered, without its values, in which it may repeat what was sent."""
    return dict.fromkeys(receipt, TEXT) if isinstance(receipt, dict) else TEXT if receipt else receipt


def _of_case(connection: Connection, table: Table, case_id: str, order: str = "created_at") -> list[dict[str, Any]]:
    rows = connection.execute(select(table).where(table.c.case_id == case_id).order_by(table.c[order]))
    return [as_dict(row) for row in rows]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else str(value) if isinstance(value, Decimal) else value
        for name, value in row.items()
    }
