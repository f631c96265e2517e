"""
What happens at a gate that nobody answers: remind, reassign, escalate, expire, each after a time in working hours.

Expiry is never a yes. Reassigning lets another group vote in the place of the gate's own; stages that the company's
approval matrix adds stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from interlock.domain.base.calendar import BusinessDuration, BusinessTime, Calendar

Step = Literal["remind", "reassign", "escalate", "expire"]


class Rung(BaseModel):
    """A step that brings another group in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: BusinessDuration
    to: str = Field(min_length=1)
    """A group of ``access.yaml``."""


class Ladder(BaseModel):
    """The steps of one gate; a step that is omitted is not taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remind: BusinessDuration | None = None
    reassign: Rung | None = None
    """The group may vote, too."""
    escalate: Rung | None = None
    """The group is notified, with the contacts of the workflow's approver."""
    expire: BusinessDuration | None = None
    """The case is a dead letter then."""

    @model_validator(mode="after")
    def _climbs(self) -> Ladder:
        if problem := self.out_of_order(Calendar()):
            raise ValueError(problem)
        return self

    def out_of_order(self, calendar: Calendar) -> str | None:
        """Return which step comes too early in the hours of *calendar*, of which a day need not have 24, or None."""
        start = calendar.next_open(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
        ends = [(step, calendar.add(start, after)) for step, after in self.steps()]
        for (first, one), (then, other) in pairwise(ends):
            if one >= other:
                return f"{then} does not come after {first}"
        return None

    def steps(self) -> Iterator[tuple[Step, BusinessTime]]:
        """Yield the steps in order, with their times."""
        if self.remind is not None:
            yield "remind", self.remind
        if self.reassign is not None:
            yield "reassign", self.reassign.after
        if self.escalate is not None:
            yield "escalate", self.escalate.after
        if self.expire is not None:
            yield "expire", self.expire

    def groups(self) -> tuple[str, ...]:
        """Return the groups that it names."""
        return tuple(rung.to for rung in (self.reassign, self.escalate) if rung is not None)

    def due(self, opened_at: datetime, now: datetime, calendar: Calendar, taken: Collection[str]) -> list[Step]:
        """
        Return the steps whose time has come, from behind the last that was taken.

        When more than one was missed (nobody looked for a day), all of them are due, but no reminder beside another.
        """
        steps = list(self.steps())
        behind = max((place for place, (step, _) in enumerate(steps) if step in taken), default=-1) + 1
        start = calendar.next_open(opened_at)  # what is asked on a Saturday is asked on Monday
        found = [step for step, after in steps[behind:] if calendar.add(start, after) <= now]
        return [step for step in found if step != "remind"] or found if len(found) > 1 else found


def all_away(people: Collection[str], at: datetime, calendar: Calendar) -> bool:
    """Return whether everybody of *people* is on leave on the day of *at*; nobody at all is not on leave."""
    return bool(people) and all(calendar.is_away(person, at) for person in people)
