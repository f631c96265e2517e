"""Cases past their service level: those whose owner does not know yet, and those that are late still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from interlock.domain.cases.case import DONE
from interlock.ledger.store.record import Case
from interlock.ledger.store.schema import case
from interlock.ledger.store.transaction import Transaction

_DONE = [state.value for state in DONE]


@dataclass(frozen=True)
class StillLate:
    """Open cases of a workflow whose owners were notified at one instant."""

    workflow: str
    notified_at: datetime
    cases: int


def lock_late(tx: Transaction, environment: str, *, at: datetime, limit: int) -> list[Case]:
    """Lock and return open cases that were due before *at*, and whose owners were not notified."""
    late = select(case).where(
        case.c.environment == environment,
        case.c.due_at < at,
        case.c.late_told_at.is_(None),
        case.c.state.not_in(_DONE),
    )
    return Case.all_of(tx.connection.execute(late.order_by(case.c.id).limit(limit).with_for_update()))


def count_still_late(connection: Connection, environment: str) -> list[StillLate]:
    """Return how many cases are open though their owners were notified, by workflow and instant of the notice."""
    query = (
        select(case.c.workflow, case.c.late_told_at, func.count())
        .where(case.c.environment == environment, case.c.late_told_at.is_not(None), case.c.state.not_in(_DONE))
        .group_by(case.c.workflow, case.c.late_told_at)
    )
    return [StillLate(*row) for row in connection.execute(query)]
