"""How many cases went on by themselves."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from interlock.ledger.store.schema import case, decision


def count_automatic(connection: Connection, environment: str, workflow: str, *, since: datetime) -> int:
    """Return how many cases of *workflow* a branch let go on by themselves since an instant."""
    return connection.execute(
        select(func.count(func.distinct(decision.c.case_id)))
        .join(case, case.c.id == decision.c.case_id)
        .where(
            case.c.environment == environment,
            case.c.workflow == workflow,
            decision.c.route == "auto",
            decision.c.created_at >= since,
        )
    ).scalar_one()
