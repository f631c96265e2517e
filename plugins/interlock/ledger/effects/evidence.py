"""
What a send rests on, looked at in the transaction that claims it.

Of each case: what it is, what would be sent, the handoffs that it carries, what allows the send, and the decision or
the votes which that rests on. Each row is compared with its seal, which nobody can make who has no more than the
database, and with its last event; and each must say what it is used for. The number of queries does not depend on the
number of cases.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select

from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.seal import Sealer
from interlock.errors import Tampered
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.store.bulk_write import RowForm, Stored
from interlock.ledger.store.raw_row import raw_rows_where
from interlock.ledger.store.record import Authorisation, Record
from interlock.ledger.store.schema import (
    audit_event,
    authorisation,
    case,
    decision,
    gate_request,
    handoff,
    vote,
)
from interlock.ledger.store.seal import fault_of
from interlock.ledger.store.transaction import row_digest

AUTOMATIC = "auto"
"""The one route on which a decision allows a send without votes."""
ALONE, AFTERWARDS = "break_glass", "later_review"
"""Ways of a vote: one that counts alone, and one that is given when the request is decided."""


@dataclass(frozen=True)
class Found:
    """A row as the database driver gives it: a send reads many, and asks little of each."""

    table: Table
    raw: Stored
    values: Mapping[str, Any]
    """The same by column."""


@dataclass
class Evidence:
    """What the sends of some cases rest on, as it is in the ledger."""

    connection: Connection
    sealer: Sealer
    handoffs: dict[str, Found] = field(default_factory=dict)
    """By id: those that the cases carry, and those that their decisions were made on."""
    decisions: dict[str, Found] = field(default_factory=dict)
    """The last decision of each case, by case."""
    requests: dict[str, Found] = field(default_factory=dict)
    votes: defaultdict[str, list[Found]] = field(default_factory=lambda: defaultdict(list))
    """By request."""
    fine: set[str] = field(default_factory=set)
    """Names of handoffs that were looked at: a case carries one as its draft and as a part of its context."""
    recorded: dict[str, str] = field(default_factory=dict)
    """The digest of each row that its last event tells of, by the row's name."""


def look_at(
    connection: Connection,
    sealer: Sealer,
    files: Sequence[CaseFile],
    payloads: Mapping[str, Mapping[str, Any]],
    digests: Mapping[str, str],
    grants: Mapping[str, Authorisation],
) -> dict[str, Tampered]:
    """
    Return what is wrong with what the sends of *files* rest on, by case; a case that is fine is not in it.

    :param payloads: what the connector would get, by case.
    :param digests: of exactly that, by case, as they were computed for this look.
    :param grants: what allows it, by case. One without a seal is looked at all the same, but for the seal.
    """
    found = _read(Evidence(connection, sealer), files, grants.values())
    problems: dict[str, Tampered] = {}
    for file in files:
        try:
            _look_at_one(found, file, payloads[file.id], digests[file.id], grants.get(file.id))
        except Tampered as error:
            problems[file.id] = error
    return problems


def _read(found: Evidence, files: Sequence[CaseFile], grants: Iterable[Authorisation]) -> Evidence:
    grants = list(grants)
    asked = sorted({basis_of(grant, "gate_request") for grant in grants} - {""})
    case_ids = [file.id for file in files]
    decisions = _rows(found, decision, "case_id", case_ids, order="created_at, id")
    found.decisions = {one.values["case_id"]: one for one in decisions}
    carried = {i for file in files for i in (*file.case.context.values(), file.case.draft_id) if i}
    carried |= {name for one in found.decisions.values() if (name := one.values["handoff_id"])}
    found.handoffs = {one.values["id"]: one for one in _rows(found, handoff, "id", sorted(carried))}
    if asked:
        found.requests = {one.values["id"]: one for one in _rows(found, gate_request, "id", asked)}
        for one in _rows(found, vote, "request_id", asked):
            found.votes[one.values["request_id"]].append(one)
    subjects = [
        *(f"case:{case_id}" for case_id in case_ids),
        *(f"handoff:{name}" for name in found.handoffs),
        *(f"decision:{one.values['id']}" for one in found.decisions.values()),
        *(f"authorisation:{grant.id}" for grant in grants),
        *(f"gate_request:{name}" for name in found.requests),
        *(f"vote:{one.values['id']}" for cast in found.votes.values() for one in cast),
    ]
    found.recorded = _last_events(found.connection, subjects)
    return found


def _rows(found: Evidence, table: Table, column: str, values: Sequence[str], *, order: str = "") -> list[Found]:
    columns = list(table.columns)
    names = [one.name for one in columns]
    rows = raw_rows_where(found.connection, columns, table.c[column], values, order=order)
    return [Found(table, row, dict(zip(names, row, strict=True))) for row in rows]


def _last_events(connection: Connection, subjects: Sequence[str]) -> dict[str, str]:
    """Return the digest of the row that the event of its highest revision tells of, by the name of the row."""
    last: dict[str, tuple[int, str]] = {}
    events = audit_event.c
    for subject, body in raw_rows_where(connection, [events.subject, events.body], events.subject, subjects):
        if (end := _EVENT_END.search(body)) is None:
            continue  # an event of something other than the row, or one that was changed
        if (revision := int(end[1])) >= last.get(subject, (0, ""))[0]:
            last[subject] = (revision, end[2])
    return {subject: digested for subject, (_, digested) in last.items()}


_EVENT_END = re.compile(r'"revision":([0-9]{1,9}),"row":"([0-9a-f]{64})","subject":"[^"\\]*"\}\Z')
"""How the canonical bytes of a row's event end."""


def _look_at_one(
    found: Evidence, file: CaseFile, payload: Mapping[str, Any], digest: str, grant: Authorisation | None
) -> None:
    """
    Let *payload* be sent for a case.

    :raises Tampered: something that the send rests on is not what was written.
    """
    _demand_record(found, case, file.case)
    demand_content(file, file.payload, str(file.case.payload_digest))
    for name, handoff_id in file.case.context.items():
        one = _handoff(found, file, handoff_id)
        content = file.context.get(name)
        if content is not None and content is not payload:
            demand_content(file, content, one["payload_digest"])
    draft = _handoff(found, file, file.case.draft_id) if file.case.draft_id else None
    recorded = str(file.case.payload_digest if draft is None else draft["payload_digest"])
    demand_content(file, payload, recorded, digest=digest)
    if grant is None:
        return
    _demand_record(found, authorisation, grant, seal_too=grant.seal is not None)
    if asked := basis_of(grant, "gate_request"):
        _look_at_votes(found, grant, asked)
    else:
        _look_at_decision(found, file, grant)


def _look_at_decision(found: Evidence, file: CaseFile, grant: Authorisation) -> None:
    last, named = found.decisions.get(file.id), basis_of(grant, "decision")
    if last is None or last.values["id"] != named:
        now = "and the case has none" if last is None else f"and the last of the case is decision:{last.values['id']}"
        raise _unfounded(grant, now)
    values = _demand(found, last)
    if values["route"] != AUTOMATIC:
        raise _unfounded(grant, f"which says {values['route']!r}: people decide")
    if values["handoff_id"]:
        _handoff(found, file, values["handoff_id"])


def _look_at_votes(found: Evidence, grant: Authorisation, asked: str) -> None:
    if asked not in found.requests:
        raise _unfounded(grant, "which does not exist")
    request = _demand(found, found.requests[asked])
    allowed = [request[name] for name in ("case_id", "action", "payload_digest", "version_id", "state")]
    if allowed != [grant.case_id, grant.action, grant.payload_digest, grant.version_id, "approved"]:
        raise _unfounded(
            grant, f"which is {request['state']!r}, and asks about {request['action']!r} for its own content"
        )
    cast = [_demand(found, one) for one in found.votes[asked] if one.values["way"] != AFTERWARDS]
    seen = (request["case_id"], request["seen_digest"])
    yes = {
        one["person"]: one
        for one in cast
        if one["answer"] == "approve" and (one["case_id"], one["seen_digest"]) == seen
    }
    if len(yes) != len(cast):
        raise _unfounded(grant, "on which somebody voted no, or saw something else")
    if len(yes) < request["votes_needed"] and not any(one["way"] == ALONE for one in yes.values()):
        raise _unfounded(grant, f"which needs {request['votes_needed']} votes and has {len(yes)}")


def _handoff(found: Evidence, file: CaseFile, handoff_id: str) -> Mapping[str, Any]:
    one = found.handoffs.get(handoff_id)
    if one is None or one.values["case_id"] != file.id:
        whose = "does not exist" if one is None else f"is of case {one.values['case_id']}"
        raise Tampered(f"case:{file.id} names handoff {handoff_id}, which {whose}", subject=f"case:{file.id}")
    if handoff_id not in found.fine:
        _demand(found, one)
        found.fine.add(handoff_id)
    return one.values


def _demand(found: Evidence, row: Found) -> Mapping[str, Any]:
    """
    Return the columns of a row that a send may rest on.

    :raises Tampered: it is not what its seal or its last event says.
    """
    form = RowForm.of(row.table, found.connection.dialect)
    _demand_as_told(found, form, row.table, row.raw, row.values, seal_too=True)
    return row.values


def _demand_record(found: Evidence, table: Table, record: Record, *, seal_too: bool = True) -> None:
    form, values = RowForm.of(table, found.connection.dialect), record.__dict__
    _demand_as_told(found, form, table, form.stored(values), values, seal_too=seal_too)


def _demand_as_told(
    found: Evidence, form: RowForm, table: Table, raw: Stored, values: Mapping[str, Any], *, seal_too: bool
) -> None:
    subject = form.subject(values)
    digested, recorded = form.digest(raw), found.recorded.get(subject)
    if digested and digested == recorded and (not seal_too or form.is_as_sealed(raw, digested, found.sealer)):
        return
    same = table.c.id == values["id"]  # a doubt: it is read with its types and digested once more
    whole = dict(found.connection.execute(select(table).where(same)).one()._mapping)
    if seal_too and (fault := fault_of(found.sealer, table, whole)) is not None:
        raise Tampered(fault, subject=subject)
    if recorded is None:
        raise Tampered(f"{subject}: no event tells of this row", subject=subject)
    if recorded != row_digest(table, whole):
        raise Tampered(f"{subject}: the row is not what its last event says", subject=subject)
    if raw != form.stored(whole):
        raise Tampered(f"{subject}: the row was changed while it was read", subject=subject)


def demand_content(file: CaseFile, content: Mapping[str, Any], recorded: str, *, digest: str | None = None) -> None:
    """
    Let *content* be what the digest *recorded* was made of.

    :param digest: of the content, where it is known.
    :raises Tampered: it was changed.
    """
    if (digest or keyed_digest(file.secret, content)) != recorded:
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
