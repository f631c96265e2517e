"""
The review queue: a row for each case that waits, and which case comes before and after another.

A row carries the digest of what its voter would sign, so that several can be approved at once without any of them being
approved in a version that its voter did not see.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from interlock.console.reading import Sight
from interlock.console.rendering import message_of
from interlock.domain.policy.visibility import CASE
from interlock.ledger.approvals.gate import NOTHING
from interlock.ledger.cases.case import load_files
from interlock.ledger.cases.handoff import draft_of, load_handoffs
from interlock.ledger.cases.queue_query import Waiting, waiting

IN_ORDER = 2_000
"""Cases among which the next is looked for."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which part of the queue to show; an empty field filters nothing."""

    workflow: str = ""
    route: str = ""
    gate: str = ""

    def query(self, **changes: str) -> str:
        """Return the filter, with *changes*, as the query of an address: empty, or with its question mark."""
        kept = {name: value for name, value in {**asdict(self), **changes}.items() if value}
        return f"?{urlencode(kept)}" if kept else ""


def queue_rows(sight: Sight, found: Waiting) -> list[dict[str, Any]]:
    """
    Return a row for each open request: its case, its message, what would be sent, and whether it waits for the person.

    A row that waits for them shows all of it; the others show what the person sees of the case.
    """
    person = sight.person.id
    with sight.ledger.read() as connection:
        files = {file.id: file for file in load_files(connection, list(found.cases.values()))}
        drafts = load_handoffs(connection, [row.draft_id for row in found.cases.values() if row.draft_id])
    rows = []
    for request in found.requests:
        file = files[request.case_id]
        draft = None if request.payload_digest == NOTHING else draft_of(file, drafts)[0]
        is_mine = (
            person in request.voters and person not in (request.barred or {}) and request.id not in found.voted
        ) and sight.may_answer(sight.dag_of(file.case))
        why, payload = file.case.reason, file.payload
        if not is_mine:
            named = drafts[str(file.case.draft_id)].contract if file.case.draft_id in drafts else CASE
            why, payload = sight.reason(file.case), sight.payload(CASE, payload, file.case)
            draft = None if draft is None else sight.payload(named, draft, file.case)
        rows.append(
            {
                "case_id": file.id,
                "business_key": file.case.business_key,
                "workflow": file.case.workflow,
                "route": file.case.route or "",
                "why": why or "",
                "gate": request.gate,
                "opened_at": request.opened_at,
                "digest": request.seen_digest,
                "is_mine": is_mine,
                "voted": found.voted.get(request.id, ""),
                "voters": request.voters,
                "message": message_of(payload),
                "draft": draft,
                "action": request.action,
            }
        )
    return rows


def neighbours(sight: Sight, case_id: str, wanted: Filter) -> dict[str, Any]:
    """Return ``previous`` and ``next`` of a case in the queue (ids or None), its ``position`` and the ``total``."""
    found = waiting(
        sight.ledger,
        person=sight.person.id,
        among=sight.cases,
        workflow=wanted.workflow,
        route=wanted.route,
        gate=wanted.gate,
        limit=IN_ORDER,
    )
    ids = [row.case_id for row in found.requests]
    if case_id not in ids:
        return {"previous": None, "next": ids[0] if ids else None, "position": None, "total": found.total}
    at = ids.index(case_id)
    return {
        "previous": ids[at - 1] if at else None,
        "next": ids[at + 1] if at + 1 < len(ids) else None,
        "position": at + 1,
        "total": found.total,
    }
