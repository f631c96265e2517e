"""
Requests at gates and the votes on them.

A request is bound to the digest of what the voter sees. When that changes, the request is void and another takes its
place, so that no vote ever counts for something its voter did not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, select

from interlock.domain.approvals.access import Access, Barred, Identity
from interlock.domain.approvals.approval import Progress, Stage
from interlock.domain.approvals.eligibility import Electorate
from interlock.domain.approvals.request_state import GateState
from interlock.domain.cases.case import CaseState
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.approvals.delegation import stand_ins
from interlock.ledger.cases.case import lock_case, move
from interlock.ledger.cost.usage_row import charge_vote
from interlock.ledger.effects.authorisation import authorise
from interlock.ledger.policy.company import company_of
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import Case, CaseChange, GateListing, GateRequest, Vote
from interlock.ledger.store.schema import case, gate_listing, gate_request, vote
from interlock.ledger.store.transaction import Transaction, new_id

NOTHING = ""
"""Stands for the digest of what would be sent where there is nothing to send: such a request cannot be approved."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What people are asked about one case."""

    case: Case
    gate: str
    task: str
    action: str
    payload_digest: str
    """Of exactly what is sent; :data:`NOTHING` where it is not written yet."""
    seen_digest: str
    stages: tuple[Stage, ...]
    voters: tuple[str, ...]
    """Ids of those who may vote at some stage, as far as they are known; membership is asked again at every vote."""
    barred: Mapping[str, str]
    """Who may not approve, by id or login name, and what they did."""
    version_id: str


@dataclass(frozen=True, kw_only=True)
class OpenRequest(GateRequest):
    """A request that nobody decided, with what its case says of itself."""

    business_key: str
    workflow: str
    route: str | None
    why: str | None


def open_requests(tx: Transaction, run: WorkflowRun, asks: Sequence[Ask]) -> None:
    """Open a request for each of *asks*; one that is open already for the same digest stays, another becomes void."""
    existing = {row.case_id: row for row in open_for_cases(tx.connection, [a.case.id for a in asks])}
    void: list[GateRequest] = []
    fresh: list[GateRequest] = []
    for ask in asks:
        old = existing.get(ask.case.id)
        if old is not None and old.seen_digest == ask.seen_digest and old.gate == ask.gate:
            if old.run_id != run.id:
                tx.update(gate_request, [replace(old, run_id=run.id, task=ask.task)], kind="gate.carried_on")
            continue
        if old is not None:
            void.append(replace(old, state=GateState.VOID.value, decided_at=tx.at))
        fresh.append(
            GateRequest(
                id=new_id(),
                case_id=ask.case.id,
                gate=ask.gate,
                run_id=run.id,
                task=ask.task,
                action=ask.action,
                payload_digest=ask.payload_digest,
                seen_digest=ask.seen_digest,
                votes_needed=sum(stage.votes for stage in ask.stages),
                voters=list(ask.voters),
                stages=[stage.model_dump(mode="json") for stage in ask.stages],
                barred=dict(ask.barred),
                version_id=ask.version_id,
                state=GateState.OPEN.value,
                opened_at=tx.at,
                revision=1,
            )
        )
    tx.update(gate_request, void, kind="gate.void", facts=_facts)
    tx.insert(gate_request, fresh, kind="gate.asked", facts=_facts)


def open_for_cases(connection: Connection, case_ids: Sequence[str]) -> list[GateRequest]:
    """Return the open requests of the cases."""
    found: list[GateRequest] = []
    for group in in_groups(list(case_ids), 400):
        rows = connection.execute(
            select(gate_request).where(gate_request.c.case_id.in_(group), gate_request.c.state == GateState.OPEN.value)
        )
        found += GateRequest.all_of(rows)
    return found


def open_at(connection: Connection, run: WorkflowRun, task: str) -> list[GateRequest]:
    """Return the open requests of *run* at its gate *task*, in the order of their cases."""
    rows = connection.execute(
        select(gate_request)
        .where(
            gate_request.c.run_id == run.id, gate_request.c.task == task, gate_request.c.state == GateState.OPEN.value
        )
        .order_by(gate_request.c.case_id)
    )
    return GateRequest.all_of(rows)


def is_open_at(connection: Connection, run: WorkflowRun, task: str) -> bool:
    """Tell whether people are still asked about a case of *run* at its gate *task*."""
    open_ = select(gate_request.c.id).where(
        gate_request.c.run_id == run.id, gate_request.c.task == task, gate_request.c.state == GateState.OPEN.value
    )
    return connection.execute(open_.limit(1)).first() is not None


def open_requests_of(
    ledger: Ledger, *, workflow: str | None = None, among: ColumnElement[bool] | None = None, limit: int = 500
) -> list[OpenRequest]:
    """Return the open requests of the environment, the oldest first; *among*: of these cases only."""
    query = (
        select(gate_request, case.c.business_key, case.c.workflow, case.c.route, case.c.reason.label("why"))
        .join(case, case.c.id == gate_request.c.case_id)
        .where(case.c.environment == ledger.environment, gate_request.c.state == GateState.OPEN.value)
    )
    if workflow:
        query = query.where(case.c.workflow == workflow)
    if among is not None:
        query = query.where(among)
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(gate_request.c.opened_at, gate_request.c.case_id).limit(limit))
        return OpenRequest.all_of(rows)


def approvals_of(connection: Connection, case_ids: Sequence[str]) -> dict[str, GateRequest]:
    """Return the last request of each of the cases that was approved, by case."""
    found: dict[str, GateRequest] = {}
    for group in in_groups(list(case_ids), 400):
        rows = connection.execute(
            select(gate_request)
            .where(gate_request.c.case_id.in_(group), gate_request.c.state == GateState.APPROVED.value)
            .order_by(gate_request.c.decided_at)
        )
        found |= {row.case_id: GateRequest.of(row) for row in rows}
    return found


def votes_on(connection: Connection, request_id: str) -> list[Vote]:
    """Return the votes on a request, the first first."""
    rows = connection.execute(select(vote).where(vote.c.request_id == request_id).order_by(vote.c.created_at))
    return Vote.all_of(rows)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One person's answer to a request."""

    person: Identity
    answer: Literal["approve", "reject"]
    seen_digest: str
    """Of what the person saw."""
    way: str
    """How it came in: ``api``, ``required_actions``."""
    reason: str | None = None


def cast_vote(tx: Transaction, request_id: str, given: Answer, *, access: Access, next_task: str | None) -> Progress:
    """
    Record a vote and carry it out when it decides; return how the request stands then.

    Who may vote is asked of *access* as it is in force now, for this vote and again for the earlier ones: the approval
    of somebody who left the group since does not count.

    :param next_task: where an approved case goes.
    :raises InputError: the request is closed, shows something else by now, or has nothing that could be approved.
    :raises NotAuthorised: the person may not vote here, did what they would sign off, or voted otherwise before.
    """
    row, request = lock_request(tx, request_id)
    if request.state != GateState.OPEN.value:
        raise InputError(f"the gate is {request.state} for this case already; nothing was changed")
    if given.seen_digest != request.seen_digest:
        raise InputError("what you saw is no longer what would be sent: look at it again, then vote")
    if given.answer == "reject" and not (given.reason or "").strip():
        raise InputError("a rejection needs a reason: say why")
    if given.answer == "approve":
        demand_content(request)
    earlier = votes_on(tx.connection, request_id)
    electorate = electorate_of(tx.connection, tx.at, request, access)
    before = electorate.progress(earlier)
    mine = next((ballot for ballot in earlier if ballot.person == given.person.id), None)
    if mine is not None and mine.answer == given.answer:
        return before
    if mine is not None:
        raise NotAuthorised(f"{given.person.id!r} has voted {mine.answer!r} on this already; a vote is not changed")
    giver = electorate.admit(given.person, before, approves=given.answer == "approve")
    ballot = Vote(
        id=new_id(),
        request_id=request_id,
        case_id=request.case_id,
        person=given.person.id,
        answer=given.answer,
        reason=given.reason,
        seen_digest=given.seen_digest,
        way=given.way,
        created_at=tx.at,
        edited_digest=None,
        person_name=given.person.name or given.person.id,
        roles=list(given.person.roles),
        stage_order=before.order,
        on_behalf_of=giver,
    )
    facts = {"answer": given.answer, "way": given.way, "order": before.order, "on_behalf_of": giver}
    tx.insert(vote, [ballot], kind="gate.vote", facts=lambda r: facts)
    charge_vote(tx, request, company=company_of(tx, row.environment))
    after = electorate.progress([*earlier, ballot])
    if after.state is not GateState.OPEN:
        carry_out(tx, row, request, after.state, given.reason, next_task)
    return after


def demand_content(request: GateRequest) -> None:
    """
    Let a request be approved.

    :raises InputError: there is nothing to send.
    """
    if request.payload_digest == NOTHING:
        raise InputError(
            "there is nothing to send for the case yet, because the role that drafts failed: write it (edit the case "
            "at its gate), and another of the voters approves that; or reject it"
        )


def lock_request(tx: Transaction, request_id: str) -> tuple[Case, GateRequest]:
    """
    Return the case and the request, both locked: the case first, as all that people do, or two would wait for each
    other.
    """
    asked = gate_request.c.id == request_id
    case_id = tx.connection.execute(select(gate_request.c.case_id).where(asked)).scalar_one()
    return lock_case(tx, case_id), GateRequest.of(
        tx.connection.execute(select(gate_request).where(asked).with_for_update()).one()
    )


def electorate_of(connection: Connection, at: datetime, request: GateRequest, access: Access) -> Electorate:
    """Return who may vote on *request* at an instant, stand-ins included."""
    workflow = connection.execute(select(case.c.workflow).where(case.c.id == request.case_id)).scalar_one()
    return Electorate(
        gate=request.gate,
        stages=stages_of(request),
        access=access,
        barred=Barred(dict(request.barred or {})),
        stand_ins=stand_ins(connection, at, workflow=workflow, case_id=request.case_id),
    )


def stages_of(request: GateRequest) -> tuple[Stage, ...]:
    """Return the stages of a request; one from before there were stages asks the voters that it names."""
    if request.stages is None:
        return (Stage(name=request.gate, people=tuple(request.voters), votes=request.votes_needed),)
    return tuple(Stage.model_validate(stage) for stage in request.stages)


def carry_out(
    tx: Transaction, row: Case, request: GateRequest, state: GateState, reason: str | None, next_task: str | None
) -> None:
    """Record what a request came to, and move its case: authorised for exactly what was seen, or rejected."""
    tx.update(
        gate_request, [replace(request, state=state.value, decided_at=tx.at)], kind=f"gate.{state.value}", facts=_facts
    )
    if row.state != CaseState.WAITING:
        raise InputError(f"the case is {row.state!r} and waits for nobody; nothing was changed")
    if state is GateState.REJECTED:
        move(tx, [(row, CaseChange(state=CaseState.REJECTED, task=None, reason=reason))], kind="case.rejected")
        return
    demand_content(request)
    authorise(
        tx,
        [(row.id, request.payload_digest, f"gate_request:{request.id}")],
        action=request.action,
        version_id=request.version_id,
    )
    move(tx, [(row, CaseChange(state=CaseState.AUTHORISED, task=next_task))], kind="case.authorised")


def void_requests(tx: Transaction, case_id: str) -> None:
    """Void the open requests of a case, because what they ask about changed."""
    rows = open_for_cases(tx.connection, [case_id])
    tx.update(
        gate_request,
        [replace(row, state=GateState.VOID.value, decided_at=tx.at) for row in rows],
        kind="gate.void",
        facts=_facts,
    )


def listing_of(connection: Connection, run: WorkflowRun, task: str) -> GateListing | None:
    """Return what Airflow's own request of this gate lists, and until when it waits; None before it was shown."""
    row = connection.execute(
        select(gate_listing).where(gate_listing.c.run_id == run.id, gate_listing.c.task == task)
    ).first()
    return None if row is None else GateListing.of(row)


def write_listing(
    tx: Transaction, run: WorkflowRun, task: str, listed: Mapping[str, str], release_at: datetime
) -> None:
    """
    Keep what Airflow's request lists: request id to the digest that is shown.

    Written once for a gate of a run, because on Airflow 3.3 the text of a request is never refreshed.
    """
    row = GateListing(
        id=new_id(),
        run_id=run.id,
        task=task,
        listed=dict(listed),
        release_at=release_at,
        created_at=tx.at,
    )
    tx.insert(gate_listing, [row], kind="gate.listed", facts=lambda r: {"cases": len(r["listed"])})


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"gate": row["gate"], "state": row["state"], "case": row["case_id"]}


def decided_at(connection: Connection, run: WorkflowRun, task: str) -> dict[str, int]:
    """Return how many requests of *run* at its gate *task* were approved and rejected."""
    rows = connection.execute(
        select(gate_request.c.state, func.count())
        .where(gate_request.c.run_id == run.id, gate_request.c.task == task)
        .group_by(gate_request.c.state)
    )
    return {row[0]: row[1] for row in rows if row[0] in (GateState.APPROVED.value, GateState.REJECTED.value)}
