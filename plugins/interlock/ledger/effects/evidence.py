"""
What a send rests on, looked at in the transaction that claims it.

Of each case: what it is, what would be sent, the handoffs that it carries, what allows the send, and the decision or
the votes which that rests on. Each row is compared with its seal, which nobody can make who has no more than the
database, and with its last event; and each must say what it is used for. The number of queries does not depend on the
number of cases.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select

from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.seal import Sealer
from interlock.errors import Tampered
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.store.ledger import in_groups
from interlock.ledger.store.record import Authorisation, GateRequest, Handoff, Record, RoutingDecision, Vote
from interlock.ledger.store.schema import (
    audit_event,
    authorisation,
    case,
    decision,
    gate_request,
    handoff,
    vote,
)
from interlock.ledger.store.seal import fault_of, subject_of
from interlock.ledger.store.transaction import row_digest

AUTOMATIC = "auto"
"""The one route on which a decision allows a send without votes."""
ALONE, AFTERWARDS = "break_glass", "later_review"
"""Ways of a vote: one that counts alone, and one that is given when the request is decided."""


@dataclass
class Evidence:
    """What the sends of some cases rest on, as it is in the ledger."""

    handoffs: dict[str, Handoff] = field(default_factory=dict)
    """By id: those that the cases carry, and those that their decisions were made on."""
    decisions: dict[str, RoutingDecision] = field(default_factory=dict)
    """The last decision of each case, by case."""
    requests: dict[str, GateRequest] = field(default_factory=dict)
    votes: defaultdict[str, list[Vote]] = field(default_factory=lambda: defaultdict(list))
    """By request."""
    recorded: dict[str, str] = field(default_factory=dict)
    """The digest of each row that its last event tells of, by the row's name."""


def look_at(
    connection: Connection,
    sealer: Sealer,
    files: Sequence[CaseFile],
    payloads: Mapping[str, Mapping[str, Any]],
    grants: Mapping[str, Authorisation],
) -> dict[str, Tampered]:
    """
    Return what is wrong with what the sends of *files* rest on, by case; a case that is fine is not in it.

    :param payloads: what the connector would get, by case.
    :param grants: what allows it, by case. One without a seal is looked at all the same, but for the seal.
    """
    found = _read(connection, files, grants.values())
    problems: dict[str, Tampered] = {}
    for file in files:
        try:
            _look_at_one(sealer, found, file, payloads[file.id], grants.get(file.id))
        except Tampered as error:
            problems[file.id] = error
    return problems


def _read(connection: Connection, files: Sequence[CaseFile], grants: Iterable[Authorisation]) -> Evidence:
    found = Evidence()
    grants = list(grants)
    asked = sorted({basis_of(grant, "gate_request") for grant in grants} - {""})
    case_ids = [file.id for file in files]
    for row in _rows(connection, decision, "case_id", case_ids, order=("created_at", "id")):
        found.decisions[row.case_id] = RoutingDecision.of(row)
    carried = {i for file in files for i in (*file.case.context.values(), file.case.draft_id) if i}
    carried |= {one.handoff_id for one in found.decisions.values() if one.handoff_id}
    found.handoffs = {row.id: Handoff.of(row) for row in _rows(connection, handoff, "id", sorted(carried))}
    found.requests = {row.id: GateRequest.of(row) for row in _rows(connection, gate_request, "id", asked)}
    for row in _rows(connection, vote, "request_id", asked):
        found.votes[row.request_id].append(Vote.of(row))
    subjects = [
        *(f"case:{case_id}" for case_id in case_ids),
        *(f"handoff:{name}" for name in found.handoffs),
        *(f"decision:{one.id}" for one in found.decisions.values()),
        *(f"authorisation:{grant.id}" for grant in grants),
        *(f"gate_request:{name}" for name in found.requests),
        *(f"vote:{one.id}" for cast in found.votes.values() for one in cast),
    ]
    found.recorded = _last_events(connection, subjects)
    return found


def _rows(
    connection: Connection, table: Table, column: str, values: Sequence[str], *, order: Sequence[str] = ()
) -> Iterable[Any]:
    for group in in_groups(list(values), 400):
        query = select(table).where(table.c[column].in_(group))
        yield from connection.execute(query.order_by(*(table.c[name] for name in order)))


def _last_events(connection: Connection, subjects: Sequence[str]) -> dict[str, str]:
    """Return the digest of the row that the event of its highest revision tells of, by the name of the row."""
    last: dict[str, tuple[int, str]] = {}
    for group in in_groups(list(subjects), 400):
        query = select(audit_event.c.subject, audit_event.c.body).where(audit_event.c.subject.in_(group))
        for subject, body in connection.execute(query):
            try:
                told = json.loads(body)
                revision, digested = int(told.get("revision", 1)), str(told["row"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # an event of something other than the row, or one that was changed
            if revision >= last.get(subject, (0, ""))[0]:
                last[subject] = (revision, digested)
    return {subject: digested for subject, (_, digested) in last.items()}


def _look_at_one(
    sealer: Sealer, found: Evidence, file: CaseFile, payload: Mapping[str, Any], grant: Authorisation | None
) -> None:
    """
    Let *payload* be sent for a case.

    :raises Tampered: something that the send rests on is not what was written.
    """
    _demand(sealer, found, case, file.case)
    demand_content(file, file.payload, str(file.case.payload_digest))
    for name, handoff_id in file.case.context.items():
        one = _handoff(sealer, found, file, handoff_id)
        if name in file.context:
            demand_content(file, file.context[name], one.payload_digest)
    if file.case.draft_id:
        demand_content(file, payload, _handoff(sealer, found, file, file.case.draft_id).payload_digest)
    else:
        demand_content(file, payload, str(file.case.payload_digest))
    if grant is None:
        return
    _demand(sealer if grant.seal is not None else None, found, authorisation, grant)
    if asked := basis_of(grant, "gate_request"):
        _look_at_votes(sealer, found, grant, asked)
    else:
        _look_at_decision(sealer, found, file, grant)


def _look_at_decision(sealer: Sealer, found: Evidence, file: CaseFile, grant: Authorisation) -> None:
    last, named = found.decisions.get(file.id), basis_of(grant, "decision")
    if last is None or last.id != named:
        now = "and the case has none" if last is None else f"and the last of the case is decision:{last.id}"
        raise _unfounded(grant, now)
    _demand(sealer, found, decision, last)
    if last.route != AUTOMATIC:
        raise _unfounded(grant, f"which says {last.route!r}: people decide")
    if last.handoff_id:
        _handoff(sealer, found, file, last.handoff_id)


def _look_at_votes(sealer: Sealer, found: Evidence, grant: Authorisation, asked: str) -> None:
    request = found.requests.get(asked)
    if request is None:
        raise _unfounded(grant, "which does not exist")
    _demand(sealer, found, gate_request, request)
    allowed = (request.case_id, request.action, request.payload_digest, request.version_id, request.state)
    if allowed != (grant.case_id, grant.action, grant.payload_digest, grant.version_id, "approved"):
        raise _unfounded(grant, f"which is {request.state!r}, and asks about {request.action!r} for its own content")
    cast = [one for one in found.votes[asked] if one.way != AFTERWARDS]
    for one in cast:
        _demand(sealer, found, vote, one)
    yes = {
        one.person: one
        for one in cast
        if one.answer == "approve" and (one.case_id, one.seen_digest) == (request.case_id, request.seen_digest)
    }
    if len(yes) != len(cast):
        raise _unfounded(grant, "on which somebody voted no, or saw something else")
    if len(yes) < request.votes_needed and not any(one.way == ALONE for one in yes.values()):
        raise _unfounded(grant, f"which needs {request.votes_needed} votes and has {len(yes)}")


def _handoff(sealer: Sealer, found: Evidence, file: CaseFile, handoff_id: str) -> Handoff:
    one = found.handoffs.get(handoff_id)
    if one is None or one.case_id != file.id:
        whose = "does not exist" if one is None else f"is of case {one.case_id}"
        raise Tampered(f"case:{file.id} names handoff {handoff_id}, which {whose}", subject=f"case:{file.id}")
    _demand(sealer, found, handoff, one)
    return one


def _demand(sealer: Sealer | None, found: Evidence, table: Table, row: Record) -> None:
    """
    Let a row be what a send rests on.

    :raises Tampered: it is not what its seal or its last event says. *sealer* None: only the event is asked.
    """
    values = row.__dict__
    if sealer is not None and (fault := fault_of(sealer, table, values)) is not None:
        raise Tampered(fault, subject=subject_of(table, values))
    subject = subject_of(table, values)
    recorded = found.recorded.get(subject)
    if recorded is None:
        raise Tampered(f"{subject}: no event tells of this row", subject=subject)
    if recorded != row_digest(table, values):
        raise Tampered(f"{subject}: the row is not what its last event says", subject=subject)


def demand_content(file: CaseFile, content: Mapping[str, Any], recorded: str) -> None:
    """
    Let *content* be what the digest *recorded* was made of.

    :raises Tampered: it was changed.
    """
    if keyed_digest(file.secret, content) != recorded:
        raise Tampered(
            f"payload {recorded[:12]} of case {file.id}: its content was changed in the database",
            subject=f"payload:{file.id}:{recorded}",
        )


def basis_of(grant: Authorisation, kind: str) -> str:
    """Return the id of the row of *kind* that *grant* rests on; empty: it rests on something else."""
    name, _, found = grant.basis.partition(":")
    return found if name == kind else ""


def _unfounded(grant: Authorisation, why: str) -> Tampered:
    return Tampered(f"authorisation:{grant.id} rests on {grant.basis}, {why}", subject=f"authorisation:{grant.id}")
