"""
Changes in other systems: intended, then committed, once.

An effect is claimed before it is sent and the claim is a lease: while it lasts, no other process sends the same effect.
After it, whoever takes the effect over must look at the target first, because the earlier process may have sent it and
died before it could say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.seal import Sealer
from interlock.domain.cases.case import CaseState
from interlock.errors import ConfigurationError, Tampered
from interlock.ledger.cases.case import CaseFile, lock_cases, move
from interlock.ledger.effects.authorisation import standing
from interlock.ledger.effects.evidence import basis_of, look_at
from interlock.ledger.runs.run import Attempt, WorkflowRun
from interlock.ledger.store.record import Authorisation, CaseChange, Effect
from interlock.ledger.store.schema import effect
from interlock.ledger.store.transaction import Transaction


@dataclass(frozen=True)
class Claim:
    """An effect that this process may send until its lease ends."""

    effect: Effect
    file: CaseFile
    look_first: bool
    """An earlier attempt may have sent it."""


@dataclass
class Claimed:
    """What came of claiming a group of cases."""

    claims: list[Claim] = field(default_factory=list)
    unauthorised: list[CaseFile] = field(default_factory=list)
    leased_until: datetime | None = None
    """Some effects are another process's until then."""
    tampered: list[tuple[CaseFile, Tampered]] = field(default_factory=list)
    """What the send rests on is not what was written."""
    to_ask_again: list[tuple[CaseFile, Authorisation]] = field(default_factory=list)
    """They were authorised before there were seals, and nothing else is wrong."""


def demand_sealer(sealer: Sealer | None) -> Sealer:
    """
    Return the seal's keys.

    :raises ConfigurationError: there are none.
    """
    if sealer is None:
        raise ConfigurationError(
            "there is no connection 'interlock_seal', so nobody can tell what was allowed from what somebody wrote "
            "into the database, and nothing is sent. Add it, with an id for the key as its login: airflow connections "
            'add interlock_seal --conn-type generic --conn-login 1 --conn-password "$(openssl rand -hex 32)". The API '
            "server and the workers need the same one"
        )
    return sealer


def claim(
    tx: Transaction,
    run: WorkflowRun,
    attempt: Attempt,
    files: Sequence[CaseFile],
    *,
    action: str,
    payloads: Mapping[str, Mapping[str, Any]],
    key_of: Callable[[CaseFile, str], str],
    lease: timedelta,
    needs_vote: Collection[str] = (),
) -> Claimed:
    """
    Claim the effects of *files* for *attempt*, those that are allowed and whose grounds are what was written.

    :param payloads: by case id, exactly what the connector would get.
    :param needs_vote: ids of cases for which no decision of a policy counts, only votes.
    :param key_of: the idempotency key of a case and a payload digest.
    :raises ConfigurationError: the ledger was opened without the seal's key, so that nobody can look.
    """
    sealer = demand_sealer(tx.seal)
    unchanged = {row.id for row in lock_cases(tx, [file.case for file in files])}
    files = [file for file in files if file.id in unchanged]
    digests = {file.id: keyed_digest(file.secret, payloads[file.id]) for file in files}
    granted = standing(tx, [f.id for f in files], action=action)
    allowed = {row.case_id: row for row in granted if row.payload_digest == digests[row.case_id]}
    tampered = look_at(tx.connection, sealer, files, payloads, digests, allowed)
    claimed = Claimed()
    fresh: list[Effect] = []
    taken_over: list[Effect] = []
    for file in files:
        payload_digest = digests[file.id]
        grant = _grant_of(claimed, file, allowed.get(file.id), tampered.get(file.id), votes_only=file.id in needs_vote)
        if grant is None:
            continue
        key = key_of(file, payload_digest)
        existing = tx.connection.execute(select(effect).where(effect.c.key == key).with_for_update()).first()
        if existing is None:
            row = Effect(
                key=key,
                case_id=file.id,
                run_id=run.id,
                task=attempt.task,
                action=action,
                payload_digest=payload_digest,
                authorisation_id=grant.id,
                state="intended",
                attempts=1,
                receipt=None,
                holder=attempt.token,
                lease_until=tx.at + lease,
                intended_at=tx.at,
                committed_at=None,
                revision=1,
            )
            fresh.append(row)
            claimed.claims.append(Claim(row, file, look_first=False))
        elif existing.state == "committed" or existing.holder == attempt.token or existing.lease_until <= tx.at:
            is_unsent = existing.state == "unsent"
            row = replace(
                Effect.of(existing),
                holder=attempt.token,
                lease_until=tx.at + lease,
                attempts=existing.attempts + 1,
                authorisation_id=grant.id,
                state="intended" if is_unsent else existing.state,
            )
            taken_over.append(row)
            claimed.claims.append(Claim(replace(row, revision=row.revision + 1), file, look_first=not is_unsent))
        else:
            claimed.leased_until = max(filter(None, (claimed.leased_until, existing.lease_until)))
    tx.insert(effect, fresh, kind="effect.intended", facts=_facts)
    tx.update(effect, taken_over, kind="effect.taken_over", facts=_facts)
    return claimed


def _grant_of(
    claimed: Claimed, file: CaseFile, grant: Authorisation | None, tampering: Tampered | None, *, votes_only: bool
) -> Authorisation | None:
    """Return what allows the send of a case; None: nothing does, and *claimed* says why."""
    if tampering is not None:
        claimed.tampered.append((file, tampering))
        return None
    if grant is None or file.case.state != CaseState.AUTHORISED or (votes_only and basis_of(grant, "decision")):
        claimed.unauthorised.append(file)
        return None
    if grant.seal is None:
        claimed.to_ask_again.append((file, grant))
        return None
    return grant


def commit(tx: Transaction, done: Sequence[tuple[Claim, str, Mapping[str, Any]]], *, next_task: str | None) -> None:
    """Record that effects took place, given as (claim, reference, detail), and their cases as executed."""
    tx.update(
        effect,
        [
            replace(
                claim.effect,
                state="committed",
                receipt={"reference": reference, **detail},
                committed_at=tx.at,
                lease_until=None,
            )
            for claim, reference, detail in done
        ],
        kind="effect.committed",
        facts=_facts,
    )
    move(
        tx,
        [(claim.file.case, CaseChange(state=CaseState.EXECUTED, task=next_task)) for claim, _, _ in done],
        kind="case.executed",
    )


def give_back(tx: Transaction, claims: Sequence[Claim], *, state: str = "intended") -> None:
    """
    End the lease of *claims*: another attempt may take them at once, and looks first.

    :param state: ``refused``, or ``unsent``: nothing was handed over, so nobody needs to look.
    """
    tx.update(
        effect,
        [replace(c.effect, lease_until=tx.at, state=state) for c in claims],
        kind=f"effect.{state}",
        facts=_facts,
    )


def lock_last_effect(tx: Transaction, case_id: str, *, states: Sequence[str]) -> Effect | None:
    """Lock and return the effect of a case that was intended last among those in *states*; None: there is none."""
    row = tx.connection.execute(
        select(effect)
        .where(effect.c.case_id == case_id, effect.c.state.in_(list(states)))
        .order_by(effect.c.intended_at.desc())
        .with_for_update()
    ).first()
    return None if row is None else Effect.of(row)


def change_effect(tx: Transaction, changed: Effect, *, kind: str) -> Effect:
    """Write an effect as a person's act leaves it, and return it with its next revision."""
    (after,) = tx.update(
        effect, [changed], kind=kind, facts=lambda row: {"action": row["action"], "state": row["state"]}
    )
    return after


def is_under_way(tx: Transaction, case_id: str) -> bool:
    """Tell whether an effect of the case was intended, or is being undone: nobody knows whether it took place."""
    found = tx.connection.execute(
        select(effect.c.key).where(effect.c.case_id == case_id, effect.c.state.in_(("intended", "undoing")))
    ).first()
    return found is not None


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": row["state"], "action": row["action"], "attempts": row["attempts"]}
