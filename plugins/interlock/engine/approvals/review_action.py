"""
What people do to cases: vote, edit, ask for review, close.

Every act comes in through the authenticated API, which says who *person* is; nobody can choose it. Each is one
transaction on the case's own chain, so an act and a running task never both win: whoever comes second finds the case
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlock.domain.approvals.access import Identity
from interlock.domain.approvals.approval import Progress
from interlock.domain.approvals.eligibility import Electorate
from interlock.domain.approvals.request_state import GateState
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import check_payload, contract_digest
from interlock.domain.base.redaction import mask
from interlock.domain.cases.case import UNSENT, CaseState
from interlock.domain.routing.routing import Decision, Router
from interlock.engine.approvals.gate import action_after, ask_for, unwritten_of
from interlock.engine.policy.bundle import check_contract, load_contracts
from interlock.engine.routing.rule_input import variables
from interlock.engine.routing.validation import told
from interlock.errors import ConfigurationError, InputError, NotAuthorised
from interlock.ledger.approvals.gate import (
    Answer,
    cast_vote,
    demand_content,
    electorate_of,
    is_open_at,
    open_for_cases,
    open_requests,
    stages_of,
    void_requests,
    votes_on,
)
from interlock.ledger.cases.case import find_case, load_files, lock_case, move, open_children
from interlock.ledger.cases.handoff import Made, Maker, load_handoffs, write_handoffs
from interlock.ledger.effects.authorisation import withdraw
from interlock.ledger.effects.effect import is_under_way
from interlock.ledger.policy.company import company_at
from interlock.ledger.routing.decision import DecisionEntry, record_decisions
from interlock.ledger.runs.run import WorkflowRun, load_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case, CaseChange, GateRequest
from interlock.ledger.store.transaction import Actor, Transaction, new_id


def see(ledger: Ledger, name: str, *, person: Identity | None = None) -> dict[str, Any]:
    """
    Return what people are asked about the case *name*, with the digest that a vote is bound to.

    :param person: who looks: then ``refused`` says why they can neither approve nor reject, and ``barred_from`` why
        they can only reject; empty when they can.
    :raises UnknownName: there is no such case.
    :raises InputError: nobody is asked about it.
    """
    with ledger.read() as connection:
        row = find_case(connection, ledger, name)
        asked = open_for_cases(connection, [row.id])
        if not asked:
            raise InputError(f"case {row.business_key!r} is {row.state!r}: nobody is asked about it")
        request = asked[0]
        run = load_run(connection, request.run_id)
        file = load_files(connection, [row])[0]
        ask, seen = ask_for(connection, file, run=run, task_id=request.task)
        votes = votes_on(connection, request.id)
        electorate = electorate_of(connection, ledger.clock(), request, company_at(connection, ledger).access)
        now = electorate.progress(votes)
        refused = _refusal(electorate, now, person, approves=False)
        barred_from = "" if refused else _refusal(electorate, now, person, approves=True, request=request)
        drafts = load_handoffs(connection, [row.draft_id] if row.draft_id else [])
    return {
        "case_id": row.id,
        "business_key": row.business_key,
        "workflow": row.workflow,
        "route": row.route,
        "why": row.reason or "",
        "gate": request.gate,
        "voters": request.voters,
        "votes_needed": request.votes_needed,
        "stages": [stage.model_dump(mode="json") for stage in stages_of(request)],
        "asks_now": electorate.describe(now.asked),
        "lacking": [{"stage": stage.name, "votes": number} for stage, number in now.missing],
        "refused": refused,
        "barred_from": barred_from,
        "opened_at": request.opened_at.isoformat(),
        "digest": ask.seen_digest,
        "draft_contract": next((d.contract for d in drafts.values()), seen.unwritten or None),
        "unwritten": seen.unwritten,
        "draft_schema": run.version.bundle.contracts[seen.unwritten]["schema"] if seen.unwritten else None,
        "run": {"id": run.id, "dag_id": run.dag_id, "run_id": run.run_id, "task": request.task},
        **seen.to_json(),
    }


def _refusal(
    electorate: Electorate,
    now: Progress,
    person: Identity | None,
    *,
    approves: bool,
    request: GateRequest | None = None,
) -> str:
    if person is None:
        return ""
    try:
        electorate.admit(person, now, approves=approves)
        if request is not None:
            demand_content(request)
    except (NotAuthorised, InputError) as error:
        return str(error)
    return ""


def vote(
    ledger: Ledger, name: str, *, person: Identity, answer: str, seen_digest: str, reason: str | None = None
) -> dict[str, Any]:
    """
    Record *person*'s vote on the case *name*; return what came of it and whether its gate is done.

    :raises InputError: it is too late, something else would be sent by now, or a rejection has no reason.
    :raises NotAuthorised: the person may not vote here.
    """
    if answer not in ("approve", "reject"):
        raise InputError(f"a vote is 'approve' or 'reject', not {answer!r}")
    with on_case(ledger, name, person.id) as (tx, row):
        asked = open_for_cases(tx.connection, [row.id])
        if not asked:
            raise InputError(f"case {row.business_key!r} is {row.state!r}: there is nothing to decide on it now")
        run = load_run(tx.connection, asked[0].run_id)
        _, next_task = action_after(run.wiring, asked[0].task, row.route)
        given = Answer(
            person=person,
            answer="approve" if answer == "approve" else "reject",
            seen_digest=seen_digest,
            way="api",
            reason=reason,
        )
        now = cast_vote(tx, asked[0].id, given, access=company_at(tx.connection, ledger).access, next_task=next_task)
        lacking = [{"stage": stage.name, "votes": votes} for stage, votes in now.missing]
        return {
            "case": row.business_key,
            "state": now.state.value,
            "lacking": lacking,
            **_gate_left(tx, run, asked[0]),
        }


def edit(
    ledger: Ledger, name: str, *, person: Identity, changes: Mapping[str, Any], seen_digest: str, include: Path
) -> dict[str, Any]:
    """
    Change the draft of the case *name* under its contract, or write it where a role failed, and ask again about it.

    Earlier votes are void. The policy's checks are run again: one that stops refuses the edit, and so does one that
    holds numbers against facts; others are returned as warnings, because people decide at this gate.

    :raises ContractViolation: the changed draft does not satisfy its contract.
    """
    with on_case(ledger, name, person.id) as (tx, row):
        asked = open_for_cases(tx.connection, [row.id])
        if not asked:
            raise InputError(f"case {row.business_key!r} is {row.state!r} and has no draft to edit at a gate")
        request = asked[0]
        electorate = electorate_of(tx.connection, tx.at, request, company_at(tx.connection, ledger).access)
        electorate.admit(person, electorate.progress(votes_on(tx.connection, request.id)), approves=False)
        if request.seen_digest != seen_digest:
            raise InputError("the draft changed since you saw it: look at it again, then edit")
        run = load_run(tx.connection, request.run_id)
        file = load_files(tx.connection, [row])[0]
        drafts = load_handoffs(tx.connection, [row.draft_id] if row.draft_id else [])
        named = next((draft.contract_name for draft in drafts.values()), "")
        named = named or unwritten_of(file, run.wiring, request.task)
        if not named:
            raise InputError(f"case {row.business_key!r} has no draft to edit: at this gate the case itself is decided")
        contract = load_contracts(include, run.workflow, [named])[named]
        check_contract(run.version.bundle, contract)
        before = dict(file.context.get(named, {}))
        payload = check_payload(contract, {**before, **changes}).model_dump(mode="json")
        changed = replace(file, context={**file.context, named: payload})
        failed = Router.of(run.version.bundle).failed_checks(variables(changed, run.version.bundle))
        if any(check.refuses_edits for check, _ in failed):
            raise InputError("this must not be sent: " + "; ".join(told(c, e) for c, e in failed if c.refuses_edits))
        maker = Maker(
            task=request.task,
            agent=f"person:{person.id}",
            agent_digest=digest([person.id, row.draft_id, new_id()]),
            contract=contract.contract_ref(),
            contract_name=contract.__name__,
            contract_digest=contract_digest(contract),
        )
        made = Made(
            file=file,
            input_digest=next((draft.payload_digest for draft in drafts.values()), row.payload_digest),
            payload=payload,
            confidence=None,
            provenance={"edited": sorted(key for key in payload if payload[key] != before.get(key))},
        )
        written = write_handoffs(tx, run, maker, [made])[row.id]
        context = {**row.context, contract.__name__: written.id}
        moved = move(tx, [(row, CaseChange(context=context, draft_id=written.id))], kind="draft.edited")[0]
        ask_again(tx, run, moved, request.task)
        return {"case": row.business_key, "state": GateState.OPEN.value, "warnings": [told(c, e) for c, e in failed]}


def request_review(ledger: Ledger, name: str, *, person: str, reason: str) -> dict[str, Any]:
    """
    Pull the case *name*, which was not sent yet, back to people; an authorisation that it has is withdrawn.

    :raises InputError: it was sent, or is being sent at this moment, or people are asked already.
    """
    with on_case(ledger, name, person) as (tx, row):
        state = CaseState(row.state)
        if state not in UNSENT:
            raise InputError(f"case {row.business_key!r} is {state.value!r}: it is too late to ask people first")
        if is_under_way(tx, row.id):
            raise InputError(
                f"case {row.business_key!r} is being sent at this moment, and whether it arrived is not known yet"
            )
        if state is CaseState.WAITING:
            raise InputError(f"case {row.business_key!r} waits for people already")
        why = f"asked for by {person}: {mask(reason)}" if reason else f"asked for by {person}"
        if state is not CaseState.AUTHORISED:
            move(tx, [(row, CaseChange(review_asked_by=person, reason=why))], kind="review.asked")
            return {"case": row.business_key, "state": state.value, "note": "it goes to people after validation"}
        if row.run_id is None:
            raise InputError(f"case {row.business_key!r} belongs to no run now; resume its workflow first")
        run = load_run(tx.connection, row.run_id)
        gate = run.version.bundle.policy.gate_for("review")
        task = run.wiring.gate_task(gate) if gate else None
        if task is None:
            raise ConfigurationError(
                f"workflow {run.workflow!r} has no gate for route 'review' where people could decide"
            )
        withdraw(tx, row.id)
        decision_id = decide(tx, run, row, task.task_id, person, why)
        change = CaseChange(
            state=CaseState.WAITING,
            route="review",
            task=task.task_id,
            reason=why,
            review_asked_by=person,
            decision_id=decision_id,
        )
        moved = move(tx, [(row, change)], kind="review.asked")[0]
        ask_again(tx, run, moved, task.task_id)
        return {"case": row.business_key, "state": CaseState.WAITING.value}


def close(ledger: Ledger, name: str, *, person: str, reason: str) -> dict[str, Any]:
    """
    End the case *name* without sending anything (more).

    :raises InputError: there is no reason, a run has it at this moment, or it has open child cases.
    """
    if not reason.strip():
        raise InputError("closing a case needs a reason: say why")
    with on_case(ledger, name, person) as (tx, row):
        state = CaseState(row.state)
        if state in (CaseState.OPEN, CaseState.ROUTED, CaseState.AUTHORISED, CaseState.CLOSED):
            raise InputError(f"case {row.business_key!r} is {state.value!r} and cannot be closed; ask for review first")
        if still_open := open_children(tx.connection, row.id):
            raise InputError(f"case {row.business_key!r} has open child cases: {', '.join(still_open[:5])}")
        asked = open_for_cases(tx.connection, [row.id])
        void_requests(tx, row.id)
        move(tx, [(row, CaseChange(state=CaseState.CLOSED, task=None, reason=reason))], kind="case.closed")
        left = _gate_left(tx, load_run(tx.connection, asked[0].run_id), asked[0]) if asked else {}
        return {"case": row.business_key, "state": CaseState.CLOSED.value, **left}


class on_case:
    """A write transaction by a person on one case, with its row locked."""

    def __init__(self, ledger: Ledger, name: str, person: str) -> None:
        with ledger.read() as connection:
            self._id = find_case(connection, ledger, name).id
        self._write = ledger.write(actor=Actor("person", person), chain=f"case:{self._id}")

    def __enter__(self) -> tuple[Transaction, Case]:
        tx = self._write.__enter__()
        return tx, lock_case(tx, self._id)

    def __exit__(self, *problem: Any) -> None:
        self._write.__exit__(*problem)


def ask_again(tx: Transaction, run: WorkflowRun, row: Case, task_id: str) -> None:
    """Ask people about a case as it is now; what they were asked before is void."""
    file = load_files(tx.connection, [row])[0]
    ask, _ = ask_for(tx.connection, file, run=run, task_id=task_id)
    open_requests(tx, run, [ask])


def _gate_left(tx: Transaction, run: WorkflowRun, request: GateRequest) -> dict[str, Any]:
    place = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": request.task}
    return {"gate": place, "gate_is_done": not is_open_at(tx.connection, run, request.task)}


def decide(
    tx: Transaction, run: WorkflowRun, row: Case, task: str, person: str, why: str, *, route: str = "review"
) -> str:
    """Record a person's decision that a case takes *route*, and return its id."""
    (file,) = load_files(tx.connection, [row], contracts=[])
    made = DecisionEntry(file, Decision(rule=why[:300], route=route, inputs={}), decided_by=f"person:{person}")
    return record_decisions(tx, run, task, [made])[file.id]
