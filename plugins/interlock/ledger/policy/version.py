"""
Publishing versions of a workflow, and which one is in force. A version is never changed, only followed by another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Select, func, select, true

from interlock.domain.approvals.access import Identity
from interlock.domain.base.seal import Sealer
from interlock.domain.policy.company import COMPANY
from interlock.domain.policy.version import Bundle, WorkflowVersion
from interlock.errors import ConfigurationError, InputError, Tampered, UnknownName
from interlock.ledger.store.bulk_write import RowForm
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import VersionApproval, VersionInForce
from interlock.ledger.store.schema import approval, audit_event, version_in_force, workflow_run, workflow_version
from interlock.ledger.store.seal import demand_sealed
from interlock.ledger.store.transaction import Actor, Transaction, new_id

_TICK = timedelta(microseconds=1)
_TIES = timedelta(milliseconds=1)
"""Changes of one instant are told apart by ticks; what is further ahead is planned."""


def publish(ledger: Ledger, bundle: Bundle, *, author: Actor, reason: str) -> tuple[WorkflowVersion, bool]:
    """
    Put *bundle* in force in the ledger's environment as the next version, whoever may.

    The text that is in force already is not published again: its version is returned, with False.
    """
    with ledger.write(actor=author, chain=_chain(ledger, bundle.workflow)) as tx:
        tx.take_turns(tx.chain)
        current = find_in_force(tx.connection, ledger.environment, bundle.workflow, None)
        if current is not None and current.bundle.digest == bundle.digest:
            return current, False
        version = _insert(tx, ledger.environment, bundle, author=str(author), reason=reason, kind="version.published")
        put_in_force(tx, version, facts={})
        return version, True


def propose(
    ledger: Ledger, bundle: Bundle, *, actor: Actor, reason: str, author: str | None = None, origin: Any = None
) -> tuple[WorkflowVersion, bool]:
    """
    Record *bundle* as the next version, without putting it in force.

    The text of the newest version, or of the one in force, is not proposed again: it is returned, with False.

    :param author: who wrote it, when that is not *actor*: ``person:<id>``.
    :param origin: where it came from: environment, number, digest, approvals.
    """
    with ledger.write(actor=actor, chain=_chain(ledger, bundle.workflow)) as tx:
        tx.take_turns(tx.chain)
        newest = tx.connection.execute(
            select(workflow_version)
            .where(workflow_version.c.environment == ledger.environment, workflow_version.c.workflow == bundle.workflow)
            .order_by(workflow_version.c.number.desc())
            .limit(1)
        ).first()
        existing = [_version(newest)] if newest is not None else []
        current = find_in_force(tx.connection, ledger.environment, bundle.workflow, None)
        for version in [*existing, *([current] if current else [])]:
            if version.bundle.digest == bundle.digest:
                return version, False
        version = _insert(
            tx,
            ledger.environment,
            bundle,
            author=author or str(actor),
            reason=reason,
            kind="version.proposed",
            origin=origin,
        )
        return version, True


def _chain(ledger: Ledger, workflow: str) -> str:
    return f"policy:{ledger.environment}:{workflow}"


def _insert(
    tx: Transaction, environment: str, bundle: Bundle, *, author: str, reason: str, kind: str, origin: Any = None
) -> WorkflowVersion:
    last = tx.connection.execute(
        select(func.max(workflow_version.c.number)).where(
            workflow_version.c.environment == environment, workflow_version.c.workflow == bundle.workflow
        )
    ).scalar()
    version = WorkflowVersion(new_id(), environment, (last or 0) + 1, author, bundle)
    row = {
        "id": version.id,
        "environment": environment,
        "workflow": bundle.workflow,
        "number": version.number,
        "digest": bundle.digest,
        "author": author,
        "reason": reason,
        "bundle": bundle.to_json(),
        "published_at": tx.at,
        "origin": origin,
    }
    tx.insert(workflow_version, [row], kind=kind, facts=lambda r: {"number": r["number"], "digest": r["digest"]})
    return version


@dataclass(frozen=True)
class Proposal:
    """A version of the ledger's environment, locked against others who approve or promote in the same workflow."""

    tx: Transaction
    version: WorkflowVersion
    current: WorkflowVersion | None
    """What is in force, or will be from an instant on."""
    approvals: list[VersionApproval]
    was_in_force: bool


@contextmanager
def on_proposal(ledger: Ledger, workflow: str, number: int | None, *, actor: Actor) -> Iterator[Proposal]:
    """
    Open a write transaction on version *number* of *workflow*; None: the newest.

    :raises UnknownName: there is no such version.
    """
    number = version_numbered(ledger, workflow, number).number if number is not None else _newest(ledger, workflow)
    with ledger.write(actor=actor, chain=_chain(ledger, workflow)) as tx:
        tx.take_turns(tx.chain)
        row = tx.connection.execute(
            select(workflow_version).where(
                workflow_version.c.environment == ledger.environment,
                workflow_version.c.workflow == workflow,
                workflow_version.c.number == number,
            )
        ).one()
        demand_sealed(tx.seal, workflow_version, [row])
        version, approvals = _version(row), approvals_of(tx.connection, row.id)
        demand_sealed(tx.seal, approval, approvals)
        been = tx.connection.execute(
            select(version_in_force.c.id).where(version_in_force.c.version_id == version.id).limit(1)
        ).first()
        yield Proposal(
            tx,
            version,
            find_in_force(tx.connection, ledger.environment, workflow, None),
            approvals,
            been is not None,
        )


def _newest(ledger: Ledger, workflow: str) -> int:
    with ledger.read() as connection:
        newest = connection.execute(
            select(func.max(workflow_version.c.number)).where(
                workflow_version.c.environment == ledger.environment, workflow_version.c.workflow == workflow
            )
        ).scalar()
    if newest is None:
        raise UnknownName("version of a workflow", workflow, (), where=f"environment {ledger.environment!r}")
    return int(newest)


def approvals_of(connection: Connection, version_id: str) -> list[VersionApproval]:
    """Return what people said to a version, the first first."""
    rows = connection.execute(
        select(approval).where(approval.c.version_id == version_id).order_by(approval.c.created_at, approval.c.id)
    )
    return VersionApproval.all_of(rows)


def record_approval(
    tx: Transaction, version: WorkflowVersion, person: Identity, *, answer: str, order: int, reason: str
) -> VersionApproval:
    """Write what *person* said to *version*, bound to its digest; return the row."""
    row = VersionApproval(
        id=new_id(),
        version_id=version.id,
        person=person.id,
        person_name=person.name or person.id,
        roles=list(person.roles),
        answer=answer,
        stage_order=order,
        reason=reason,
        digest=version.bundle.digest,
        created_at=tx.at,
    )
    tx.insert(
        approval,
        [row],
        kind=f"version.{'approved' if answer == 'approve' else 'rejected'}",
        facts=lambda r: {"number": version.number, "digest": r["digest"]},
    )
    return row


def roll_back(
    ledger: Ledger, workflow: str, *, number: int | None = None, author: Actor, reason: str
) -> tuple[WorkflowVersion, WorkflowVersion]:
    """
    Put an earlier version of *workflow* in force again, at once; return it, and the one that it takes over from.

    Only what was in force here before can be: it was allowed then. Runs that began keep the version that they pinned. A
    change that was planned for later gives way; going back to the version that is in force calls it off.

    :param number: left out, the nearest lower number that was in force.
    :raises UnknownName: no version of that number was ever in force here.
    :raises InputError: it is in force already, or none was in force before.
    :raises ConfigurationError: no version is in force at all.
    """
    with ledger.write(actor=author, chain=_chain(ledger, workflow)) as tx:
        tx.take_turns(tx.chain)
        tx.at = max(
            tx.at, ledger.clock()
        )  # who had the turn before put a version in force after this one began to wait
        now = tx.at + _TIES
        current = find_in_force(tx.connection, ledger.environment, workflow, now)
        planned = find_in_force(tx.connection, ledger.environment, workflow, None)
        if current is None or planned is None:
            raise _none_in_force(ledger, workflow)
        rows = tx.connection.execute(
            select(workflow_version.c.id, workflow_version.c.number)
            .join(version_in_force, version_in_force.c.version_id == workflow_version.c.id)
            .where(
                version_in_force.c.environment == ledger.environment,
                version_in_force.c.workflow == workflow,
                version_in_force.c.since <= now,
            )
        )
        been = {row.number: row.id for row in rows}
        wanted = max((n for n in been if n < current.number), default=None) if number is None else number
        if wanted is None:
            raise InputError(f"no version of {workflow!r} was in force before version {current.number}")
        if wanted == current.number == planned.number:
            raise InputError(f"version {wanted} of {workflow!r} is in force already")
        if wanted not in been:
            raise UnknownName(f"version of {workflow!r} that was in force", str(wanted), map(str, been))
        facts = {"number": wanted, "instead_of": current.number, "reason": reason}
        version = load_version(tx.connection, been[wanted], seal=tx.seal)
        put_in_force(tx, version, facts=facts, after=_TICK)
        return version, current


def put_in_force(
    tx: Transaction,
    version: WorkflowVersion,
    *,
    facts: dict[str, Any],
    since: datetime | None = None,
    after: timedelta = timedelta(0),
) -> datetime:
    """
    Let *version* be in force from an instant on, now or *since*; return it. What was put for a later instant gives way.

    :param after: put so much behind an earlier one of the same instant; of two at one instant the higher number wins.
    """
    environment, workflow = version.environment, version.bundle.workflow
    put: list[datetime] = list(
        tx.connection.execute(
            select(version_in_force.c.since).where(
                version_in_force.c.environment == environment, version_in_force.c.workflow == workflow
            )
        ).scalars()
    )
    wanted = max(tx.at, since or tx.at)
    earlier = [instant for instant in put if instant <= wanted + _TIES]
    later = [instant for instant in put if instant > wanted + _TIES]
    instants: list[datetime] = [max([wanted, *(instant + after for instant in earlier)])]
    if later:  # a change that was planned, or one from before the clock jumped back
        instants.append(max(later) + _TICK)
    rows = [
        {
            "id": new_id(),
            "environment": environment,
            "workflow": workflow,
            "version_id": version.id,
            "since": instant,
            "set_by": str(tx.actor),
        }
        for instant in instants
    ]
    tx.insert(version_in_force, rows, kind="version.in_force", facts=lambda r: {"version": r["version_id"], **facts})
    return instants[0]


def in_force(ledger: Ledger, workflow: str, *, seal: Sealer | None = None) -> WorkflowVersion:
    """
    Return the version of *workflow* that is in force now.

    :param seal: given where something is decided by the version, so that a forged one decides nothing.
    :raises ConfigurationError: none is.
    :raises Tampered: its text, or that it is in force, was not written with the key.
    """
    with ledger.read() as connection:
        found = find_in_force(connection, ledger.environment, workflow, ledger.clock(), seal=seal)
    if found is None:
        raise _none_in_force(ledger, workflow)
    return found


def version_numbered(ledger: Ledger, workflow: str, number: int) -> WorkflowVersion:
    """
    Return version *number* of *workflow* in the ledger's environment.

    :raises UnknownName: there is none.
    """
    columns = workflow_version.c
    here = (columns.environment == ledger.environment, columns.workflow == workflow)
    with ledger.read() as connection:
        row = connection.execute(select(workflow_version).where(*here, columns.number == number)).first()
        if row is None:
            known = connection.execute(select(columns.number).where(*here)).scalars()
            raise UnknownName(f"version of {workflow!r}", str(number), map(str, known))
        return _version(row)


def versions_in_force(ledger: Ledger) -> list[WorkflowVersion]:
    """Return the version of each workflow that is in force in the ledger's environment, by name."""
    with ledger.read() as connection:
        return _all_in_force(connection, ledger)


def versions_at_work(ledger: Ledger) -> list[WorkflowVersion]:
    """Return the versions in force in the ledger's environment, and those that runs pinned which have not ended."""
    with ledger.read() as connection:
        at_work = {version.id: version for version in _all_in_force(connection, ledger)}
        pinned = connection.execute(
            select(workflow_run.c.version_id)
            .where(workflow_run.c.environment == ledger.environment, workflow_run.c.ended_at.is_(None))
            .distinct()
        ).scalars()
        for version_id in list(pinned):
            if version_id not in at_work:
                at_work[version_id] = load_version(connection, version_id)
        return list(at_work.values())


def _all_in_force(connection: Connection, ledger: Ledger) -> list[WorkflowVersion]:
    names = connection.execute(
        select(version_in_force.c.workflow)
        .where(version_in_force.c.environment == ledger.environment, version_in_force.c.workflow != COMPANY)
        .distinct()
        .order_by(version_in_force.c.workflow)
    ).scalars()
    found = [find_in_force(connection, ledger.environment, name, ledger.clock()) for name in list(names)]
    return [version for version in found if version is not None]


def _none_in_force(ledger: Ledger, workflow: str) -> ConfigurationError:
    with ledger.read() as connection:
        known = _published(connection, ledger.environment)
    near = get_close_matches(workflow, known, n=1) if workflow not in known else []
    return ConfigurationError(
        f"no version of workflow {workflow!r} is in force in environment {ledger.environment!r}. "
        + (f"Did you mean {near[0]!r}? " if near else "")
        + f"Publish one: airflow interlock policy publish {workflow}"
    )


def demand_published(ledger: Ledger, workflow: str) -> None:
    """
    Let a question about *workflow* be answered with "nothing".

    :raises UnknownName: no version of it was ever published here, so the question is about something else.
    """
    with ledger.read() as connection:
        known = _published(connection, ledger.environment)
    if workflow not in known:
        raise UnknownName("workflow", workflow, known, where=f"the ledger of {ledger.environment!r}")


def _published(connection: Connection, environment: str) -> list[str]:
    columns = workflow_version.c
    query = select(columns.workflow).where(columns.environment == environment, columns.workflow != COMPANY)
    return list(connection.execute(query.distinct()).scalars())


def load_version(connection: Connection, version_id: str, *, seal: Sealer | None = None) -> WorkflowVersion:
    """
    Return the version *version_id*.

    :raises Tampered: *seal* is given, and the version was not written with the key.
    """
    row = connection.execute(select(workflow_version).where(workflow_version.c.id == version_id)).one()
    demand_sealed(seal, workflow_version, [row])
    return _version(row)


@dataclass(frozen=True, kw_only=True)
class PastVersion:
    """A version of a workflow without its text, and whether it was in force."""

    id: str
    number: int
    digest: str
    author: str
    reason: str
    published_at: datetime
    origin: Mapping[str, Any] | None
    in_force_since: datetime | None
    """From when on it is in force now; None: it is not."""
    was_in_force: bool
    """Whether it was ever put in force, now or for an instant to come."""


def history(ledger: Ledger, workflow: str) -> list[PastVersion]:
    """Return every version of *workflow*, the newest first."""
    columns = workflow_version.c
    with ledger.read() as connection:
        rows = connection.execute(
            select(
                columns.id,
                columns.number,
                columns.digest,
                columns.author,
                columns.reason,
                columns.published_at,
                columns.origin,
            )
            .where(columns.environment == ledger.environment, columns.workflow == workflow)
            .order_by(columns.number.desc())
        )
        found = rows.all()
        current = find_in_force(connection, ledger.environment, workflow, ledger.clock())
    since = {change.version_id: change.since for change in changes_in_force(ledger, workflow)[::-1]}
    now = current.id if current is not None else None
    return [
        PastVersion(
            **row._mapping,
            in_force_since=since[now] if now is not None and row.id == now else None,
            was_in_force=row.id in since,
        )
        for row in found
    ]


@dataclass(frozen=True, kw_only=True)
class ForceChange(VersionInForce):
    """That a version was put in force; a rollback also says instead of which, and why."""

    number: int
    instead_of: int | None = None
    reason: str | None = None


def changes_in_force(ledger: Ledger, workflow: str) -> list[ForceChange]:
    """Return which version was put in force when and by whom, the latest first."""
    table = version_in_force.c
    with ledger.read() as connection:
        rows = connection.execute(
            select(version_in_force, workflow_version.c.number)
            .join(workflow_version, workflow_version.c.id == table.version_id)
            .where(table.environment == ledger.environment, table.workflow == workflow)
            .order_by(table.since.desc(), workflow_version.c.number.desc())
        )
        subject = RowForm.of(version_in_force, connection.dialect).subject
        found = {subject(dict(row._mapping)): ForceChange.of(row) for row in rows}
        for group in in_groups(list(found), 400):
            events = connection.execute(
                select(audit_event.c.subject, audit_event.c.body).where(audit_event.c.subject.in_(group))
            )
            for name, body in events:
                facts = json.loads(body).get("facts", {})
                found[name] = replace(found[name], instead_of=facts.get("instead_of"), reason=facts.get("reason"))
    return list(found.values())


def find_in_force(
    connection: Connection, environment: str, workflow: str, at: datetime | None, *, seal: Sealer | None = None
) -> WorkflowVersion | None:
    """
    Return what is in force at an instant; None: the last that was put in force, for who holds the turn to do so.

    :raises Tampered: *seal* is given, and the version, or that it is in force, was not written with the key.
    """
    row = connection.execute(_ever_in_force(environment, workflow, at).limit(1)).first()
    if row is None:
        return None
    if seal is not None:
        put = select(version_in_force).where(version_in_force.c.id == row.force_id)
        demand_sealed(seal, version_in_force, connection.execute(put))
        demand_sealed(seal, workflow_version, [row])
        if (row.environment, row.workflow) != (environment, workflow):
            raise Tampered(
                f"version_in_force:{row.force_id} puts a version of {row.workflow!r} of {row.environment!r} in force "
                f"for {workflow!r} in {environment!r}",
                subject=f"version_in_force:{row.force_id}",
            )
    return _version(row)


def last_sealed(
    connection: Connection, environment: str, workflow: str, at: datetime, *, seal: Sealer
) -> WorkflowVersion | None:
    """Return the version that was put in force last with the key: who is notified of a forged one is named there."""
    for row in connection.execute(_ever_in_force(environment, workflow, at)):
        try:
            return find_in_force(connection, environment, workflow, row.put_since, seal=seal)
        except Tampered:
            continue
    return None


def _ever_in_force(environment: str, workflow: str, at: datetime | None) -> Select[Any]:
    put = version_in_force.c
    return (
        select(workflow_version, put.id.label("force_id"), put.since.label("put_since"))
        .join(version_in_force, put.version_id == workflow_version.c.id)
        .where(put.environment == environment, put.workflow == workflow, put.since <= at if at is not None else true())
        .order_by(put.since.desc(), workflow_version.c.number.desc())
    )


def _version(row: Any) -> WorkflowVersion:
    return WorkflowVersion(row.id, row.environment, row.number, row.author, Bundle.from_json(row.bundle))
