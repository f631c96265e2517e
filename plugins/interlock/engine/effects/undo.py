"""
Undoing an effect in the other system, on a person's word, by the way that its connector declares.

Like sending it is done once and recorded around the call: asked for, then undone or refused. An answer that was lost
leaves the effect ``undoing``; the next attempt looks at the target before it asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.effects.connector import Connector, ConnectorDeclaration, EffectRequest, pick_connector
from interlock.domain.policy.company import Company
from interlock.engine.approvals.review_action import on_case
from interlock.engine.effects.metered import MeteredConnector
from interlock.errors import ConnectorUnavailable, EffectRefused, InputError
from interlock.ledger.cases.case import load_files, move
from interlock.ledger.cases.handoff import draft_of, load_handoffs
from interlock.ledger.cost.usage_row import Call, Place, charge_calls
from interlock.ledger.effects.authorisation import withdraw
from interlock.ledger.effects.effect import change_effect, lock_last_effect
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import Case, CaseChange, Effect
from interlock.ledger.store.transaction import Transaction

LEASE = timedelta(seconds=90)
"""As long as nobody else may undo the same effect; longer than a look and an undoing take at their default limits."""


def undo(
    ledger: Ledger,
    name: str,
    *,
    person: str,
    reason: str,
    open_connector: Callable[[str, ConnectorDeclaration], Connector],
) -> dict[str, Any]:
    """
    Undo the effect of the case *name*; it is a dead letter then, to be closed or resubmitted from the start.

    :param open_connector: gives the connector for a name and its declaration; it is closed here.
    :raises InputError: there is no reason, nothing was sent, or somebody undoes it at this moment.
    :raises EffectRefused: the connector cannot undo, or the other system does not: the effect stands.
    :raises ConnectorUnavailable: it is not known whether it is undone; ask again.
    """
    if not reason.strip():
        raise InputError("undoing an effect needs a reason: say why")
    company = company_in_force(ledger)
    with on_case(ledger, name, person) as (tx, row):
        sent = _sent(tx, row)
        declaration = pick_connector(company.connectors, sent.action)
        if not declaration.can_be_undone:
            raise EffectRefused(
                f"connector {sent.action!r} does not say how an effect is undone: {row.business_key!r} stands. "
                "Undo it in the other system by hand, and close the case"
            )
        user = f"connector {sent.action!r}"
        company.access.demand_connection(declaration.conn_id, user=user, environment=ledger.environment)
        (file,) = load_files(tx.connection, [row])
        payload, _ = draft_of(file, load_handoffs(tx.connection, [row.draft_id] if row.draft_id else []))
        asked_before = sent.state == "undoing"
        asked = replace(sent, state="undoing", holder=f"person:{person}", lease_until=tx.at + LEASE)
        held = change_effect(tx, asked, kind="effect.undo_asked")
        withdraw(tx, row.id)
    request = EffectRequest(
        key=held.key,
        business_key=row.business_key,
        action=held.action,
        payload=payload,
        environment=ledger.environment,
    )
    calls: list[Call] = []
    try:
        connector = MeteredConnector(open_connector(held.action, declaration), conn_id=declaration.conn_id)
        try:
            if not asked_before or connector.look(request) is not None:
                connector.undo(request)
        finally:
            calls = connector.take({held.key: row.id})
            connector.close()
    except ConnectorUnavailable:
        _settle(ledger, name, person, held, calls, company, state="undoing")
        raise
    except Exception:  # it did not take place: refused, or the connection cannot be used
        _settle(ledger, name, person, held, calls, company, state="committed")
        raise
    return _settle(ledger, name, person, held, calls, company, state="undone", reason=reason)


def _sent(tx: Transaction, row: Case) -> Effect:
    found = lock_last_effect(tx, row.id, states=("committed", "undoing"))
    if found is None or CaseState(row.state) is not CaseState.EXECUTED:
        raise InputError(f"case {row.business_key!r} is {row.state!r}: there is no effect of it to undo")
    if found.state == "undoing" and found.lease_until is not None and found.lease_until > tx.at:
        raise InputError(f"{found.holder} undoes the effect of {row.business_key!r} at this moment; ask again later")
    return found


def _settle(
    ledger: Ledger,
    name: str,
    person: str,
    held: Effect,
    calls: Sequence[Call],
    company: Company,
    *,
    state: str,
    reason: str = "",
) -> dict[str, Any]:
    with on_case(ledger, name, person) as (tx, row):
        charge_calls(tx, Place(held.run_id, held.task, held.action), calls, company=company)
        kind = {"committed": "effect.undo_refused", "undoing": "effect.undo_unknown"}.get(state, "effect.undone")
        change_effect(tx, replace(held, state=state, lease_until=tx.at), kind=kind)
        if state == "undone" and CaseState(row.state) is CaseState.EXECUTED:
            why = f"undone by {person}: {reason}"
            (row,) = move(tx, [(row, CaseChange(state=CaseState.DEAD, reason=why))], kind="case.undone")
        return {"case": row.business_key, "state": str(row.state), "effect": state, "action": held.action}
