"""
What a review shows, made ready for any form: texts whose numbers are linked to their facts, drawings, and its sources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.fact_check import carried
from interlock.domain.reviews.review import Chart, Figure, Recommendation, Review, Section, Withheld
from interlock.reporting.chart import Drawing, draw


@dataclass(frozen=True)
class Piece:
    """A part of a text: plain, or a number with its fact."""

    text: str
    fact: Fact | None = None


@dataclass(frozen=True)
class Tile:
    """A number at the top."""

    fact: Fact
    change: Fact | None

    @property
    def direction(self) -> str:
        """``up``, ``down`` or ``same``."""
        value = self.change.value if self.change is not None else None
        return "same" if not value else "up" if value > 0 else "down"

    @property
    def remarks(self) -> list[str]:
        """What is to be said beside the number: of its period, and of the one that its change is from."""
        own = [one for one in (self.change.warnings if self.change else ()) if one not in self.fact.warnings]
        return [*self.fact.remarks, *own]


@dataclass(frozen=True)
class View:
    """A review with what it refers to."""

    review: Review
    facts: Mapping[str, Fact]
    """All facts of the finding, by id."""
    finding: Mapping[str, Any]

    @classmethod
    def of(cls, review: Mapping[str, Any] | Review, finding: Mapping[str, Any]) -> View:
        """Return the view of *review*, whose facts are in *finding*; both may be of JSON types."""
        facts = [Fact.model_validate(one) for one in finding.get("facts") or ()]
        written = review if isinstance(review, Review) else Review.model_validate(review)
        return cls(written, {fact.id: fact for fact in facts}, finding)

    def pieces(self, text: str, ids: Iterable[str] | None = None) -> list[Piece]:
        """Return *text* with each number that its facts carry as a piece of its own; None: any fact of the finding."""
        facts = self.facts.values() if ids is None else [self.facts[i] for i in ids if i in self.facts]
        found, place = [], 0
        for one in carried(text, facts):
            if one.start > place:
                found.append(Piece(text[place : one.start]))
            found.append(Piece(text[one.start : one.end], one.fact))
            place = one.end
        return [*found, Piece(text[place:])] if place < len(text) else found

    @property
    def tiles(self) -> list[Tile]:
        """The numbers at the top."""
        return [self._tile(figure) for figure in self.review.figures if figure.fact in self.facts]

    def _tile(self, figure: Figure) -> Tile:
        return Tile(self.facts[figure.fact], self.facts.get(figure.change or ""))

    def drawings(self, charts: Sequence[Chart]) -> list[Drawing]:
        """Return what is drawn of *charts*."""
        drawn = [draw(chart, self.facts, self.finding) for chart in charts]
        return [one for one in drawn if one is not None]

    @property
    def sources(self) -> list[Fact]:
        """The facts that the review cites and those that they follow from, in the order in which they are met."""
        found: dict[str, Fact] = {}
        ahead = [i for i in self.review.cited() if i in self.facts]
        while ahead:
            fact_id = ahead.pop(0)
            if fact_id in found or fact_id not in self.facts:
                continue
            found[fact_id] = self.facts[fact_id]
            ahead += self.facts[fact_id].inputs
        return list(found.values())

    @property
    def as_of(self) -> str:
        """As of when, for people."""
        try:
            return f"{datetime.fromisoformat(self.review.as_of).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        except ValueError:
            return self.review.as_of

    @property
    def datasets(self) -> list[str]:
        """The datasets that it rests on."""
        return list(dict.fromkeys(fact.dataset for fact in self.sources))

    @property
    def sections(self) -> list[Section]:
        """The sections."""
        return list(self.review.sections)

    @property
    def recommendations(self) -> list[Recommendation]:
        """What is recommended."""
        return list(self.review.recommendations)

    @property
    def withheld(self) -> list[Withheld]:
        """What is withheld."""
        return list(self.review.withheld)
