"""The reviews of a workflow, as cases hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from interlock.domain.reviews.review import is_review
from interlock.errors import InputError
from interlock.ledger.cases.case import load_files
from interlock.ledger.cases.handoff import load_handoffs
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case
from interlock.ledger.store.schema import case

LOOKED_AT = 500
"""Cases that are looked at, the newest first."""


def latest_review(
    ledger: Ledger, workflow: str, *, period: str | None = None
) -> tuple[Case, Mapping[str, Any], Mapping[str, Any]]:
    """
    Return the newest case of *workflow* with a review of a period, the review, and the finding that it is of.

    :param period: its label, or a part of it: ``2014-06-16``.
    :raises InputError: there is none.
    """
    query = (
        select(case)
        .where(case.c.environment == ledger.environment, case.c.workflow == workflow, case.c.draft_id.is_not(None))
        .order_by(case.c.changed_at.desc())
        .limit(LOOKED_AT)
    )
    best: tuple[str, Case, Mapping[str, Any], Mapping[str, Any]] | None = None
    with ledger.read() as connection:
        rows = Case.all_of(connection.execute(query))
        drafts = load_handoffs(connection, [row.draft_id for row in rows if row.draft_id])
        for file in load_files(connection, rows):
            draft = file.context.get(drafts[file.case.draft_id or ""].contract_name)
            if file.payload.get("kind") != "review" or not is_review(draft):
                continue
            if period is not None and period not in str(file.payload.get("period")):
                continue
            end = str(file.payload.get("period_end") or "")
            if best is None or end > best[0]:
                best = (end, file.case, draft or {}, file.payload)
    if best is None:
        of = f" of {period!r}" if period else ""
        raise InputError(f"there is no review{of} in workflow {workflow!r}; see airflow interlock cases list")
    return best[1:]
