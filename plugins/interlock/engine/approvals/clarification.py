"""
Talk around a gate: asking back, answering, and handing a case over to another who may decide it.

None of it is a vote, and the question that people are asked stays as it is. What was said is a decision's text (which
erasing a person blanks), stands in the queue as the case's reason, and is told to whom it is for.
"""

from __future__ import annotations

from typing import Any

from interlock.domain.approvals.access import Identity
from interlock.domain.base.redaction import mask
from interlock.engine.approvals.review_action import decide, on_case
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.approvals.gate import electorate_of, open_for_cases, votes_on
from interlock.ledger.cases.case import move
from interlock.ledger.incidents.notice import write_notice
from interlock.ledger.policy.company import company_at
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case, CaseChange, GateRequest
from interlock.ledger.store.transaction import Transaction

LONGEST = 250
"""Characters of what is said."""


def ask_back(ledger: Ledger, name: str, *, person: Identity, text: str) -> dict[str, Any]:
    """
    Ask the owner of the case *name* something before deciding; it goes on waiting.

    :raises InputError: nobody is asked about the case, or *text* is empty or too long.
    :raises NotAuthorised: *person* may not vote on it now.
    """
    with on_case(ledger, name, person.id) as (tx, row):
        request = _asked(tx, ledger, row, person)
        owner = str(row.owner or "")
        access = company_at(tx.connection, ledger).access
        to = access.members([owner]) or ((owner,) if owner else ())
        return _say(tx, ledger, row, request, person, f"{person.id} asks: {_checked(text)}", to, kind="gate.asked_back")


def reply(ledger: Ledger, name: str, *, person: Identity, text: str) -> dict[str, Any]:
    """
    Answer what was asked back about the case *name*; those who may vote are told.

    :raises InputError: nobody is asked about the case, or *text* is empty or too long.
    """
    with on_case(ledger, name, person.id) as (tx, row):
        request = _asked(tx, ledger, row, None)
        voters = tuple(voter for voter in request.voters if voter != person.id)
        return _say(
            tx, ledger, row, request, person, f"{person.id} says: {_checked(text)}", voters, kind="gate.answered"
        )


def hand_over(ledger: Ledger, name: str, *, person: Identity, to: str, text: str) -> dict[str, Any]:
    """
    Hand the case *name* over to another who may vote on it. Whoever else may vote still may.

    :raises InputError: nobody is asked about the case, or *text* is empty or too long.
    :raises NotAuthorised: *person* or *to* may not vote on it now; a right is given by delegating.
    """
    with on_case(ledger, name, person.id) as (tx, row):
        request = _asked(tx, ledger, row, person)
        _asked(tx, ledger, row, Identity(to), approves=True)
        message = f"{person.id} hands over to {to}: {_checked(text)}"
        return _say(tx, ledger, row, request, person, message, (to,), kind="gate.handed_over")


def _asked(
    tx: Transaction, ledger: Ledger, row: Case, person: Identity | None, *, approves: bool = False
) -> GateRequest:
    asked = open_for_cases(tx.connection, [row.id])
    if not asked:
        raise InputError(f"case {row.business_key!r} is {row.state!r}: nobody is asked about it")
    if person is not None:
        electorate = electorate_of(tx.connection, tx.at, asked[0], company_at(tx.connection, ledger).access)
        now = electorate.progress(votes_on(tx.connection, asked[0].id))
        try:
            electorate.admit(person, now, approves=approves)
        except NotAuthorised as error:
            raise NotAuthorised(f"{error}. To give somebody the right: airflow interlock review delegate") from None
    return asked[0]


def _checked(text: str) -> str:
    message = " ".join(text.split())
    if not 0 < len(message) <= LONGEST:
        raise InputError(f"say something, in {LONGEST} characters at most; this has {len(message)}")
    return mask(message)


def _say(
    tx: Transaction,
    ledger: Ledger,
    row: Case,
    request: GateRequest,
    person: Identity,
    message: str,
    to: tuple[str, ...],
    *,
    kind: str,
) -> dict[str, Any]:
    run = load_run(tx.connection, request.run_id)
    decide(tx, run, row, request.task, person.id, message, route=str(row.route))
    move(tx, [(row, CaseChange(reason=message))], kind=kind)
    write_notice(
        tx,
        environment=ledger.environment,
        workflow=run.workflow,
        kind="exchange",
        recipients=to,
        subject=f"{run.workflow}: about a case at gate {request.gate}",
        body=f"{person.id} wrote about a case of {run.workflow} that waits at gate {request.gate}. "
        "Read it on Interlock's review page, or: airflow interlock review list",
    )
    return {"case": row.business_key, "state": row.state, "told": list(to), "said": message}
