"""What the API's routes take in their bodies. A field that a body does not know is refused with its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from interlock.domain.base.contract import closed_to_numbers

MOST = 2**31 - 1
"""The largest number of a version or a row."""


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


Instant = Annotated[AwareDatetime, BeforeValidator(closed_to_numbers("datetime")), AfterValidator(_in_utc)]
Number = Annotated[int, Field(ge=1, le=MOST)]
Limit = Annotated[int, Field(ge=1, le=100_000)]
"""How many rows of a list are asked for."""


class RequestBody(BaseModel):
    """A body without unknown fields."""

    model_config = ConfigDict(extra="forbid")


class VoteRequest(RequestBody):
    """A vote on one case."""

    answer: str
    digest: str
    """Of what the voter saw."""
    reason: str | None = None


class CaseVoteRequest(VoteRequest):
    """A vote among many."""

    case: str
    """Business key or id."""


class VotesRequest(RequestBody):
    """Votes on several cases, each bound to what its voter saw of it."""

    votes: list[CaseVoteRequest] = Field(min_length=1, max_length=500)


class EditRequest(RequestBody):
    """Changed fields of a draft."""

    changes: dict[str, Any]
    digest: str


class ReasonRequest(RequestBody):
    """The reason for what the route does: a request for review, a close, an undo."""

    reason: str = ""


class ReconcileRequest(RequestBody):
    """Whether an effect took place, and how one knows."""

    took_place: bool
    reason: str


class BreakGlassRequest(RequestBody):
    """Why nobody else could decide, and the digest of what the person saw."""

    reason: str
    digest: str


class MessageRequest(RequestBody):
    """What one person writes to another about a case: a question or its answer."""

    text: str


class HandOverRequest(MessageRequest):
    """Who decides instead, and why."""

    to: str


class OverrideRequest(RequestBody):
    """The route that a case takes instead, and why."""

    route: str
    reason: str


class ResubmitRequest(RequestBody):
    """Changed fields of a case's content."""

    changes: dict[str, Any] = Field(default_factory=dict)
    from_start: bool = False


class EraseRequest(RequestBody):
    """Why a case's content is erased, and whether its business key is erased too."""

    reason: str
    key_too: bool = False


class SwitchRequest(RequestBody):
    """A kill switch to throw."""

    kind: str
    name: str
    off: bool
    reason: str


class ProposeRequest(RequestBody):
    """A bundle that is proposed as the next version."""

    bundle: dict[str, Any]
    reason: str
    wiring: dict[str, Any] | None = None
    """Of the Dag that the bundle is validated with."""


class ApproveRequest(RequestBody):
    """A person's approval or rejection of a version."""

    answer: str
    digest: str
    """Of what the person read."""
    reason: str = ""


class PromoteRequest(RequestBody):
    """A version to put in force."""

    reason: str
    since: Instant | None = None
    """Default: now."""
    wiring: dict[str, Any] | None = None


class BringOverRequest(RequestBody):
    """The environment whose version in force is proposed here."""

    origin: str
    reason: str
    wiring: dict[str, Any] | None = None


class ImportRequest(RequestBody):
    """A version that was exported elsewhere."""

    document: dict[str, Any]
    reason: str
    wiring: dict[str, Any] | None = None


class RollbackRequest(RequestBody):
    """An earlier version to put in force again."""

    number: Number | None = None
    """Default: the one before."""
    reason: str


class DeployRequest(RequestBody):
    """``deploy``, ``pause`` or ``retire``."""

    act: str
    reason: str


class DelegateRequest(RequestBody):
    """Who votes for the person who asks, and until when."""

    taker: str
    until: Instant
    reason: str
    workflow: str | None = None
    """Default: all of them."""


class OutcomeRow(RequestBody):
    """A row of a source that holds one outcome."""

    number: Annotated[int, Field(ge=0, le=MOST)]
    """In the source, as a person counts."""
    values: dict[str, str | None] | None
    """``key``, ``outcome``, ``happened_at`` and ``value``; None when the row could not be parsed."""
    problem: str | None = None


class OutcomesRequest(RequestBody):
    """Outcomes of a workflow's cases."""

    workflow: str
    source: str = Field(max_length=400)
    """Where they come from, for people: a file's name."""
    rows: list[OutcomeRow] = Field(min_length=1, max_length=500)
