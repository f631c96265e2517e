"""
Breaking the glass: one person with that right signs a case off at a gate whose people cannot be reached.

It is a vote of its own kind, with a reason, and must be looked at later by somebody who may vote at that gate; until
then the same person breaks no other glass. Who is barred from approving a case is barred here, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from interlock.domain.approvals.access import Access
from interlock.domain.approvals.request_state import GateState
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.approvals.gate import Answer, carry_out, demand_content, electorate_of, lock_request, votes_on
from interlock.ledger.cost.usage_row import charge_vote
from interlock.ledger.policy.company import company_of
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import GateRequest, Vote
from interlock.ledger.store.schema import case, gate_request, vote
from interlock.ledger.store.transaction import Transaction, new_id

BREAK_GLASS = "break_glass"
LATER_REVIEW = "later_review"


def break_glass(
    tx: Transaction, request_id: str, given: Answer, *, access: Access, next_task: str | None
) -> GateRequest:
    """
    Approve a request alone; return it as it is then.

    :raises InputError: it is closed, shows something else by now, has no reason, or the person has voted on it.
    :raises NotAuthorised: the person is barred from approving it, or their last break-glass was not reviewed yet.
    """
    row, request = lock_request(tx, request_id)
    if request.state != GateState.OPEN.value:
        raise InputError(f"the gate is {request.state} for this case already; nothing was changed")
    if given.seen_digest != request.seen_digest:
        raise InputError("what you saw is no longer what would be sent: look at it again")
    if not (given.reason or "").strip():
        raise InputError("breaking the glass needs a reason: say why nobody else could decide")
    demand_content(request)
    electorate = electorate_of(tx.connection, tx.at, request, access)
    if (done := electorate.barred.reason(given.person)) is not None:
        raise NotAuthorised(f"{given.person.id!r} {done} and may not approve it, not by breaking the glass either")
    if any(ballot.person == given.person.id for ballot in votes_on(tx.connection, request_id)):
        raise InputError(f"{given.person.id!r} has voted on this already; another must break the glass")
    tx.take_turns(f"{BREAK_GLASS}:{given.person.id}")
    if pending := _unreviewed(tx.connection, row.environment, person=given.person.id):
        raise NotAuthorised(
            f"{given.person.id!r} broke the glass for {pending[0].business_key!r}, and nobody has reviewed that "
            "yet; somebody who may vote there does: airflow interlock review confirm"
        )
    ballot = _ballot(tx, request, given, BREAK_GLASS)
    tx.insert(vote, [ballot], kind="gate.glass_broken", facts=lambda r: {"way": r["way"], "gate": request.gate})
    charge_vote(tx, request, company=company_of(tx, row.environment))
    carry_out(tx, row, request, GateState.APPROVED, given.reason, next_task)
    return request


def confirm(tx: Transaction, request_id: str, given: Answer, *, access: Access) -> None:
    """
    Record what somebody who may vote at the gate says, later, to a case that was signed off by breaking the glass.

    :raises InputError: there is nothing to review, it shows something else, or a no has no reason.
    :raises NotAuthorised: the person may not vote there, or broke the glass.
    """
    row, request = lock_request(tx, request_id)
    cast = votes_on(tx.connection, request_id)
    broke = next((ballot for ballot in cast if ballot.way == BREAK_GLASS), None)
    if broke is None or any(ballot.way == LATER_REVIEW for ballot in cast):
        raise InputError("there is no break-glass to review here")
    if given.answer == "reject" and not (given.reason or "").strip():
        raise InputError("a rejection needs a reason: say why")
    if given.seen_digest != request.seen_digest:
        raise InputError("this is not what was signed off: look at it again")
    electorate = electorate_of(tx.connection, tx.at, request, access)
    stages = electorate.stages
    eligible = any(electorate.givers(given.person, stage) for stage in stages)
    if broke.person == given.person.id or not eligible:
        raise NotAuthorised(f"{given.person.id!r} may not review this; who may: {electorate.describe(stages)}")
    if electorate.barred.reason(given.person) is not None or any(b.person == given.person.id for b in cast):
        raise NotAuthorised(f"{given.person.id!r} had a part in it, and another must review it")
    tx.insert(
        vote,
        [_ballot(tx, request, given, LATER_REVIEW)],
        kind="gate.glass_reviewed",
        facts=lambda r: {"answer": r["answer"], "way": r["way"]},
    )
    charge_vote(tx, request, company=company_of(tx, row.environment))


@dataclass(frozen=True, kw_only=True)
class Unreviewed:
    """A case that was signed off by breaking the glass, and that nobody reviewed yet."""

    request_id: str
    person: str
    reason: str | None
    created_at: datetime
    business_key: str
    workflow: str
    gate: str
    seen_digest: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {**asdict(self), "created_at": self.created_at.isoformat()}


def broken_request(connection: Connection, case_id: str) -> str | None:
    """Return the request that was approved last by breaking the glass for a case; None: nobody did."""
    broken = select(vote.c.request_id).where(vote.c.case_id == case_id, vote.c.way == BREAK_GLASS)
    return connection.execute(broken.order_by(vote.c.created_at.desc())).scalars().first()


def unreviewed(ledger: Ledger, *, among: ColumnElement[bool] | None = None) -> list[Unreviewed]:
    """
    Return the cases that were signed off by breaking the glass and that nobody reviewed, the oldest first.

    :param among: cases that may be shown. Default: all.
    """
    with ledger.read() as connection:
        return _unreviewed(connection, ledger.environment, among=among)


def _unreviewed(
    connection: Connection,
    environment: str,
    *,
    person: str | None = None,
    among: ColumnElement[bool] | None = None,
) -> list[Unreviewed]:
    reviewed = select(vote.c.request_id).where(vote.c.way == LATER_REVIEW)
    query = (
        select(
            vote.c.request_id,
            vote.c.person,
            vote.c.reason,
            vote.c.created_at,
            case.c.business_key,
            case.c.workflow,
            gate_request.c.gate,
            gate_request.c.seen_digest,
        )
        .join(case, case.c.id == vote.c.case_id)
        .join(gate_request, gate_request.c.id == vote.c.request_id)
        .where(vote.c.way == BREAK_GLASS, case.c.environment == environment, vote.c.request_id.not_in(reviewed))
    )
    if person is not None:
        query = query.where(vote.c.person == person)
    if among is not None:
        query = query.where(among)
    return [Unreviewed(**row._mapping) for row in connection.execute(query.order_by(vote.c.created_at))]


def _ballot(tx: Transaction, request: GateRequest, given: Answer, way: str) -> Vote:
    return Vote(
        id=new_id(),
        request_id=request.id,
        case_id=request.case_id,
        person=given.person.id,
        answer=given.answer,
        reason=given.reason,
        seen_digest=given.seen_digest,
        edited_digest=None,
        way=way,
        created_at=tx.at,
        person_name=given.person.name or given.person.id,
        roles=list(given.person.roles),
        stage_order=None,
        on_behalf_of=None,
    )
