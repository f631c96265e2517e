"""
Recording outcomes that another system tells of: rows of a source, each held against the workflow and its cases.

A row that cannot be taken is rejected with its number and why, and the others go on. Rows are written in groups and
what is recorded is not recorded twice, so the same source, corrected, is simply read again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.domain.base.door import as_text
from interlock.domain.cases.business_key import key_text
from interlock.domain.cases.outcome import NewOutcome, Outcomes, read_instant, read_value
from interlock.domain.data.notation import Notation, read_as_declared
from interlock.domain.data.source import SourceRow
from interlock.errors import ConfigurationError, SourceError, UnknownName
from interlock.ledger.cases.outcome import record_outcomes
from interlock.ledger.policy.version import in_force
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor

GROUP = 500
"""Rows of one transaction."""
KEY_LENGTH = 250
"""No case has a longer key."""
SHOWN = 20
"""Rejected rows that are handed back; the log has all of them."""
FIELDS = ("key", "outcome", "happened_at", "value")


def record(
    ledger: Ledger,
    workflow: str,
    rows: Iterable[SourceRow],
    *,
    source: str,
    actor: Actor,
    columns: Mapping[str, str] | None = None,
    log: logging.Logger | None = None,
) -> dict[str, Any]:
    """
    Record the outcomes of *rows*; return counts, and under ``rejected`` the first lines of what could not be taken.

    :param columns: what the source calls ``key``, ``outcome``, ``happened_at`` and ``value``; left out, it calls them
        so. ``value`` need not be there.
    :raises ConfigurationError: no version of the workflow is in force, or its ``workflow.yaml`` has no outcomes.
    :raises SourceError: the source lacks a column.
    """
    log = log or logging.getLogger("interlock")
    outcomes = in_force(ledger, workflow).bundle.settings.outcomes
    if outcomes is None:
        raise ConfigurationError(
            f"{workflow}/workflow.yaml has no outcomes. Write which there are: outcomes: {{completed: [resolved]}}"
        )
    taken = _Taken(ledger, workflow, source, actor, named_columns(columns or {}), outcomes, log)
    group: list[NewOutcome] = []
    for row in rows:
        outcome = taken.read(row)
        if outcome is not None:
            group.append(outcome)
        if len(group) == GROUP:
            taken.write(group)
            group = []
    taken.write(group)
    log.info("outcomes of %s: %s", source, ", ".join(f"{n} {what}" for what, n in taken.counts.items()) or "no rows")
    return {**taken.counts, "rejected_rows": taken.shown}


def named_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """
    Return what a source calls each field of an outcome, with *columns* in place of the usual names.

    :raises UnknownName: an outcome has no such field.
    """
    for name in columns:
        if name not in FIELDS:
            raise UnknownName("column of an outcome", name, FIELDS)
    return {name: columns.get(name, name) for name in FIELDS}


def pick_fields(values: Mapping[str, Any], columns: Mapping[str, str], source: str) -> dict[str, Any]:
    """
    Return the fields of an outcome from a row of *source*.

    :raises SourceError: a column is not there.
    """
    lacking = [columns[name] for name in FIELDS if name != "value" and columns[name] not in values]
    if lacking:
        raise SourceError(
            f"source {source!r} has no column {', '.join(map(repr, lacking))}; it has: "
            f"{', '.join(map(repr, values))}. Say what it calls {', '.join(FIELDS)}"
        )
    return {name: values.get(column) for name, column in columns.items()}


def read_fields(fields: dict[str, Any], notation: Notation | None) -> dict[str, Any]:
    """
    Return *fields* with the date and the value as everybody writes them.

    :raises ValueError: one is not written as the source declares it.
    """
    if notation is None:
        return fields
    read, problems = read_as_declared(fields, notation, {"happened_at": "date", "value": "number"})
    if problems:
        raise ValueError("; ".join(problems))
    return read


@dataclass
class _Taken:
    """What has become of the rows so far."""

    ledger: Ledger
    workflow: str
    source: str
    actor: Actor
    columns: Mapping[str, str]
    outcomes: Outcomes
    log: logging.Logger
    counts: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    def read(self, row: SourceRow) -> NewOutcome | None:
        self._count("rows")
        if row.values is None:
            self._reject(row.number, "", row.problem or "cannot be read")
            return None
        fields = pick_fields(row.values, self.columns, self.source)
        given = fields["key"]
        key = as_text(key_text(given))
        if key != key_text(given) or len(key) > KEY_LENGTH:
            self._reject(row.number, key[:40], f"the key is longer than {KEY_LENGTH} characters, or no text")
            return None
        try:
            fields = read_fields(fields, row.notation)
            return self._outcome(row.number, key, fields)
        except (ValueError, UnknownName) as error:
            self._reject(row.number, key, as_text(str(error)))
            return None

    def _outcome(self, number: int, key: str, fields: Mapping[str, Any]) -> NewOutcome:
        happened_at = read_instant(fields["happened_at"])
        if happened_at > self.ledger.clock():
            raise ValueError(f"{happened_at:%Y-%m-%d %H:%M} UTC is in the future")
        name = str(fields["outcome"] or "").strip()
        return NewOutcome(
            business_key=key,
            outcome=name,
            happened_at=happened_at,
            final_at=self.outcomes.final_at(name, happened_at),
            value=read_value(fields["value"]),
            row=number,
            source=f"{self.source}, row {number}",
        )

    def write(self, group: list[NewOutcome]) -> None:
        if not group:
            return
        environment = self.ledger.environment
        with self.ledger.write(actor=self.actor, chain=f"outcomes:{environment}:{self.workflow}") as tx:
            found = record_outcomes(tx, environment, self.workflow, group)
        for what, number in (
            ("recorded", found.recorded),
            ("closed", found.closed),
            ("seen_before", found.seen_before),
        ):
            self._count(what, number)
        for one, why in found.rejected:
            self._reject(one.row, one.business_key, why)

    def _reject(self, number: int, key: str, why: str) -> None:
        line = f"row {number}, {key}: {why}" if key else f"row {number}: {why}"
        self._count("rejected")
        self.log.warning("outcome rejected: %s", line)
        if len(self.shown) < SHOWN:
            self.shown.append(line)

    def _count(self, what: str, number: int = 1) -> None:
        if number:
            self.counts[what] = self.counts.get(what, 0) + number
