"""
What was spent, and on what: by kind, by agent, by what became of the case.

Every figure is a sum over the same lines, and each recorded cost is in exactly one line, so the parts of every
breakdown add up to the total. Costs of cases that failed are in the cost of the outcomes that were got: nobody else
pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

SHARED = "shared"
"""Fate of a cost that belongs to no single case: the time of tasks, and what a dead worker had set aside."""
COMPLETED, UNDONE = "completed", "undone"
"""Fates of a case with an outcome; all others are named by the case's state."""

FATES = {
    COMPLETED: "cases that an outcome completed",
    "executed": "cases that were sent, without an outcome so far",
    UNDONE: "cases whose outcome was undone",
    "rejected": "cases that people rejected",
    "dead": "dead letters",
    "quarantined": "cases in quarantine",
    "closed": "cases closed without an outcome",
    "waiting": "cases that wait",
    "open": "cases in work",
    "routed": "cases in work, routed",
    "authorised": "cases that may be sent",
    SHARED: "no single case: the time of tasks",
}
"""What became of the case that a cost was for, in words; in the order in which reports show it."""
KINDS = {
    "model": "models",
    "local": "local agents",
    "machine": "machine time",
    "people": "people's time",
    "connector": "connectors",
}
"""Kinds of usage in words."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """Recorded costs that are alike."""

    kind: str
    agent: str
    model: str
    fate: str
    failed: bool
    """Calls that gave nothing, and attempts that died."""
    repeated: bool
    """Calls and attempts after the first."""
    cost: Decimal
    rows: int
    unpriced: int
    """Of the rows, those without a price; they are not in the cost."""
    seconds: float
    tokens: int


def total(lines: Iterable[CostLine]) -> Decimal:
    """Return the sum of *lines*, in US dollars."""
    return sum((line.cost for line in lines), Decimal(0))


def split(lines: Iterable[CostLine], by: Callable[[CostLine], K]) -> dict[K, Decimal]:
    """Return the sums of *lines* by what *by* says of each; together they are the total."""
    found: dict[K, Decimal] = {}
    for line in lines:
        found[by(line)] = found.get(by(line), Decimal(0)) + line.cost
    return found


def cost_per_outcome(lines: Iterable[CostLine], completed: int) -> Decimal | None:
    """Return the total over the *completed* outcomes; None when there are none."""
    return total(lines) / completed if completed else None
