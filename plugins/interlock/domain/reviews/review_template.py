"""
What a review shall say, as its author writes it down: headings, sentences and charts, in YAML.

Sentences are Jinja templates that ask for facts by name; what is not written has a default, so a first outline can be
empty. The file may hold one outline for the review of a period and another for a single insight.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interlock.domain.base.contract import explain
from interlock.errors import ConfigurationError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SentenceOutline(_Frozen):
    """A sentence, or one for each of several facts."""

    text: str = Field(min_length=1)
    """Jinja: ``Spend was {{ fact('spend') }}.``. One that comes out empty is omitted."""
    each: str | None = None
    """Beginning of the names of ranked facts (``spend.by.vendor``): the sentence is written for each, as ``part``."""


class ChartOutline(_Frozen):
    """A chart."""

    line: str | None = None
    """Indicator whose periods are drawn."""
    bars: str | None = None
    """Beginning of the names of ranked facts: ``spend.by.vendor``."""
    title: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> ChartOutline:
        if (self.line is None) == (self.bars is None):
            raise ValueError("give either 'line' or 'bars'")
        return self


class SectionOutline(_Frozen):
    """A part with a heading."""

    heading: str = Field(min_length=1)
    """Jinja; it states no number."""
    sentences: tuple[SentenceOutline, ...] = ()
    indicators: tuple[str, ...] = ()
    """Of which what is usual is said and drawn, after ``sentences``: value, changes, target, parts, anomaly."""
    charts: tuple[ChartOutline, ...] = ()

    @field_validator("sentences", mode="before")
    @classmethod
    def _plain(cls, written: Any) -> Any:
        if isinstance(written, (list, tuple)):
            return [{"text": one} if isinstance(one, str) else one for one in written]
        return written


class Outline(_Frozen):
    """A review."""

    title: str = "{{ case.title }}"
    figures: tuple[str, ...] | None = None
    """Names of the facts at the top. Default: the value of each indicator."""
    sections: tuple[SectionOutline, ...] | None = None
    """Default: one for each indicator."""


class Outlines(_Frozen):
    """The file."""

    review: Outline = Outline()
    insight: Outline = Outline()


def parse_outlines(document: Any, *, where: str = "outline") -> Outlines:
    """
    Return the outlines of a parsed YAML *document*; None is one in which nothing is written.

    :raises ConfigurationError: with each problem as ``place: what is wrong``.
    """
    try:
        return Outlines.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None
