"""
Taking cases in: rows of a source become cases, or are quarantined with the field and the reason.

Rows are written in groups, each with its own transaction, and a row whose business key has a case already opens no
second one; so an intake that was cut off is simply run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract, check_payload
from interlock.domain.cases.business_key import is_number, key_text
from interlock.domain.data.notation import kinds_of_fields, read_as_declared, text_alone
from interlock.domain.data.source import ReadSummary, ReturnedSummary, SourceRow
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
    key = _KeyColumn(settings, source)
    given = ReturnedSummary(rows)
    for row in given:
        key.look_at(row)
        left_out |= _tell_left_out(session, row, contract, settings, left_out)
        group.append(_with_duties(duties, _new_case(row, contract, settings, source), contract, now))
        session.count("rows")
        if len(group) == GROUP:
            key.demand()
            _write(session, group, task)
            group, now = [], session.ledger.clock()
    key.demand(given.summary)
    if group:
        _write(session, group, task)
    if given.summary is not None and (omitted := given.summary.describe_omitted()):
        session.count("omitted", given.summary.blank_rows + given.summary.repeated_headers)
        session.log.warning("source %s: %s omitted, which hold no data", source, omitted)
    if not session.counts.get("rows"):
        session.log.warning("source %s holds no rows; nothing was taken in", source)
    return session.finish()


class _KeyColumn:
    """
    Whether the source has the business key at all.

    A source without it is another one than was meant, and is refused as a whole; a row without it, among others that
    have it, is a bad row.
    """

    def __init__(self, settings: Intake, source: str) -> None:
        self._settings, self._source = settings, source
        self._is_there = settings.when_key_is_missing == "digest"
        self._others: tuple[str, ...] | None = None

    def look_at(self, row: SourceRow) -> None:
        """Look at the fields of *row*."""
        if row.values is not None and not self._is_there:
            self._is_there = self._settings.key in row.values
            self._others = self._others or tuple(row.values)

    def demand(self, summary: ReadSummary | None = None) -> None:
        """
        Go on, if some row had the key, or none could be read so far.

        :param summary: of the source, when all of it is read.
        :raises SourceError: no row had it.
        """
        columns = self._others if summary is None or summary.columns is None else summary.columns
        if self._is_there or columns is None or self._settings.key in columns:
            return
        mark = next((mark for mark in ";\t|" if any(mark in name for name in columns)), None)
        advice = (
            f' Is {mark!r} what separates its fields? Then say so: {{"delimiter": {json.dumps(mark)}}}.' if mark else ""
        )
        raise SourceError(
            f"source {self._source!r} has no column {self._settings.key!r}, the business key; it has: "
            f"{', '.join(map(repr, columns))}. Add it, or set intake.when_key_is_missing: digest in workflow.yaml."
            f"{advice}"
        )


def _tell_left_out(
    session: Session, row: SourceRow, contract: type[Contract], settings: Intake, reported: set[str]
) -> set[str]:
    """Say once of each column of the source that the contract does not name, and return the new ones."""
    known = set(contract.model_fields) | set(settings.label.columns if settings.label else ())
    fresh = set(row.values or {}) - known - reported
    if fresh:
        listing = ", ".join(sorted(map(repr, fresh)))
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
    place = f"{source}, row {row.number}"
    if row.values is None:
        body: dict[str, Any] = {"row": row.number, "problem": row.problem}
        return NewCase(
            business_key=f"{source[-120:]}#{row.number}~{digest(body)[:12]}",
            payload=body,
            contract=contract.contract_ref(),
            source=place,
            reason=f"row {row.number}: {row.problem}",
        )
    values = dict(row.values)
    labels = take_labels(values, settings)
    if settings.key not in values and settings.when_key_is_missing == "digest":
        values[settings.key] = content_key(values)
    written = values.get(settings.key)
    key = key_text(written)
    if key and _is_text(contract, settings.key) and (is_number(written) or key != str(written).strip()):
        values[settings.key] = key
    problems: list[str] = []
    if row.notation is not None:
        values, problems = read_as_declared(values, row.notation, kinds_of_fields(contract))
    given = {name: value for name, value in values.items() if name in contract.model_fields and value is not None}
    reason, payload = "; ".join(problems) or None, values
    if reason is None:
        try:
            payload = check_payload(contract, given).model_dump(mode="json")
        except ContractViolation as violation:
            reason = "; ".join(violation.problems)
    if not key or len(key) > KEY_LENGTH:
        key = f"{source[-120:]}#{row.number}~{digest(values)[:12]}"
        reason = reason or f"{settings.key}: is empty or longer than {KEY_LENGTH} characters"
        written = None
    return NewCase(
        business_key=key,
        payload=payload,
        contract=contract.contract_ref(),
        source=place,
        reason=reason,
        labels={} if reason else labels,
        written_key=None if written is None or str(written).strip() == key else str(written).strip()[:KEY_LENGTH],
    )


def _is_text(contract: type[Contract], field: str) -> bool:
    """Return whether the contract takes a text for *field*, and no number."""
    found = contract.model_fields.get(field)
    return found is not None and text_alone(found.annotation)


def content_key(values: Mapping[str, Any]) -> str:
    """Return the business key of a row whose source has no column for one."""
    return f"content-{digest(values)[:12]}"


def take_labels(values: dict[str, Any], settings: Intake) -> Mapping[str, str]:
    """Take the known right answer out of *values* and return it by field."""
    if settings.label is None:
        return {}
    found = {}
    for column in settings.label.columns:
        value = values.pop(column, None)
        if value not in (None, "") and settings.label.field not in found:
            found[settings.label.field] = str(value)
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
