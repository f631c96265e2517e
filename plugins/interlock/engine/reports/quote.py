"""
Saying before a run what it will cost: the source's rows are counted, and held against what earlier runs did.

Each row is read as the intake reads it. Rows whose case is in the ledger already cost nothing and are not counted;
those that will be quarantined are cases as well, as they are in the history. Nothing of a row is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interlock.domain.base.timeframe import parse_period
from interlock.domain.data.source import SourceRow
from interlock.domain.reports.quote import COVERAGE, estimate
from interlock.engine.cases.intake import _new_case
from interlock.engine.policy.bundle import check_contract, load_contracts
from interlock.errors import UnknownName
from interlock.ledger.cases.case import NewCase, known_keys
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import in_force
from interlock.ledger.reports.quote import list_quotes, past_runs, write_quote
from interlock.ledger.reports.report_scope import scopes
from interlock.ledger.store.ledger import Ledger

GROUP = 500
FIGURES = ("reviews", "seconds", "usd")


@dataclass
class _Counted:
    """The rows of a source."""

    rows: int = 0
    known: int = 0
    """They have a case already."""
    repeated: int = 0
    quarantined: int = 0
    """They do not satisfy the contract."""


def quote_run(
    ledger: Ledger, workflow: str, rows: Iterable[SourceRow], *, source: str, include: Path, seed: int | None = None
) -> dict[str, Any]:
    """
    Return what a run over *rows* will take, by the history of the phase that is in force, and keep it as a quote.

    :param source: what the rows come from, as the run's intake will find it.
    :param include: the folder of the workflow's ``contracts.py``.
    :param seed: of the draws; default: a different one each time.
    :raises ConfigurationError: no version is in force.
    :raises SourceError: the source cannot be read, or has no column for the business key.
    """
    bundle = in_force(ledger, workflow).bundle
    settings = bundle.settings
    contract = load_contracts(include, workflow, [settings.intake.contract])[settings.intake.contract]
    check_contract(bundle, contract)
    company = company_in_force(ledger)
    read = (_new_case(row, contract, settings.intake, source) for row in rows)
    counted = _count(ledger, workflow, read)
    new = counted.rows - counted.known - counted.repeated
    with ledger.read() as connection:
        try:
            found = scopes(connection, ledger, workflow, parse_period("all", company.calendar, ledger.clock()))
        except UnknownName:  # it never ran
            found = []
        history = [run for scope in found if scope.phase == settings.phase for run in past_runs(connection, scope)]
    rate = company.prices.machine.per_hour
    estimates = estimate(history, new, machine_per_hour=rate, rng=np.random.default_rng(seed))
    answer = {
        **{name: one.to_json() for name, one in estimates.items()},
        "phase": settings.phase,
        "rows": counted.rows,
        "known": counted.known,
        "repeated": counted.repeated,
        "quarantined": counted.quarantined,
        "coverage": COVERAGE,
        "from_runs": len(history),
        "from_cases": sum(run.cases for run in history),
    }
    row = write_quote(ledger, workflow, source=source, cases=new, estimate=answer)
    return {"id": row.id, "workflow": workflow, "source": source, "cases": new, **answer}


def quote_history(ledger: Ledger, workflow: str) -> dict[str, Any]:
    """Return the quotes of *workflow* with what became of them, and how many held."""
    rows = list_quotes(ledger, workflow)
    held: dict[str, dict[str, int]] = {}
    for name in FIGURES:
        inside = [row.inside(name) for row in rows if row.actual]
        held[name] = {
            "inside": inside.count(True),
            "outside": inside.count(False),
            "without_interval": inside.count(None),
        }
    quotes = [{**row.values(), "created_at": row.created_at.isoformat()} for row in rows]
    return {"workflow": workflow, "environment": ledger.environment, "held": held, "quotes": quotes}


def _count(ledger: Ledger, workflow: str, rows: Iterable[NewCase]) -> _Counted:
    found = _Counted()
    seen: set[str] = set()
    group: list[str] = []

    def look() -> None:
        with ledger.read() as connection:
            found.known += len(known_keys(connection, ledger.environment, workflow, group))
        group.clear()

    for row in rows:
        found.rows += 1
        found.quarantined += row.reason is not None
        key = row.business_key
        if key in seen:
            found.repeated += 1
            continue
        seen.add(key)
        group.append(key)
        if len(group) == GROUP:
            look()
    look()
    return found
