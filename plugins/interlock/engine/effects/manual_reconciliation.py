"""
A person's word for an effect that the other system cannot tell about: whether it took place.

It is asked for where an answer was lost and nobody can look, as with mail. Nothing is sent here: an effect that surely
did not take place may be sent again once the case is resubmitted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interlock.domain.base.redaction import mask
from interlock.domain.cases.case import CaseState
from interlock.engine.approvals.review_action import on_case
from interlock.errors import InputError
from interlock.ledger.cases.case import move
from interlock.ledger.effects.effect import change_effect, lock_last_effect
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange


def reconcile(ledger: Ledger, name: str, *, person: str, took_place: bool, reason: str) -> dict[str, Any]:
    """
    Record that the effect of the case *name*, which is a dead letter, took place, or that it surely did not.

    :raises InputError: there is no reason, or no effect of the case is in doubt.
    """
    if not reason.strip():
        raise InputError("say how you know: who was asked, and what they have")
    with on_case(ledger, name, person) as (tx, row):
        in_doubt = lock_last_effect(tx, row.id, states=("intended",))
        if in_doubt is None or CaseState(row.state) is not CaseState.DEAD:
            raise InputError(f"case {row.business_key!r} is {row.state!r}: no effect of it is in doubt")
        if in_doubt.lease_until is not None and in_doubt.lease_until > tx.at:
            raise InputError(f"{in_doubt.action!r} may be at it at this moment; ask again at {in_doubt.lease_until}")
        settled = replace(in_doubt, state="unsent")
        if took_place:
            receipt = {"reference": f"person:{person}", "said": mask(reason)}
            settled = replace(in_doubt, state="committed", committed_at=tx.at, lease_until=None, receipt=receipt)
        change_effect(tx, settled, kind="effect.reconciled")
        why = f"{'took place' if took_place else 'did not take place'}, says {person}: {mask(reason)}"
        change = CaseChange(reason=why)
        if took_place:  # only an authorised case becomes executed, and this one was when it was sent
            change = replace(change, state=CaseState.AUTHORISED)
        (row,) = move(tx, [(row, change)], kind="case.reconciled")
        if took_place:
            (row,) = move(tx, [(row, CaseChange(state=CaseState.EXECUTED, task=None))], kind="case.executed")
        note = "" if took_place else "resubmit it to have it sent: airflow interlock cases resubmit"
        return {"case": row.business_key, "state": str(row.state), "effect": change.state, "note": note}
