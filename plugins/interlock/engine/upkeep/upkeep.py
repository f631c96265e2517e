"""
What has to be done while nothing else happens: steps of the ladders of gates, cases that are late, figures past their
threshold, notices.

Every step is recorded with the request that it was taken for, in one transaction with its notice, so that looking twice
does nothing twice. One notice tells of all cases of a gate that took the same step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from interlock.domain.approvals.escalation import Ladder, all_away
from interlock.domain.approvals.request_state import GateState
from interlock.domain.base.calendar import BusinessTime
from interlock.domain.base.plural import counted
from interlock.domain.cases.case import CaseState
from interlock.domain.policy.company import Company
from interlock.domain.policy.version import WorkflowVersion
from interlock.engine.datasets.retention import expired_snapshots
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.upkeep.kpi_threshold import tell_breaches
from interlock.ledger.approvals.escalation_step import lock_requests, record_step
from interlock.ledger.approvals.gate import electorate_of, open_requests_of, stages_of, votes_on
from interlock.ledger.cases.case import move
from interlock.ledger.cases.late import count_still_late, lock_late
from interlock.ledger.incidents.incident import escalate_incident, unanswered
from interlock.ledger.incidents.notice import (
    UPKEEP,
    claim_notices,
    list_notices,
    settle_notice,
    workflows_since,
    write_notice,
)
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import find_in_force, load_version
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import Case, CaseChange, GateRequest, Notice
from interlock.ledger.store.transaction import Transaction

A_WORKING_HOUR = BusinessTime(time=timedelta(hours=1))
A_WORKING_DAY = BusinessTime(days=1)
GROUP = 200
"""Requests of one transaction."""
LOOKED_AT = 100_000

Send = Callable[[Notice, list[str]], None]
"""Sends a notice to addresses; an exception says that it did not."""


@dataclass
class _Taken:
    """A step that some requests at one gate took, told of in one notice."""

    workflow: str
    gate: str
    step: str
    recipients: tuple[str, ...]
    why: str
    cases: int = 0


def keep_up(
    ledger: Ledger,
    *,
    send: Send | None = None,
    snapshots: Snapshots | None = None,
    log: logging.Logger | None = None,
) -> dict[str, int]:
    """
    Take the steps that are due, tell whose cases are late, and send what waits; return counts.

    :param send: left out, notices stay waiting.
    :param snapshots: of datasets; those whose time is over are deleted. Left out, all stay.
    """
    log = log or logging.getLogger("interlock")
    company = company_in_force(ledger)
    counts: dict[str, int] = {}
    waiting = open_requests_of(ledger, limit=LOOKED_AT)
    versions = _versions(ledger, {row.version_id for row in waiting})
    due = [row for row in waiting if _due(row, versions[row.version_id], company, ledger)]
    for group in in_groups(due, GROUP):
        _take_steps(ledger, company, group, versions, counts)
    _tell_lateness(ledger, company, counts)
    _escalate_lateness(ledger, company, counts)
    _escalate_incidents(ledger, company, counts)
    if broken := tell_breaches(ledger, company):
        counts["kpis_told"] = broken
    if snapshots is not None and (deleted := snapshots.delete(expired_snapshots(ledger))):
        counts["snapshots_deleted"] = deleted
    if send is None:
        waits = sum(row.state == "waiting" for row in list_notices(ledger))
        if waits:
            log.warning("%d notices wait: there is no notifier. Set [interlock] notifiers", waits)
    else:
        _send_all(ledger, company, send, counts, log)
    log.info("upkeep: %s", ", ".join(f"{count} {what}" for what, count in counts.items()) or "nothing was due")
    return counts


def _versions(ledger: Ledger, ids: set[str]) -> dict[str, WorkflowVersion]:
    with ledger.read() as connection:
        return {version_id: load_version(connection, version_id) for version_id in ids}


def _ladder(row: GateRequest, version: WorkflowVersion) -> Ladder:
    gate = version.bundle.policy.gates.get(row.gate)
    return gate.ladder if gate is not None else Ladder()


def _due(row: GateRequest, version: WorkflowVersion, company: Company, ledger: Ledger) -> list[Any]:
    ladder = _ladder(row, version)
    return list(ladder.due(row.opened_at, ledger.clock(), company.calendar, row.steps or ()))


def _take_steps(
    ledger: Ledger,
    company: Company,
    asked: Sequence[GateRequest],
    versions: Mapping[str, WorkflowVersion],
    counts: dict[str, int],
) -> None:
    notices: dict[tuple[str, ...], _Taken] = {}
    with ledger.write(actor=UPKEEP, chain=f"upkeep:{ledger.environment}") as tx:
        tx.take_turns(f"upkeep:{ledger.environment}")
        for request, row in lock_requests(tx, asked):
            if request.state != GateState.OPEN.value:
                continue
            for step in _due(request, versions[request.version_id], company, ledger):
                request = _take(tx, company, versions[request.version_id], row, request, step, notices)
                counts[step] = counts.get(step, 0) + 1
                if request.state != GateState.OPEN.value:
                    break
        for taken in notices.values():
            _write(tx, ledger, taken)


def _take(
    tx: Transaction,
    company: Company,
    version: WorkflowVersion,
    row: Case,
    request: GateRequest,
    step: str,
    notices: dict[tuple[str, ...], _Taken],
) -> GateRequest:
    ladder, access, gate = _ladder(request, version), company.access, request.gate
    electorate = electorate_of(tx.connection, tx.at, request, access)
    now = electorate.progress(votes_on(tx.connection, request.id))
    voters = tuple(
        person for stage in now.asked for person in dict.fromkeys((*access.members(stage.groups), *stage.people))
    )
    higher = access.members([ladder.escalate.to]) if ladder.escalate is not None else ()
    contacts = tuple(contact.email for contact in version.bundle.settings.approver.escalation)
    recipients, why = voters, "still wait for your decision"
    changed = replace(request, steps=[*(request.steps or ()), step])
    if step == "remind" and all_away(voters, tx.at, company.calendar):
        recipients, why = (*higher, *contacts), f"wait, and everybody who may decide is on leave ({', '.join(voters)})"
    elif step == "reassign" and ladder.reassign is not None:
        group = ladder.reassign.to
        recipients, why = access.members([group]), f"are yours to decide, too: nobody of {', '.join(voters)} did"
        stages = [stage.model_dump(mode="json") for stage in stages_of(request)]
        if stages[0]["groups"] == [_own(version, gate)]:  # the gate's own comes first; another may ask the same group
            stages[0]["groups"].append(group)
        changed = replace(changed, stages=stages, voters=list(dict.fromkeys([*request.voters, *recipients])))
    elif step == "escalate":
        recipients, why = (*higher, *contacts), f"were not decided by {', '.join(voters)}"
    elif step == "expire":
        recipients = (*voters, *higher, *contacts)
        why = "expired: nobody decided in time. They are dead letters, and nothing was sent"
        changed = replace(changed, state=GateState.EXPIRED.value, decided_at=tx.at)
    after = record_step(tx, changed, step)
    if step == "expire" and row.state == CaseState.WAITING:
        reason = f"gate {gate!r} expired: nobody decided since {request.opened_at:%Y-%m-%d %H:%M} UTC"
        move(tx, [(row, CaseChange(state=CaseState.DEAD, task=None, reason=reason))], kind="case.expired")
    key = (row.workflow, gate, step, *recipients)
    taken = notices.setdefault(key, _Taken(row.workflow, gate, step, recipients, why))
    taken.cases += 1
    return after


def _own(version: WorkflowVersion, gate: str) -> str:
    return version.bundle.policy.gates[gate].voters


def _write(tx: Transaction, ledger: Ledger, taken: _Taken) -> None:
    number = f"{taken.cases} case" + ("s" if taken.cases > 1 else "")
    write_notice(
        tx,
        environment=ledger.environment,
        workflow=taken.workflow,
        kind=taken.step,
        recipients=taken.recipients,
        subject=f"{taken.workflow}: {number} at gate {taken.gate}",
        body=f"{number} of {taken.workflow} at gate {taken.gate} {taken.why}. "
        "Look at Interlock's reviews in Airflow, or: airflow interlock review list",
    )


def _tell_lateness(ledger: Ledger, company: Company, counts: dict[str, int]) -> None:
    now = ledger.clock()
    while True:
        with ledger.write(actor=UPKEEP, chain=f"upkeep:{ledger.environment}") as tx:
            tx.take_turns(f"upkeep:{ledger.environment}")
            rows = lock_late(tx, ledger.environment, at=now, limit=GROUP)
            if not rows:
                return
            move(tx, [(row, CaseChange(late_told_at=tx.at)) for row in rows], kind="case.late")
            whose: dict[tuple[str, str], int] = {}
            for row in rows:
                place = (row.workflow, row.owner or "")
                whose[place] = whose.get(place, 0) + 1
            for (workflow, owner), number in whose.items():
                members = company.access.members([owner]) or _answering(tx, ledger, workflow, owner)
                write_notice(
                    tx,
                    environment=ledger.environment,
                    workflow=workflow,
                    kind="late",
                    recipients=members,
                    subject=f"{workflow}: {counted(number, 'case', 'are')} late",
                    body=f"{counted(number, 'case', 'are')} past the service level: {workflow}, owner "
                    f"{owner or 'nobody'}. airflow interlock cases list --late --workflow {workflow}",
                )
            counts["late"] = counts.get("late", 0) + len(rows)


def _escalate_lateness(ledger: Ledger, company: Company, counts: dict[str, int]) -> None:
    """Tell those above the owner, once a day, of cases that are still open a working day after their owner was told."""
    now = ledger.clock()
    with ledger.write(actor=UPKEEP, chain=f"upkeep:{ledger.environment}") as tx:
        tx.take_turns(f"upkeep:{ledger.environment}")
        still: dict[str, int] = {}
        for late in count_still_late(tx.connection, ledger.environment):
            if company.calendar.add(late.notified_at, A_WORKING_DAY) <= now:
                still[late.workflow] = still.get(late.workflow, 0) + late.cases
        today = company.calendar.day_start(now)
        known = workflows_since(tx.connection, ledger.environment, kind="overdue", since=today)
        for workflow, number in still.items():
            version = find_in_force(tx.connection, ledger.environment, workflow, now)
            if workflow in known or version is None:
                continue
            owner = version.bundle.settings.owner
            write_notice(
                tx,
                environment=ledger.environment,
                workflow=workflow,
                kind="overdue",
                recipients=[owner.email, *(contact.email for contact in owner.escalation)],
                subject=f"{workflow}: {counted(number, 'case', 'are')} still late",
                body=f"{counted(number, 'case', 'are')} still open a working day after the owner was told: {workflow}. "
                f"airflow interlock cases list --late --workflow {workflow}",
            )
            counts["overdue"] = counts.get("overdue", 0) + number


def _escalate_incidents(ledger: Ledger, company: Company, counts: dict[str, int]) -> None:
    """Tell those above the owner, once, of incidents that nobody acknowledged within a working hour."""
    with ledger.write(actor=UPKEEP, chain=f"upkeep:{ledger.environment}") as tx:
        tx.take_turns(f"upkeep:{ledger.environment}")
        for row in unanswered(tx.connection, ledger.environment):
            version = find_in_force(tx.connection, ledger.environment, row.workflow, tx.at)
            if version is None or company.calendar.add(row.opened_at, A_WORKING_HOUR) > tx.at:
                continue
            owner = version.bundle.settings.owner
            escalate_incident(tx, row)
            write_notice(
                tx,
                environment=ledger.environment,
                workflow=row.workflow,
                kind="incident",
                recipients=[contact.email for contact in owner.escalation],
                subject=f"{row.workflow}: {row.kind} at {row.subject} is not acknowledged",
                body=f"Since {row.opened_at:%Y-%m-%d %H:%M} UTC nobody acknowledged it. {row.reason}\n"
                f"airflow interlock incidents acknowledge {row.id[-8:]}",
            )
            counts["incidents_escalated"] = counts.get("incidents_escalated", 0) + 1


def _answering(tx: Transaction, ledger: Ledger, workflow: str, owner: str) -> tuple[str, ...]:
    """Return whom to tell of a case whose owner is no group: the workflow's own owner by address, a person by id."""
    version = find_in_force(tx.connection, ledger.environment, workflow, tx.at)
    if version is not None and owner == version.bundle.settings.owner.name:
        return (version.bundle.settings.owner.email,)
    return (owner,) if owner else ()


def _send_all(ledger: Ledger, company: Company, send: Send, counts: dict[str, int], log: logging.Logger) -> None:
    for row in claim_notices(ledger):
        known = {name: company.access.contacts.get(name, name if "@" in name else "") for name in row.recipients}
        addresses = [address for address in known.values() if address]
        error: str | None = None
        if not addresses:
            error = f"nobody of {', '.join(known) or 'nobody'} has an address: write contacts in company/access.yaml"
        else:
            try:
                send(row, addresses)
            except Exception as problem:  # a notice that fails is kept and tried again; no gate waits for it
                error = f"{type(problem).__name__}: {problem}"
        settle_notice(ledger, row, error=error)
        counts["notices_failed" if error else "notices_sent"] = (
            counts.get("notices_failed" if error else "notices_sent", 0) + 1
        )
        if error:
            log.warning("notice %r was not sent (try %d): %s", row.subject, row.attempts, error)
