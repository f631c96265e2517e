"""
Notices: what people are told, written with what they are told of, and sent afterwards.

A notice that cannot be sent is tried again at the next upkeep, and nothing waits for it. One whose sender died is sent
again after a while, so it can arrive twice, but is not lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from interlock.domain.base.redaction import mask
from interlock.errors import LedgerError
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Notice
from interlock.ledger.store.schema import notice
from interlock.ledger.store.transaction import Actor, Transaction, new_id

MOST_ATTEMPTS = 5
SENDER_DIED = timedelta(minutes=10)
UPKEEP = Actor("task", "upkeep")


def write_notice(
    tx: Transaction,
    *,
    environment: str,
    workflow: str,
    kind: str,
    recipients: Sequence[str],
    subject: str,
    body: str,
) -> None:
    """Keep what is to be told to *recipients*: ids of people, or addresses."""
    row = Notice(
        id=new_id(),
        environment=environment,
        workflow=workflow,
        kind=kind,
        recipients=list(dict.fromkeys(recipients)),
        subject=mask(subject)[:300],
        body=mask(body),
        state="waiting",
        attempts=0,
        created_at=tx.at,
        revision=1,
    )
    tx.insert(notice, [row], kind="notice.written", facts=_facts)


def claim_notices(ledger: Ledger, *, limit: int = 500) -> list[Notice]:
    """Return the notices that this process shall send now; none of them is another's."""
    claimed: list[Notice] = []
    columns = notice.c
    with ledger.read() as connection:
        now = ledger.clock()
        open_ = or_(
            columns.state == "waiting",
            and_(columns.state == "failed", columns.attempts < MOST_ATTEMPTS),
            and_(columns.state == "sending", columns.tried_at <= now - SENDER_DIED),
        )
        query = select(notice).where(columns.environment == ledger.environment, open_)
        found = Notice.all_of(connection.execute(query.order_by(columns.created_at, columns.id).limit(limit)))
    for row in found:
        mine = replace(row, state="sending", attempts=row.attempts + 1)
        try:
            with ledger.write(actor=UPKEEP, chain=_chain(ledger)) as tx:
                claimed += tx.update(notice, [replace(mine, tried_at=tx.at)], kind="notice.sending", facts=_facts)
        except LedgerError:  # another process was quicker
            continue
    return claimed


def settle_notice(ledger: Ledger, row: Notice, *, error: str | None) -> None:
    """Record that a claimed notice was sent, or why not."""
    state = "sent" if error is None else "failed"
    with ledger.write(actor=UPKEEP, chain=_chain(ledger)) as tx:
        tx.update(notice, [replace(row, state=state, error=error)], kind=f"notice.{state}", facts=_facts)


def list_notices(ledger: Ledger) -> list[Notice]:
    """Return the notices of the environment, the newest first."""
    query = select(notice).where(notice.c.environment == ledger.environment)
    with ledger.read() as connection:
        return Notice.all_of(connection.execute(query.order_by(notice.c.created_at.desc(), notice.c.id)))


def subjects_since(connection: Connection, environment: str, workflow: str, *, kind: str, since: datetime) -> list[str]:
    """Return the subjects of the notices of *kind* about *workflow* that were written since an instant."""
    query = select(notice.c.subject).where(
        notice.c.environment == environment,
        notice.c.workflow == workflow,
        notice.c.kind == kind,
        notice.c.created_at >= since,
    )
    return list(connection.execute(query).scalars())


def workflows_since(connection: Connection, environment: str, *, kind: str, since: datetime) -> set[str]:
    """Return the workflows about which a notice of *kind* was written since an instant."""
    query = select(notice.c.workflow).where(
        notice.c.environment == environment, notice.c.kind == kind, notice.c.created_at >= since
    )
    return set(connection.execute(query).scalars())


def _chain(ledger: Ledger) -> str:
    return f"notices:{ledger.environment}"


def _facts(row: Any) -> dict[str, Any]:
    return {"kind": row["kind"], "state": row["state"], "attempts": row["attempts"]}
