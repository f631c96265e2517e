"""
How the budgets stand that hold for workflows: their limits, what was spent and is set aside of them, until when.

A budget per run has an account for each run, and one per case none at all: what a case cost stands in its own rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interlock.domain.cost.budget import Account, Budget, accounts_of
from interlock.domain.cost.price import from_nano
from interlock.domain.policy.company import Company
from interlock.domain.policy.version import WorkflowVersion
from interlock.ledger.cost.budget import balances
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.policy.version import in_force, versions_in_force
from interlock.ledger.runs.run import runs_at_work
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Connection

_PAST = {"cheaper": "a cheaper agent is asked", "wait": "cases wait"}
_ORDER = ("case", "run", "workflow", "team", "company")


def budget_report(ledger: Ledger, workflow: str | None = None) -> dict[str, Any]:
    """
    Return the budgets that hold now for *workflow*, or for all, as JSON types: the narrow ones first.

    A run keeps the limit of the version that it pinned; all others are those in force. Of a budget per run the newest
    run is told, and those of the four before it that are not over.

    :raises ConfigurationError: no version of *workflow* is in force.
    """
    company = company_in_force(ledger)
    versions = [in_force(ledger, workflow)] if workflow else versions_in_force(ledger)
    with ledger.read() as connection:
        # One of a team or the company holds for many workflows and is told once.
        found = {
            account.key if account else f"{budget.per}/{whose}": (budget, whose, account)
            for version in versions
            for budget, whose, account in _that_hold(connection, ledger, version, company)
        }
        standing = balances(connection, list(found))
    narrow_first = sorted(found.items(), key=lambda item: _order(*item[1][:2]))
    rows = [_row(*one, standing.get(key, (0, 0))) for key, one in narrow_first]
    return {"environment": ledger.environment, "at": ledger.clock().isoformat(), "budgets": rows}


def _that_hold(
    connection: Connection, ledger: Ledger, version: WorkflowVersion, company: Company
) -> Iterator[tuple[Budget, str, Account | None]]:
    """Yield each budget of a workflow, whose it is, and its account."""
    name, now = version.bundle.workflow, ledger.clock()
    own = version.bundle.policy.budgets
    runs = runs_at_work(connection, ledger.environment, name)
    for budget in own:
        if budget.per == "case" or (budget.per == "run" and not runs):
            yield budget, f"each of {name}", None
    per_run = [(b, run.id, run.run_id) for run in runs for b in run.version.bundle.policy.budgets if b.per == "run"]
    wide = [(b, "", b.team or name) for b in (*own, *company.budgets.budgets) if b.per not in ("case", "run")]
    for budget, run_id, whose in (*per_run, *wide):
        for account in accounts_of(
            [budget], environment=ledger.environment, workflow=name, run=run_id, at=now, calendar=company.calendar
        ):
            yield budget, "all workflows" if budget.per == "company" else whose, account


def _order(budget: Budget, whose: str) -> tuple[int, str, str]:
    return _ORDER.index(budget.per), whose, budget.every or ""


def _row(budget: Budget, whose: str, account: Account | None, standing: tuple[int, int]) -> dict[str, Any]:
    spent, reserved = standing
    money = {"spent": spent, "reserved": reserved, "left": account.limit - spent - reserved} if account else {}
    row = {
        "budget": f"per {budget.per}" + (f" and {budget.every}" if budget.every else ""),
        "per": budget.per,
        "every": budget.every,
        "of": whose,
        "limit": format(budget.limit, "f"),
        **dict.fromkeys(("spent", "reserved", "left")),
        "soft": budget.soft,
        "soft_told": f"{budget.soft:.0%}: {_PAST[budget.past_soft]}" if budget.soft is not None else "",
        "is_past_soft": spent + reserved > account.soft if account and account.soft is not None else None,
        "until": account.until.isoformat() if account and account.until else None,
    }
    return row | {name: format(from_nano(amount), "f") for name, amount in money.items()}
