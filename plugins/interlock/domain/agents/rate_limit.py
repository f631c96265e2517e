"""
What a connection's service takes: how many requests and tokens a minute, how many at once, and when it counts as down.

Written in the company's ``ecosystem.yaml`` under ``limits``, by connection, because the limit is the service's and not
one workflow's: all tasks of the environment share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from interlock.domain.base.contract import explain
from interlock.domain.base.duration import Duration
from interlock.errors import ConfigurationError


class Breaker(BaseModel):
    """When a service counts as down, and is asked no more until one call has gone through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: int = Field(default=10, ge=1)
    """So many calls in a row without an answer."""
    cool_down: Duration = timedelta(seconds=30)
    """How long nobody asks; then one call tries."""
    give_up_after: Duration = timedelta(minutes=10)
    """How long a task waits for it before it leaves its cases where they stand."""


class Limit(BaseModel):
    """What one connection takes; a limit that is omitted does not apply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Input and the most output that a call may have."""
    in_flight: int | None = Field(default=None, ge=1)
    breaker: Breaker = Breaker()


_limits: TypeAdapter[dict[str, Limit]] = TypeAdapter(dict[str, Limit])


def parse_limits(document: Any, *, where: str = "company/ecosystem.yaml") -> Mapping[str, Limit]:
    """
    Return the limits by connection of a parsed ``ecosystem.yaml``.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return _limits.validate_python((document or {}).get("limits") or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where}: limits cannot be used: {'; '.join(explain(error))}") from None


def fair_share(limit: int, wanted: Sequence[int], mine: int) -> int:
    """
    Return how many of *limit* one may have who wants *mine*, when the others want *wanted*.

    Who wants less than an equal part gets all of it, and what that leaves is shared by the others.
    """
    left, asking = limit, sorted([*wanted, mine])
    for position, want in enumerate(asking):
        part = left // (len(asking) - position)
        if want > part:
            return min(mine, part)
        left -= want
    return mine


@dataclass
class Slots:
    """
    A block of a rate: *amount* units from an instant on, one each *interval* seconds.

    Taking some says when they may be used. It is the schedule of a leaky bucket: the units of all blocks follow each
    other, so all tasks together never exceed the rate, in whatever order they ask.
    """

    start: float
    """Seconds since the epoch."""
    interval: float
    amount: float
    used: float = 0.0

    def take(self, units: float) -> float | None:
        """Return from when *units* of it may be used, or None when it has not so many left."""
        if self.used + units > self.amount + 1e-9:
            return None
        begins = self.start + self.used * self.interval
        self.used += units
        return begins

    @property
    def left(self) -> float:
        """Units that nobody took."""
        return max(self.amount - self.used, 0.0)
