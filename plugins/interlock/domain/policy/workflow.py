"""
``workflow.yaml``: the people of a workflow, its phase, and how rows become cases.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from interlock.domain.base.calendar import BusinessDuration
from interlock.domain.cases.outcome import Outcomes
from interlock.domain.reports.kpi import Kpi


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Contact(_Frozen):
    """How a person is reached."""

    name: str
    email: str


class ResponsiblePerson(Contact):
    """Who answers for a workflow."""

    escalation: tuple[Contact, ...] = ()
    """Whom to ask when they do not act."""


class Pilot(_Frozen):
    """What a workflow in phase ``pilot`` may do by itself; all else goes to people."""

    scope: str = Field(default="true", min_length=1)
    """CEL over the case: which cases may go on by themselves."""
    daily_cap: int | None = Field(default=None, ge=0)
    """Cases of one day, in the calendar's time zone, that may; default: all."""
    votes: int = Field(default=1, ge=1)
    """Votes of its own group that every gate asks for at least."""


class OwnerRule(_Frozen):
    """Whose a case is."""

    when: str = Field(default="true", min_length=1)
    """CEL over the case; the first that matches decides."""
    owner: str = Field(min_length=1)
    """A group, or a person's id."""


class ServiceLevel(_Frozen):
    """Until when a case must be done."""

    name: str = Field(min_length=1)
    when: str = Field(default="true", min_length=1)
    """CEL over the case; the first that matches decides."""
    within: BusinessDuration
    """In business time since it was taken in."""


class Label(_Frozen):
    """A column of the source that says the right answer. It is kept apart from what agents see, and only measures."""

    columns: tuple[str, ...]
    """The first of these that the source has."""
    field: str
    """The field of the answer that it is compared with."""


class Intake(_Frozen):
    """How rows become cases."""

    contract: str
    key: str
    """The field that is the business key."""
    when_key_is_missing: str = Field(default="refuse", pattern="^(refuse|digest)$")
    """When the source has no such column at all: refuse the source, or take the digest of the row as its key."""
    label: Label | None = None


class Workflow(_Frozen):
    """``workflow.yaml``: the people, the phase and how rows become cases."""

    workflow: str
    title: str
    owner: ResponsiblePerson
    maintainer: ResponsiblePerson
    approver: ResponsiblePerson
    phase: str = Field(default="pilot", pattern="^(pilot|production)$")
    intake: Intake
    contracts: tuple[str, ...]
    kpis: dict[str, Kpi] = Field(default_factory=dict)
    """By name, of :data:`interlock.domain.reports.kpi.KPIS`."""
    outcomes: Outcomes | None = None
    """Optional: without it, none can be recorded."""
    service_levels: tuple[ServiceLevel, ...] = ()
    case_owner: tuple[OwnerRule, ...] = ()
    """Default: the workflow's owner."""
    pilot: Pilot = Pilot()
