"""
What may be executed: a case, an action and the digest of exactly what is sent, on the basis of a decision or of votes.

Nothing else allows an execution. A withdrawn authorisation stays in the ledger, and allows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select

from interlock.ledger.store.ledger import in_groups
from interlock.ledger.store.record import Authorisation
from interlock.ledger.store.schema import authorisation
from interlock.ledger.store.transaction import Transaction, new_id


def authorise(tx: Transaction, grants: Sequence[tuple[str, str, str]], *, action: str, version_id: str) -> None:
    """Authorise *action* for cases, given as (case id, digest of what is sent, basis)."""
    tx.insert(
        authorisation,
        [
            {
                "id": new_id(),
                "case_id": case_id,
                "action": action,
                "payload_digest": payload_digest,
                "basis": basis,
                "version_id": version_id,
                "created_at": tx.at,
                "revision": 1,
            }
            for case_id, payload_digest, basis in grants
        ],
        kind="authorised",
        facts=lambda row: {"action": row["action"], "basis": row["basis"]},
    )


def standing(tx: Transaction, case_ids: Sequence[str], *, action: str | None = None) -> list[Authorisation]:
    """Return the authorisations of the cases that nobody withdrew."""
    found: list[Authorisation] = []
    for group in in_groups(list(case_ids), 400):
        query = select(authorisation).where(authorisation.c.case_id.in_(group), authorisation.c.withdrawn_at.is_(None))
        if action is not None:
            query = query.where(authorisation.c.action == action)
        found += Authorisation.all_of(tx.connection.execute(query.with_for_update()))
    return found


def withdraw(tx: Transaction, case_id: str) -> int:
    """Withdraw every standing authorisation of a case; return how many there were."""
    rows = standing(tx, [case_id])
    tx.update(
        authorisation,
        [replace(row, withdrawn_at=tx.at, withdrawn_by=str(tx.actor)) for row in rows],
        kind="authorisation.withdrawn",
    )
    return len(rows)
