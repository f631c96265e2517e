"""Where a request at a gate is. Nobody voting is never a yes, and neither is running out of time."""

from __future__ import annotations

from enum import StrEnum


class GateState(StrEnum):
    """Where a request at a gate is."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody decided within the ladder's time; the case is a dead letter."""
    VOID = "void"
    """What was to be signed off changed; another request took its place."""
