"""
Taking cases in: rows of a source become cases, or are quarantined with the field and the reason.

Rows are written in groups, each with its own transaction, and a row whose business key has a case already opens no
second one; so an intake that was cut off is simply run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract, accept
from interlock.domain.base.door import as_kept, as_text
from interlock.domain.data.source import SourceRow
from interlock.domain.policy.service_level import CaseDuties
from interlock.domain.policy.workflow import Intake
from interlock.engine.policy.bundle import check_contract
from interlock.engine.runs.session import Session
from interlock.engine.sources.source import located
from interlock.errors import ContractViolation, SourceError
from interlock.ledger.cases.case import NewCase, take_in, take_up_waited, take_up_waiting
from interlock.ledger.reports.quote import claim_quote
from interlock.ledger.runs.run import unfinished_runs

GROUP = 500
"""Rows of one transaction."""

KEY_LENGTH = 200
REASON_LENGTH = 4000
SOURCE_LENGTH = 450
"""Characters of a source's name, from its end, where it is part of a place or a key."""


def take_in_rows(
    session: Session, rows: Iterable[SourceRow], *, contract: type[Contract], source: str
) -> dict[str, int]:
    """
    Open a case for each row that satisfies *contract*; return counts.

    :raises SourceError: the source has no column for the business key, and the workflow does not say what to do then.
    :raises SwitchedOff: the workflow was switched off; the rows that are not taken in yet stay at their source.
    """
    session.check_switches()
    check_contract(session.version.bundle, contract)
    source = as_text(source)
    settings = session.version.bundle.settings.intake
    session.place_after(None)  # refuses what must not follow an intake
    task = session.task_after(None)
    with session.write() as tx:
        session.count("taken_up", take_up_waited(tx, session.run, tasks=session.run.wiring.tasks))
        claim_quote(tx, session.run, located(source, session.include.parent))
    duties = CaseDuties(session.version.bundle, session.company.calendar)
    group: list[NewCase] = []
    now = session.ledger.clock()
    left_out: set[str] = set()
    for row in rows:
        left_out |= _tell_left_out(session, row, contract, settings, left_out)
        group.append(_with_duties(duties, _new_case(row, contract, settings, source), contract, now))
        session.count("rows")
        if len(group) == GROUP:
            _write(session, group, task)
            group, now = [], session.ledger.clock()
    if group:
        _write(session, group, task)
    if not session.counts.get("rows"):
        session.log.warning("source %s holds no rows; nothing was taken in", source)
    return session.finish()


def _tell_left_out(
    session: Session, row: SourceRow, contract: type[Contract], settings: Intake, reported: set[str]
) -> set[str]:
    """Say once of each column of the source that the contract does not name, and return the new ones."""
    known = set(contract.model_fields) | set(settings.label.columns if settings.label else ())
    fresh = set(row.values or {}) - known - reported
    if fresh:
        listing = ", ".join(sorted(repr(as_text(str(name), 100)) for name in fresh))
        session.log.warning("columns that %s does not name are ignored: %s", contract.contract_ref(), listing)
    return fresh


def _write(session: Session, group: list[NewCase], task: str) -> None:
    with session.write() as tx:
        taken = take_in(tx, session.run, group, task=task)
    session.count("opened", taken.opened)
    session.count("quarantined", taken.quarantined)
    session.count("seen_before", taken.seen_before)
    session.log.info("taken in %s", ", ".join(f"{count} {what}" for what, count in session.counts.items()))


def _with_duties(duties: CaseDuties, new: NewCase, contract: type[Contract], now: datetime) -> NewCase:
    known: dict[str, Any] = {f"case.{name}": value for name, value in new.payload.items()}
    filled = [name for name, value in new.payload.items() if value not in (None, "", [], {})]
    known |= {"known": sorted(filled), "missing": sorted(set(contract.model_fields) - set(filled))}
    return replace(new, owner=duties.owner(known), due_at=duties.due_at(known, now))


def _new_case(row: SourceRow, contract: type[Contract], settings: Intake, source: str) -> NewCase:
    """
    Return what becomes of *row*: a case, or with a reason, a quarantined one. Readiness asks the same of each row.

    :raises SourceError: the source has no column for the business key, and the workflow does not say what to do then.
    """
    place = f"{source[-SOURCE_LENGTH:]}, row {row.number}"
    if row.values is None:
        problem = as_text(str(row.problem), REASON_LENGTH)
        body: dict[str, Any] = {"row": row.number, "problem": problem}
        return NewCase(
            business_key=f"{source[-120:]}#{row.number}~{digest(body)[:12]}",
            payload=body,
            contract=contract.contract_ref(),
            source=place,
            reason=f"row {row.number}: {problem}",
        )
    values = dict(row.values)
    labels = take_labels(values, settings)
    if settings.key not in values:
        if settings.when_key_is_missing != "digest":
            raise SourceError(
                f"source {source!r} has no column {settings.key!r}, the business key; it has: "
                f"{', '.join(map(repr, values))}. Add it, or set intake.when_key_is_missing: digest in workflow.yaml"
            )
        values[settings.key] = content_key(values)
    given = {name: value for name, value in values.items() if name in contract.model_fields and value is not None}
    reason = None
    try:
        payload = accept(contract, given)
    except ContractViolation as violation:
        reason = as_text("; ".join(violation.problems), REASON_LENGTH)
        payload = as_kept(values)
    key = row_key(values, settings)
    if not key or len(key) > KEY_LENGTH or as_text(key) != key:
        key = f"{source[-120:]}#{row.number}~{digest(as_kept(values))[:12]}"
        reason = reason or f"{settings.key}: is empty, longer than {KEY_LENGTH} characters, or holds what no text may"
    return NewCase(
        business_key=key,
        payload=payload,
        contract=contract.contract_ref(),
        source=place,
        reason=reason,
        labels={} if reason else labels,
    )


def row_key(values: Mapping[str, Any], settings: Intake) -> str:
    """Return the business key that stands in a row; empty: none does."""
    return str(as_kept(values.get(settings.key)) or "").strip()


def content_key(values: Mapping[str, Any]) -> str:
    """Return the business key of a row whose source has no column for one."""
    return f"content-{digest(as_kept(values))[:12]}"


def take_labels(values: dict[str, Any], settings: Intake) -> Mapping[str, str]:
    """Take the known right answer out of *values* and return it by field."""
    if settings.label is None:
        return {}
    found = {}
    for column in settings.label.columns:
        value = values.pop(column, None)
        if value not in (None, "") and settings.label.field not in found:
            found[settings.label.field] = as_text(str(as_kept(value)))
    return found


def take_up(session: Session) -> dict[str, int]:
    """Take up the cases that wait in the ledger, each where it stands; return how many."""
    finished = session.finished_runs(
        [run for run in unfinished_runs(session.ledger, session.run.workflow) if run[0] != session.run.id]
    )
    with session.write() as tx:
        session.count("taken_up", take_up_waiting(tx, session.run, finished=finished, tasks=session.run.wiring.tasks))
    session.log.info("%d waiting cases taken up", session.counts.get("taken_up", 0))
    return session.finish()
