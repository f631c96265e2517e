"""
Forgetting a case: its content, the secret of its digests, and the free text that people and rules left beside it.

What happened stays provable: every event and every row is still there, with digests that nobody can guess the content
from any more. A business key stays unless it is asked for, because it is how the same row is known when it comes again.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from sqlalchemy import Table, delete, select, update

from interlock.domain.cases.case import CaseState
from interlock.errors import InputError
from interlock.ledger.audit.verify import FORGOTTEN
from interlock.ledger.cases.case import find_case, move
from interlock.ledger.effects.effect import is_under_way
from interlock.ledger.store.database import translated_errors
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.schema import case, case_secret, decision, label, payload, vote
from interlock.ledger.store.transaction import Actor, Row, Transaction

ERASED = "(forgotten)"
"""What stands where a text was."""

_KEPT = (CaseState.EXECUTED, CaseState.REJECTED, CaseState.CLOSED)
"""States that a forgotten case keeps; from the others it is closed, because nothing is left to work on."""


def forget_case(ledger: Ledger, name: str, *, person: str, reason: str, key_too: bool = False) -> dict[str, Any]:
    """
    Erase what the ledger knows of the person behind the case *name*; return what became of it.

    :param reason: Why, kept on the case; no personal data belongs in it.
    :param key_too: Replace the business key by a random one as well. The same row then opens a new case when it comes
        again; otherwise it is passed over.
    :raises UnknownName: there is no such case.
    :raises InputError: there is no reason, the case is in work or waits, or nothing is left to forget.
    """
    if not reason.strip():
        raise InputError("forgetting a case needs a reason: say why, without naming the person")
    with ledger.read() as connection:
        case_id = find_case(connection, ledger, name).id
    with ledger.write(actor=Actor("person", person), chain=f"case:{case_id}") as tx:
        if tx.connection.dialect.name == "sqlite":
            tx.connection.exec_driver_sql("PRAGMA secure_delete = ON")
        row = Case.of(tx.connection.execute(select(case).where(case.c.id == case_id).with_for_update()).one())
        _check(tx, row, key_too=key_too)
        erased = tx.connection.execute(delete(payload).where(payload.c.case_id == case_id)).rowcount
        tx.connection.execute(delete(case_secret).where(case_secret.c.case_id == case_id))
        texts = _blank_texts(tx, case_id)
        change = CaseChange(reason=f"forgotten by {person}: {reason}")
        if CaseState(row.state) not in _KEPT:
            change = replace(change, state=CaseState.CLOSED, task=None)
        if key_too:
            change = replace(change, business_key=f"forgotten-{secrets.token_hex(8)}")
        after = move(tx, [(row, change)], kind=FORGOTTEN)[0]
    _leave_no_copy(ledger)
    return {
        "case": after.business_key,
        "case_id": case_id,
        "state": str(after.state),
        "payloads": erased,
        "texts": texts,
    }


def is_forgotten_key(business_key: str) -> bool:
    """Tell whether *business_key* is what forgetting puts in a key's place."""
    return business_key.startswith("forgotten-")


def _check(tx: Transaction, row: Case, *, key_too: bool) -> None:
    key, state = row.business_key, CaseState(row.state)
    if state in (CaseState.OPEN, CaseState.ROUTED, CaseState.AUTHORISED, CaseState.WAITING):
        raise InputError(
            f"case {key!r} is {state.value!r}: it is in work or waits for people. Reject or close it first"
        )
    if state is not CaseState.CLOSED and is_under_way(tx, row.id):
        raise InputError(
            f"whether the effect of case {key!r} arrived is not known, and without its content nobody can look. "
            "Resubmit the case, or close it and leave that open"
        )
    secret = tx.connection.execute(select(case_secret.c.case_id).where(case_secret.c.case_id == row.id)).first()
    if secret is None and not (key_too and not is_forgotten_key(key)):
        raise InputError(f"case {key!r} was forgotten already" + ("" if key_too else "; its key goes with --key-too"))


def _blank_texts(tx: Transaction, case_id: str) -> int:
    """Blank what people typed and what labels and failed rules say, and return how many texts there were."""
    blanked = 0
    for table, columns, kind in (
        (label, ("value",), "label.forgotten"),
        (vote, ("reason",), "vote.forgotten"),
        (decision, ("error",), "decision.forgotten"),
    ):
        found = tx.connection.execute(select(table).where(table.c.case_id == case_id).with_for_update())
        for row in [as_dict(one) for one in found]:
            texts = [name for name in columns if row[name] not in (None, "", ERASED)]
            if table is decision and str(row["decided_by"]).startswith("person:") and row["rule"] != ERASED:
                texts.append("rule")  # why a person asked for a review
            if texts:
                _rewrite(tx, table, {**row, **dict.fromkeys(texts, ERASED)}, texts, kind)
                blanked += len(texts)
    return blanked


def _rewrite(tx: Transaction, table: Table, row: Row, columns: list[str], kind: str) -> None:
    same = [column == row[column.name] for column in table.primary_key.columns]
    tx.connection.execute(update(table).where(*same).values({name: row[name] for name in columns}))
    tx.tell_again(table, [row], kind=kind)


def _leave_no_copy(ledger: Ledger) -> None:
    """Empty SQLite's log, which holds pages as they were; while somebody reads, it is left to a later writer."""
    if ledger.engine.dialect.name == "sqlite":
        with translated_errors(), ledger.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
