"""
How many people of which groups must agree, and whether the votes that there are suffice.

The same for a case at a gate and for a version that shall be in force: stages, each asking for votes of a group. Stages
of the same order are asked side by side, those of a higher one after them. One person counts once, whichever groups
they are in; and a vote counts only while its voter may vote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.domain.approvals.request_state import GateState
from interlock.domain.base.contract import explain
from interlock.domain.base.expression import Expression
from interlock.errors import ConfigurationError, PolicyError

CASE_TYPES: dict[str, Any] = {
    "environment": cel.Type.STRING,
    "workflow": cel.Type.STRING,
    "gate": cel.Type.STRING,
    "route": cel.Type.STRING,
    "action": cel.Type.STRING,
    "amount": cel.Type.DOUBLE,
    "risk": cel.Type.STRING,
    "kind": cel.Type.STRING,
}
"""
What a row for cases may read. ``amount``, ``risk`` and ``kind`` are what the policy's ``exposure`` says of the case.
"""
VERSION_TYPES: dict[str, Any] = {
    "environment": cel.Type.STRING,
    "workflow": cel.Type.STRING,
    "phase": cel.Type.STRING,
}
"""What a row for versions may read; ``workflow`` is ``company`` for the company's own files."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(_Frozen):
    """Votes that are asked for."""

    name: str = ""
    groups: tuple[str, ...] = ()
    """Whose members may give them."""
    people: tuple[str, ...] = ()
    """Persons beside the groups, by id."""
    votes: int = Field(default=1, ge=1)
    order: int = Field(default=1, ge=1)
    """Stages of a higher order are asked once these have their votes."""


class ApprovalRow(_Frozen):
    """One row of the approval matrix."""

    name: str = Field(min_length=1)
    when: str = Field(default="true", min_length=1)
    """CEL. A row that matches adds its stages; one that cannot be evaluated counts as matching."""
    stages: tuple[Stage, ...] = Field(min_length=1)


class Approvals(_Frozen):
    """``approvals.yaml``."""

    versions: tuple[ApprovalRow, ...] = ()
    cases: tuple[ApprovalRow, ...] = ()
    trusted_keys: dict[str, str] = Field(default_factory=dict)
    """Environment to the public key, base64, of the Ed25519 signature that its exported versions carry."""

    def problems(self, groups: Mapping[str, Sequence[str]]) -> list[str]:
        """Return what cannot work: a condition that does not compile, a group that is not there or too small."""
        problems = []
        for kind, rows, types in (("versions", self.versions, VERSION_TYPES), ("cases", self.cases, CASE_TYPES)):
            for row in rows:
                place = f"approvals.yaml, {kind}, {row.name!r}"
                try:
                    Expression(row.when, types)
                except PolicyError as error:
                    problems.append(f"{place}: {error}")
                for stage in row.stages:
                    problems += [f"{place}: {problem}" for problem in stage_problems(stage, groups)]
        return problems


def stage_problems(stage: Stage, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return why the votes of *stage* can never come together."""
    problems = []
    for group in stage.groups:
        if group not in groups:
            problems.append(f"{group!r} is no group of access.yaml (known: {', '.join(sorted(groups)) or 'none'})")
        elif not groups[group]:
            problems.append(f"group {group!r} has nobody in it")
    if not stage.groups and not stage.people:
        problems.append("names neither groups nor people, so nobody could vote")
    people = {person for group in stage.groups for person in groups.get(group, ())} | set(stage.people)
    by_role = any(person.startswith("role:") for person in people)
    if not problems and not by_role and len(people) < stage.votes:
        problems.append(f"asks for {stage.votes} votes, and there are {len(people)} people who could give them")
    return problems


def parse_approvals(document: Any, *, where: str = "company/approvals.yaml") -> Approvals:
    """
    Return the approval matrix of a parsed YAML *document*.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Approvals.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None


def stages_for(
    rows: Iterable[ApprovalRow], types: Mapping[str, Any], inputs: Mapping[str, Any]
) -> list[tuple[ApprovalRow, Stage]]:
    """Return the stages that the matrix asks for, with the row that asks; every row that matches adds its own."""
    found = []
    for row in rows:
        if Expression(row.when, types).evaluate(inputs).value is not False:
            named = [stage if stage.name else stage.model_copy(update={"name": row.name}) for stage in row.stages]
            found += [(row, stage) for stage in named]
    return found


@dataclass(frozen=True)
class Ballot:
    """One person's answer."""

    person: str
    answer: str
    """``approve`` or ``reject``."""
    order: int = 1
    """Of the stages that were asked when it was cast."""


@dataclass(frozen=True)
class Progress:
    """What the votes amount to."""

    state: GateState
    order: int
    """Of the stages that are asked now; of the last ones when all have their votes."""
    missing: tuple[tuple[Stage, int], ...] = ()
    """Stages that are asked now, each with how many votes it still lacks."""

    @property
    def asked(self) -> tuple[Stage, ...]:
        """The stages that are asked now and lack votes."""
        return tuple(stage for stage, _ in self.missing)


def count_votes(stages: Sequence[Stage], ballots: Iterable[Ballot], may_fill: Callable[[str, Stage], bool]) -> Progress:
    """
    Return what *ballots* amount to.

    One rejection rejects. A person's approval fills one place of one stage, so that nobody counts twice; which, is
    chosen so that as many places as possible are filled. No stage at all is never a yes.

    :param may_fill: whether a person may vote in a stage now; who may not any more is not counted.
    """
    cast = list(ballots)
    if any(ballot.answer == "reject" for ballot in cast):
        return Progress(GateState.REJECTED, max((s.order for s in stages), default=1))
    counted: set[str] = set()
    for order in sorted({stage.order for stage in stages}):
        asked = [stage for stage in stages if stage.order == order]
        people = dict.fromkeys(b.person for b in cast if b.answer == "approve" and b.order == order)
        fresh = [person for person in people if person not in counted]
        filled = _fill(asked, fresh, may_fill)
        missing = tuple((s, s.votes - n) for s, n in zip(asked, filled, strict=True) if n < s.votes)
        if missing:
            return Progress(GateState.OPEN, order, missing)
        counted |= set(fresh)
    if not stages:
        return Progress(GateState.OPEN, 1)
    return Progress(GateState.APPROVED, max(stage.order for stage in stages))


def _fill(stages: Sequence[Stage], people: Sequence[str], may_fill: Callable[[str, Stage], bool]) -> list[int]:
    """Return how many places of each stage can be filled at most: bipartite matching by augmenting paths (Kuhn)."""
    places = [index for index, stage in enumerate(stages) for _ in range(stage.votes)]
    fits = {(p, i): may_fill(p, stage) for p in people for i, stage in enumerate(stages)}
    held: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        for place, stage in enumerate(places):
            if place in tried or not fits[person, stage]:
                continue
            tried.add(place)
            if place not in held or seat(held[place], tried):
                held[place] = person
                return True
        return False

    for person in people:
        seat(person, set())
    filled = [0] * len(stages)
    for place in held:
        filled[places[place]] += 1
    return filled
