"""
Who may vote on one request, now: members of the groups that its stages name, and who stands in for one of them.

A vote that was cast is asked the same question each time votes are counted, so that one of somebody who left the group,
or whose stand-in ended, no longer counts. Who did what is to be signed off may reject it, but not approve it, and
neither may who stands in for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from interlock.domain.approvals.access import Access, Barred, Identity
from interlock.domain.approvals.approval import Ballot, Progress, Stage, count_votes
from interlock.errors import NotAuthorised


class CastVote(Protocol):
    """A vote as it was recorded."""

    @property
    def person(self) -> str:
        """Who voted: an id."""

    @property
    def person_name(self) -> str | None:
        """Their name."""

    @property
    def roles(self) -> Sequence[str] | None:
        """Their roles in Airflow when they voted."""

    @property
    def answer(self) -> str:
        """``approve`` or ``reject``."""

    @property
    def stage_order(self) -> int | None:
        """The stage at which they voted."""

    @property
    def on_behalf_of(self) -> str | None:
        """Whom they stood in for."""


@dataclass(frozen=True)
class Electorate:
    """Who may vote on one request."""

    gate: str
    stages: Sequence[Stage]
    access: Access
    barred: Barred = field(default_factory=Barred)
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Who stands in now, to those for whom: ids."""

    def givers(self, person: Identity, stage: Stage) -> list[str | None]:
        """Return by whose right *person* may vote in *stage*: None for their own, else the one they stand in for."""
        found: list[str | None] = [None] if self._is_of(person, stage) else []
        for giver in self.stand_ins.get(person.id, ()):
            if self._is_of(Identity(giver), stage) and self.barred.reason(Identity(giver)) is None:
                found.append(giver)
        return found

    def _is_of(self, person: Identity, stage: Stage) -> bool:
        return person.id in stage.people or any(self.access.is_member(person, group) for group in stage.groups)

    def progress(self, votes: Iterable[CastVote]) -> Progress:
        """Return what *votes* amount to now."""
        cast = list(votes)
        people = {v.person: Identity(v.person, v.person_name or "", tuple(v.roles or ())) for v in cast}
        by_right_of = {v.person: v.on_behalf_of for v in cast}

        def may_fill(person: str, stage: Stage) -> bool:
            if self.barred.reason(people[person]) is not None:
                return False
            return by_right_of[person] in self.givers(people[person], stage)

        ballots = [Ballot(v.person, v.answer, v.stage_order or 1) for v in cast]
        return count_votes(self.stages, _one_a_right(ballots, by_right_of), may_fill)

    def admit(self, person: Identity, now: Progress, *, approves: bool) -> str | None:
        """
        Let *person* vote at the request's present stage; return whom they stand in for, None by their own right.

        :raises NotAuthorised: they may not, with who may.
        """
        asked = now.asked or tuple(s for s in self.stages if s.order == now.order)
        givers = [giver for stage in asked for giver in self.givers(person, stage)]
        if not givers:
            raise NotAuthorised(
                f"{person.id!r} may not vote at gate {self.gate!r}; it asks now: {self.describe(asked)}. "
                "The groups are in include/company/access.yaml and count once a version of it is in force"
            )
        if approves and (done := self.barred.reason(person)) is not None:
            raise NotAuthorised(
                f"{person.id!r} {done} and may not approve it at gate {self.gate!r}: another of "
                f"{self.describe(asked)} must. Rejecting it is allowed"
            )
        return None if None in givers else givers[0]

    def describe(self, stages: Iterable[Stage]) -> str:
        """Return who is asked by *stages*, for a person."""
        asked = []
        for stage in stages:
            people = [*self.access.members(stage.groups), *stage.people]
            asked.append(f"{stage.name or ', '.join(stage.groups)} ({', '.join(people) or 'nobody'})")
        return "; ".join(asked) or "nobody"

    def voters(self) -> tuple[str, ...]:
        """Return the ids of all who may vote at some stage by right of their own, as far as they are known."""
        people = dict.fromkeys(
            person for stage in self.stages for person in (*self.access.members(stage.groups), *stage.people)
        )
        return tuple(people)


def _one_a_right(ballots: Sequence[Ballot], by_right_of: Mapping[str, str | None]) -> list[Ballot]:
    """Drop a stand-in's approval when the one they stand in for, or another stand-in of theirs, has one, too."""
    used: set[str] = {b.person for b in ballots if by_right_of[b.person] is None}
    kept = []
    for ballot in ballots:
        giver = by_right_of[ballot.person]
        if giver is not None and ballot.answer == "approve":
            if giver in used:
                continue
            used.add(giver)
        kept.append(ballot)
    return kept
