"""
Where a case can be, and how it may get from one place to the next.

A case is in exactly one state and, while it is worked on, at exactly one task. A state alone does not allow anything:
an execution asks for an authorisation as well.
"""

from __future__ import annotations

from enum import StrEnum

from interlock.errors import ConfigurationError


class CaseState(StrEnum):
    """The places of a case."""

    OPEN = "open"
    """Taken in; roles work on it, or it waits for a resume run to take it up."""
    ROUTED = "routed"
    """A branch decided; roles go on with it."""
    WAITING = "waiting"
    """People must sign off."""
    AUTHORISED = "authorised"
    """A decision or enough votes allow the effect."""
    EXECUTED = "executed"
    """The effect is committed."""
    REJECTED = "rejected"
    """People said no."""
    QUARANTINED = "quarantined"
    """It did not fit its contract or a data check; kept with its reason."""
    DEAD = "dead"
    """A dead letter: a stop, or a failure after the runbook's retries."""
    CLOSED = "closed"
    """Ended by a person or by its outcome."""


_NEXT: dict[CaseState, frozenset[CaseState]] = {
    CaseState.OPEN: frozenset(
        {CaseState.OPEN, CaseState.ROUTED, CaseState.WAITING, CaseState.QUARANTINED, CaseState.DEAD}
    ),
    CaseState.ROUTED: frozenset(
        {CaseState.ROUTED, CaseState.WAITING, CaseState.AUTHORISED, CaseState.QUARANTINED, CaseState.DEAD}
    ),
    CaseState.WAITING: frozenset(
        {
            CaseState.WAITING,
            # What waited for a budget or for cheaper hours goes on where it stood.
            CaseState.OPEN,
            CaseState.ROUTED,
            CaseState.AUTHORISED,
            CaseState.REJECTED,
            CaseState.DEAD,
            CaseState.CLOSED,
        }
    ),
    CaseState.AUTHORISED: frozenset(
        {
            CaseState.AUTHORISED,
            CaseState.EXECUTED,
            CaseState.WAITING,
            # Authorised before there were seals: it is checked again.
            CaseState.ROUTED,
            CaseState.DEAD,
        }
    ),
    # Undone in the other system: a dead letter, which is closed or begins again.
    CaseState.EXECUTED: frozenset({CaseState.CLOSED, CaseState.DEAD}),
    CaseState.REJECTED: frozenset({CaseState.CLOSED}),
    CaseState.QUARANTINED: frozenset({CaseState.OPEN, CaseState.CLOSED}),
    CaseState.DEAD: frozenset(
        {CaseState.OPEN, CaseState.ROUTED, CaseState.WAITING, CaseState.AUTHORISED, CaseState.CLOSED}
    ),
    CaseState.CLOSED: frozenset(),
}

DONE = frozenset({CaseState.EXECUTED, CaseState.REJECTED, CaseState.CLOSED})
"""Where a case cannot be late any more."""

ACTIVE = frozenset({CaseState.OPEN, CaseState.ROUTED, CaseState.AUTHORISED})
"""Where it is some task's turn. A run whose case is in one of these states when it ends has lost it, and fails."""

UNSENT = frozenset({CaseState.OPEN, CaseState.ROUTED, CaseState.WAITING, CaseState.AUTHORISED})
"""Where people can still pull a case back to themselves."""


def check_move(before: CaseState, after: CaseState) -> None:
    """
    Let a case go from *before* to *after*.

    :raises ConfigurationError: there is no such arrow.
    """
    if after not in _NEXT[before]:
        possible = ", ".join(sorted(_NEXT[before])) or "nowhere: it is the end"
        raise ConfigurationError(
            f"a case that is {before.value!r} cannot become {after.value!r}; it can go: {possible}"
        )
