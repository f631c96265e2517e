"""Breaking the glass at a gate, and the review that must follow it."""

from __future__ import annotations

from typing import Any

from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.gate import action_after
from interlock.engine.approvals.review_action import on_case
from interlock.errors import InputError
from interlock.ledger.approvals import break_glass as glass
from interlock.ledger.approvals.gate import Answer, electorate_of, open_for_cases
from interlock.ledger.incidents.notice import write_notice
from interlock.ledger.policy.company import company_at
from interlock.ledger.runs.run import load_run
from interlock.ledger.store.ledger import Ledger


def break_glass(ledger: Ledger, name: str, *, person: Identity, reason: str, seen_digest: str) -> dict[str, Any]:
    """
    Sign the case *name* off alone; those who should have are told, and one of them must review it.

    :raises InputError: nobody is asked about it, it shows something else, or there is no reason.
    :raises NotAuthorised: *person* is barred from it, or has a break-glass that nobody reviewed.
    """
    with on_case(ledger, name, person.id) as (tx, row):
        asked = open_for_cases(tx.connection, [row.id])
        if not asked:
            raise InputError(f"case {row.business_key!r} is {row.state!r}: no gate waits for it")
        run, access = load_run(tx.connection, asked[0].run_id), company_at(tx.connection, ledger).access
        _, next_task = action_after(run.wiring, asked[0].task, row.route)
        given = Answer(person=person, answer="approve", seen_digest=seen_digest, way=glass.BREAK_GLASS, reason=reason)
        request = glass.break_glass(tx, asked[0].id, given, access=access, next_task=next_task)
        voters = electorate_of(tx.connection, tx.at, request, access).voters()
        contacts = [contact.email for contact in run.version.bundle.settings.approver.escalation]
        write_notice(
            tx,
            environment=ledger.environment,
            workflow=run.workflow,
            kind="glass",
            recipients=[*voters, *contacts],
            subject=f"{run.workflow}: the glass was broken at gate {request.gate}",
            body=f"{person.id} signed a case of {run.workflow} off at gate {request.gate} alone. One of you must "
            "review it: airflow interlock review unreviewed",
        )
        return {
            "case": row.business_key,
            "state": "approved",
            "note": "it must be reviewed later by one who may vote",
        }


def confirm(
    ledger: Ledger, name: str, *, person: Identity, answer: str, reason: str | None, seen_digest: str
) -> dict[str, Any]:
    """
    Review a break-glass on the case *name*: agree, or say what was wrong. What was sent is not undone by it.

    :raises InputError: there is none to review, it shows something else, or a no has no reason.
    :raises NotAuthorised: *person* may not vote at that gate, or had a part in it.
    """
    if answer not in ("approve", "reject"):
        raise InputError(f"a review says 'approve' or 'reject', not {answer!r}")
    with on_case(ledger, name, person.id) as (tx, row):
        request_id = glass.broken_request(tx.connection, row.id)
        if request_id is None:
            raise InputError(f"nobody broke the glass for case {row.business_key!r}")
        given = Answer(
            person=person,
            answer="approve" if answer == "approve" else "reject",
            seen_digest=seen_digest,
            way=glass.LATER_REVIEW,
            reason=reason,
        )
        glass.confirm(tx, request_id, given, access=company_at(tx.connection, ledger).access)
        return {"case": row.business_key, "state": str(row.state), "answer": answer}


def unreviewed(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what was signed off by breaking the glass and awaits its review, as JSON types."""
    return [row.to_json() for row in glass.unreviewed(ledger)]
