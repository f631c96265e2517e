"""
What a run found out, as a case: the review of a period, or one insight for the owner of a decision.

A finding carries the facts that it rests on, so whatever writes about it sees nothing else, and its digest changes when
one of them does. ``include/<workflow>/contracts.py`` imports the contract; rules read it as ``case.<field>``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from interlock.domain.base.contract import Contract
from interlock.domain.facts.fact import Fact


class Finding(Contract):
    """A review to be written, or an insight to be acted on."""

    key: str = Field(min_length=1)
    """``week of 2014-06-16/review``, ``week of 2014-06-16/spend``: the same period gives the same case."""
    kind: Literal["review", "insight"]
    title: str = Field(min_length=1)
    period: str
    period_end: str
    """ISO instant."""
    as_of: str
    """ISO instant."""
    subject: str = ""
    """The decision that it is about: who owns it is said by ``case_owner`` in ``workflow.yaml``."""
    indicator: str = ""
    severity: Literal["info", "notable", "urgent"] = "info"
    recommendation: str = ""
    """What to do. It may state numbers of its facts only."""
    cites: list[str] = Field(default_factory=list)
    """Ids of the facts that the title and the recommendation asked for by name: several may show one figure."""
    assumptions: list[str] = Field(default_factory=list)
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How often findings of this rule held, or None where nothing says so."""
    confidence_basis: str = ""
    """What the confidence rests on: ``held in 9 of 11 earlier weeks``."""
    quality: Literal["fit", "warned", "withheld"] = "fit"
    """The worst of the readings that it rests on."""
    warnings: list[str] = Field(default_factory=list)
    """What the data checks warned of."""
    facts: list[Fact] = Field(default_factory=list)
    """All that may be stated; those without a value are withheld, with the reason."""
    series: dict[str, list[tuple[str, float | None]]] = Field(default_factory=dict)
    """Indicator to (period, value) up to this period, for charts."""
    alarms: dict[str, list[str]] = Field(default_factory=dict)
    """Indicator to the periods with an anomaly."""
    insights: list[Insight] = Field(default_factory=list)
    """Of a review: the insights that went to their owners."""


class Insight(Contract):
    """An insight as a review lists it."""

    key: str
    title: str
    owner: str
    recommendation: str
    assumptions: list[str]
    confidence: float | None
    confidence_basis: str
    facts: list[str]
    """Ids."""
    cites: list[str] = Field(default_factory=list)
    """Ids of those that its texts asked for by name."""


Finding.model_rebuild()
