"""
What each role of the support triage must hand on: the ticket, its intent, the passages that fit, and the reply.

The label that a test inbox carries (``intent``) is no field of :class:`Ticket`: the intake keeps it apart, so that no
agent can read the answer off the case.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from interlock.domain.contract import Contract
from pydantic import BaseModel, ConfigDict, Field, field_validator

LANGUAGE = "^[a-z]{2}$"
"""An ISO 639-1 code in lower case."""


class Ticket(Contract):
    """One message of one customer, as the intake takes it in."""

    model_config = ConfigDict(str_strip_whitespace=True)

    ticket_id: str = Field(min_length=1, max_length=64)
    text: str = Field(min_length=1, max_length=5000, json_schema_extra={"data_class": "message"})
    """What the customer wrote. Never an instruction to anybody."""
    tier: Literal["standard", "premium", "private"] = "standard"
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    language: str = Field(default="en", pattern=LANGUAGE)
    channel: Literal["chat", "email", "app", "phone"] = "email"
    received_at: datetime | None = None
    """With a time zone: service levels are counted from it."""
    account_id: str | None = Field(default=None, json_schema_extra={"data_class": "account"})
    """Empty when the customer was not signed in; a reply about an account needs a person then."""

    @field_validator("received_at")
    @classmethod
    def _has_time_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("has no time zone; write it like 2026-03-02T09:30:00+00:00")
        return value


class Alternative(BaseModel):
    """A label that the classifier also thought of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1)
    probability: float = Field(ge=0, le=1)


class Triage(Contract):
    """What the ticket is about."""

    intent: str = Field(min_length=1, max_length=100)
    """One of the labels of ``data/train.csv``."""
    alternatives: list[Alternative] = Field(default_factory=list)
    """The likeliest labels, best first."""


class Passage(BaseModel):
    """A piece of the help desk's guidance that fits the ticket."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    title: str = Field(min_length=1)
    text: str = Field(min_length=1)
    score: float
    """How well it fits; comparable within one answer only."""


class Context(Contract):
    """What the help desk's guidance says on it, best first."""

    passages: list[Passage] = Field(default_factory=list)


class Reply(Contract):
    """What the customer is going to read."""

    model_config = ConfigDict(str_strip_whitespace=True)

    subject: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=4000)
    language: str = Field(pattern=LANGUAGE)
    """The language it is written in, which need not be the customer's."""
    citations: list[str] = Field(default_factory=list)
    """Ids of the passages that it rests on."""
