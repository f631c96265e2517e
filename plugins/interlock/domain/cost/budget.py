"""
What may be spent: limits by scope and period, on models' calls.

A workflow's policy limits a case, a run and the workflow; the company's ``budgets.yaml`` limits teams and the company.
All that hold for a call must have room for the most that it can cost, before it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from interlock.domain.base.contract import explain
from interlock.domain.cost.price import to_nano
from interlock.errors import ConfigurationError

if TYPE_CHECKING:
    from interlock.domain.base.calendar import Calendar

Scope = Literal["case", "run", "workflow", "team", "company"]
Period = Literal["day", "month"]
_WIDTH: dict[str, int] = {"case": 0, "run": 1, "workflow": 2, "team": 3, "company": 4}


class Budget(BaseModel):
    """A limit in US dollars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per: Scope
    every: Period | None = None
    """A local day or month of ``calendar.yaml``. A case and a run have none: their limit holds once."""
    limit: Decimal = Field(gt=0)
    soft: float | None = Field(default=None, gt=0, lt=1)
    """Share of the limit past which ``past_soft`` is done, while there is still room."""
    past_soft: Literal["cheaper", "wait"] = "cheaper"
    """Ask the agent's cheaper one, or let the case wait for the next period."""
    team: str | None = None
    workflows: tuple[str, ...] = ()
    """Those of the team."""

    @model_validator(mode="after")
    def _fits(self) -> Budget:
        if self.per in ("case", "run") and self.every:
            raise ValueError(f"a budget per {self.per} holds once; remove every: {self.every}")
        if self.per not in ("case", "run") and not self.every:
            raise ValueError(f"a budget per {self.per} needs every: day or every: month")
        if (self.per == "team") != bool(self.team and self.workflows):
            raise ValueError("a budget per team names its team and the team's workflows, and no other budget does")
        return self

    def __str__(self) -> str:
        whose = f" {self.team!r}" if self.team else ""
        return f"{self.limit} USD per {self.per}{whose}" + (f" and {self.every}" if self.every else "")

    def covers(self, workflow: str) -> bool:
        """Return whether it holds for *workflow*."""
        return self.per != "team" or workflow in self.workflows


class Budgets(BaseModel):
    """``budgets.yaml``: those of the company and its teams."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budgets: tuple[Budget, ...] = ()

    def problems(self) -> list[str]:
        """Return what cannot be meant."""
        problems = [
            f"budgets.yaml: {b} belongs into the policy of a workflow"
            for b in self.budgets
            if b.per not in ("team", "company")
        ]
        return problems + contradictions(self.budgets, where="budgets.yaml")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where the spending under one budget is counted."""

    key: str
    budget: Budget
    until: datetime | None = None
    """When its period ends; None: never."""

    @property
    def limit(self) -> int:
        """Billionths of a US dollar."""
        return to_nano(self.budget.limit)

    @property
    def soft(self) -> int | None:
        """Billionths of a US dollar past which the soft limit is passed."""
        return None if self.budget.soft is None else int(self.limit * self.budget.soft)


def accounts_of(
    budgets: Iterable[Budget], *, environment: str, workflow: str, run: str, at: datetime, calendar: Calendar
) -> list[Account]:
    """Return the accounts that a call of *run* counts against at an instant, but for the case's own; by key."""
    found = []
    for budget in budgets:
        if budget.per == "case" or not budget.covers(workflow):
            continue
        whose = {"run": run, "workflow": workflow, "team": budget.team, "company": "company"}[budget.per]
        key, until = f"{environment}/{budget.per}/{whose}", None
        if budget.every:
            day, until = calendar.day_of(at), period_end(calendar, budget.every, at)
            key += f"/{budget.every}/{day if budget.every == 'day' else f'{day:%Y-%m}'}"
        found.append(Account(key=key, budget=budget, until=until))
    return sorted(found, key=lambda account: account.key)


def period_end(calendar: Calendar, every: Period, at: datetime) -> datetime:
    """Return the instant at which the local day or month of *at* ends."""
    day = calendar.day_of(at)
    after = day + timedelta(days=1) if every == "day" else date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return calendar.midnight(after)


def contradictions(budgets: Sequence[Budget], *, where: str) -> list[str]:
    """Return which of *budgets* cannot both be meant: two for one scope, or one that another keeps from being used."""
    problems: list[str] = []
    seen: dict[tuple[str, str | None, str | None], Budget] = {}
    for budget in budgets:
        place = (budget.per, budget.every, budget.team)
        if place in seen:
            problems.append(f"{where}: {seen[place]} and {budget} contradict each other. Keep one")
        seen[place] = budget
    for narrow, wide in product(budgets, budgets):
        if _is_within(narrow, wide) and narrow.limit > wide.limit:
            problems.append(f"{where}: {narrow} can never be used up, because {wide} ends before. Lower the first")
    return problems


def _is_within(narrow: Budget, wide: Budget) -> bool:
    """Return whether all that counts against *narrow* counts against one period of *wide*."""
    if narrow.per == wide.per:
        return narrow.team == wide.team and narrow.every == "day" and wide.every == "month"
    if wide.per == "team" or narrow.per == "team":  # whose workflows they are is not known here
        return (wide.per == "company" and (narrow.every, wide.every) != ("month", "day")) or False
    return _WIDTH[narrow.per] < _WIDTH[wide.per] and (narrow.every, wide.every) != ("month", "day")


def parse_budgets(document: Any, *, where: str = "company/budgets.yaml") -> Budgets:
    """
    Return the company's budgets of a parsed YAML *document*; None: there is none.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Budgets.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None
