"""
What the votes at a gate amount to.

One rejection rejects; enough distinct approvals approve; anything else leaves it open. Nobody voting is never a yes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from interlock.errors import NotAuthorised


class GateState(StrEnum):
    """Where a request at a gate is."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOID = "void"
    """What was to be signed off changed; another request took its place."""


@dataclass(frozen=True)
class Ballot:
    """One person's answer."""

    person: str
    answer: str
    """``approve`` or ``reject``."""


def decide_gate(votes_needed: int, ballots: Iterable[Ballot]) -> GateState:
    """Return what *ballots* amount to when *votes_needed* distinct people must approve."""
    approving: set[str] = set()
    for ballot in ballots:
        if ballot.answer == "reject":
            return GateState.REJECTED
        if ballot.answer == "approve":
            approving.add(ballot.person)
    return GateState.APPROVED if len(approving) >= votes_needed else GateState.OPEN


def check_voter(person: str, voters: Collection[str], *, gate: str) -> None:
    """
    Let *person* vote at *gate*.

    :raises NotAuthorised: they are none of *voters*.
    """
    if person not in voters:
        raise NotAuthorised(
            f"{person!r} may not vote at gate {gate!r}; its voters are: {', '.join(sorted(voters)) or 'nobody'}. "
            "The groups stand in include/company/access.yaml and count once they are published"
        )
