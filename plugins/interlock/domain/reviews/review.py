"""
A review as it is written: sentences that name the facts they state, and what was omitted because a fact is missing.

It holds ids, not numbers: the finding that it is about (:class:`~interlock.domain.facts.finding.Finding`) holds the
facts. A check of the policy (``numbers: review``) refuses one whose text states what its facts do not carry, no
matter who wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.domain.base.contract import Contract, explain
from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.fact_check import uncarried


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sentence(_Part):
    """One or more sentences that stand or fall with the same facts."""

    text: str = Field(min_length=1)
    facts: list[str] = Field(default_factory=list)
    """Ids of the facts that it states."""


class Chart(_Part):
    """A chart, as it is asked for: what it shows comes from the finding."""

    kind: Literal["line", "bars"]
    title: str = Field(min_length=1)
    indicator: str = ""
    """Of a line: its series."""
    facts: list[str] = Field(default_factory=list)
    """Of bars: what they show. Of a line: the facts of its last point and of what was expected there."""


class Section(_Part):
    """A part of a review with a heading."""

    heading: str = Field(min_length=1)
    sentences: list[Sentence] = Field(default_factory=list)
    charts: list[Chart] = Field(default_factory=list)


class Figure(_Part):
    """A number at the top: a fact, and how it changed."""

    fact: str
    change: str | None = None


class Recommendation(_Part):
    """What to do, and what that rests on."""

    title: str = Field(min_length=1)
    text: str = Field(min_length=1)
    owner: str = ""
    facts: list[str] = Field(min_length=1)
    assumptions: list[str] = Field(default_factory=list)
    confidence: float | None = Field(default=None, ge=0, le=1)
    """As the finding gives it, or None."""
    basis: str = ""
    """What the confidence rests on, as the finding says it."""


class Withheld(_Part):
    """What the review does not state, and why."""

    what: str = Field(min_length=1)
    """``Spend by vendor``."""
    reason: str = Field(min_length=1)
    facts: list[str] = Field(default_factory=list)


class Review(Contract):
    """A review of a period, or an insight, ready to be read."""

    title: str = Field(min_length=1)
    period: str
    as_of: str
    """ISO instant."""
    figures: list[Figure] = Field(default_factory=list)
    sections: list[Section]
    recommendations: list[Recommendation] = Field(default_factory=list)
    withheld: list[Withheld] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """On the quality of the data."""

    def cited(self) -> list[str]:
        """Return the ids of the facts that it rests on, in the order in which they first stand in it."""
        return list(dict.fromkeys(fact_id for _, ids in self._citing() for fact_id in ids))

    def _citing(self) -> Iterator[tuple[str, Sequence[str]]]:
        for index, figure in enumerate(self.figures, 1):
            yield f"figure {index}", [figure.fact, *([figure.change] if figure.change else [])]
        for section in self.sections:
            for index, sentence in enumerate(section.sentences, 1):
                yield f"{section.heading!r}, sentence {index}", sentence.facts
            for chart in section.charts:
                yield f"chart {chart.title!r}", chart.facts
        for recommendation in self.recommendations:
            yield f"recommendation {recommendation.title!r}", recommendation.facts


def is_review(payload: Any) -> bool:
    """Return whether *payload* is a review, whatever its contract is called."""
    if not isinstance(payload, Mapping) or not {"title", "period", "as_of", "sections"} <= payload.keys():
        return False
    try:
        Review.model_validate(dict(payload))
    except ValidationError:
        return False
    return True


@dataclass(frozen=True)
class Problem:
    """What is wrong with a review, and where."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def review_problems(review: Any, finding: Mapping[str, Any]) -> list[Problem]:
    """
    Return everything in *review* that the facts of *finding* do not carry; both are of JSON types.

    Besides numbers and dates: a fact that the finding does not have or withholds; a confidence, and what it rests on,
    that the finding does not give; another period than the finding's.
    """
    try:
        written = Review.model_validate(review)
        facts = {fact.id: fact for fact in (Fact.model_validate(one) for one in finding.get("facts") or ())}
    except ValidationError as error:
        return [Problem("the review", line) for line in explain(error)]
    return list(_Checking(written, finding, facts).problems())


UNCARRIED = "it states a number or a time that its facts do not carry"
"""Why a part is taken out; the number itself is not repeated."""


def without_uncarried(review: Review, finding: Mapping[str, Any]) -> tuple[Review, list[Problem]]:
    """
    Return *review* without the parts that state what the facts of *finding* do not carry, and what was wrong with them.

    Each part is listed as withheld: one wrong sentence costs itself, not the review.
    """
    facts = {fact.id: fact for fact in (Fact.model_validate(one) for one in finding.get("facts") or ())}
    return _Checking(review, finding, facts).kept()


@dataclass(frozen=True)
class _Checking:
    review: Review
    finding: Mapping[str, Any]
    facts: Mapping[str, Fact]

    def problems(self) -> Iterator[Problem]:
        for place, ids in self.review._citing():
            yield from self._unknown(place, ids)
        for name in ("period", "as_of"):
            if getattr(self.review, name) != self.finding.get(name):
                yield Problem(name, f"is not that of the case, {self.finding.get(name)!r}")
        yield from self._uncarried("the title", self.review.title, (), self._headings())
        for section in self.review.sections:
            yield from self._of_section(section)
        for recommendation in self.review.recommendations:
            yield from self._of_recommendation(recommendation)
        for one in self.review.withheld:
            yield from self._of_one_withheld(one)
        for note in self.review.notes:
            yield from self._of_note(note)

    def kept(self) -> tuple[Review, list[Problem]]:
        """Return the review without what fails, and the problems of what was taken out."""
        problems: list[Problem] = []
        withheld: list[Withheld] = []

        def holds(what: str, found: Iterable[Problem]) -> bool:
            failing = list(found)
            problems.extend(failing)
            one = Withheld(what=what, reason=UNCARRIED)
            if failing and one not in withheld:
                withheld.append(one)
            return not failing

        review, headings = self.review, self._headings()
        title = review.title
        if not holds("The title", self._uncarried("the title", title, (), headings)):
            title = str(self.finding.get("title") or "Review")
        sections = []
        for section in review.sections:
            heading = section.heading
            if not holds("A heading", self._uncarried("a heading", heading, (), headings)):
                heading = next((self.facts[i].label for s in section.sentences for i in s.facts if i in self.facts), "")
            heading = heading or "Figures"
            sentences = [
                one
                for index, one in enumerate(section.sentences, 1)
                if holds(f"A sentence of {heading!r}", self._of_sentence(section, index, one))
            ]
            charts = [one for one in section.charts if holds(f"A chart of {heading!r}", self._of_chart(one))]
            if sentences or charts:
                changed = {"heading": heading, "sentences": sentences, "charts": charts}
                sections.append(section.model_copy(update=changed))
        recommendations = [
            one for one in review.recommendations if holds("A recommendation", self._of_recommendation(one))
        ]
        notes = [one for one in review.notes if holds("A note", self._of_note(one))]
        listed = [one for one in review.withheld if holds("A reason", self._of_one_withheld(one))]
        changed = {
            "title": title,
            "sections": sections,
            "recommendations": recommendations,
            "notes": notes,
            "withheld": [*listed, *withheld],
        }
        return review.model_copy(update=changed), problems

    def _of_period(self) -> list[Fact]:
        """Return the facts of the review's period; all, when none is of it."""
        facts = list(self.facts.values())
        return [fact for fact in facts if fact.period == self.review.period] or facts

    def _given(self) -> list[str]:
        return [str(self.finding.get("title") or ""), self.review.period]

    def _headings(self) -> list[str]:
        """Names that a heading may hold: it cites nothing, so it may state no number either."""
        names = {name for f in self._of_period() for name in (f.label, f.period, *f.segment.values())}
        return [*self._given(), *names]

    def _of_section(self, section: Section) -> Iterator[Problem]:
        yield from self._uncarried("a heading", section.heading, (), self._headings())
        for index, sentence in enumerate(section.sentences, 1):
            yield from self._of_sentence(section, index, sentence)
        for chart in section.charts:
            yield from self._of_chart(chart)

    def _of_sentence(self, section: Section, index: int, one: Sentence) -> Iterator[Problem]:
        yield from self._uncarried(f"{section.heading!r}, sentence {index}", one.text, one.facts, [])

    def _of_chart(self, chart: Chart) -> Iterator[Problem]:
        shown = [f.id for f in self._of_period() if chart.indicator and f.indicator == chart.indicator]
        yield from self._uncarried(f"chart {chart.title!r}", chart.title, [*chart.facts, *shown], self._given())

    def _of_note(self, note: str) -> Iterator[Problem]:
        warnings = [*(self.finding.get("warnings") or ()), *(w for fact in self.facts.values() for w in fact.warnings)]
        yield from self._uncarried("a note", note, self.review.cited(), warnings)

    def _of_one_withheld(self, one: Withheld) -> Iterator[Problem]:
        labels = [name for fact in self.facts.values() for name in (fact.label, fact.period)] + self._headings()
        reasons = [*(fact.withheld for fact in self.facts.values()), *self._given()]
        yield from self._uncarried("what is withheld", one.what, one.facts, labels)
        yield from self._uncarried("why it is withheld", one.reason, one.facts, reasons)

    def _of_recommendation(self, one: Recommendation) -> Iterator[Problem]:
        place = f"recommendation {one.title!r}"
        insights = [i for i in self.finding.get("insights") or () if isinstance(i, Mapping)]
        sources: list[Mapping[str, Any]] = [self.finding, *insights]
        for text in (one.title, one.text):
            yield from self._uncarried(place, text, one.facts, [])
        cited = [self.facts[fact_id] for fact_id in one.facts if fact_id in self.facts]
        assumptions = {a for source in sources for a in source.get("assumptions") or ()}
        assumptions |= {a for fact in cited for a in fact.assumptions}
        for text in one.assumptions:
            yield from self._uncarried(f"{place}, an assumption", text, one.facts, list(assumptions))
        bases = {(s.get("confidence"), s.get("confidence_basis") or "") for s in sources}
        bases |= {(fact.confidence, fact.confidence_basis) for fact in cited} | {(None, "")}
        if (one.confidence, one.basis) not in bases:
            yield Problem(
                place, f"has a confidence of {one.confidence} on {one.basis!r}, which the finding does not give"
            )

    def _unknown(self, place: str, ids: Iterable[str]) -> Iterator[Problem]:
        for fact_id in ids:
            if fact_id not in self.facts:
                yield Problem(place, f"names fact {fact_id!r}, which the case does not have")
            elif self.facts[fact_id].value is None:
                yield Problem(place, f"names fact {fact_id!r}, which is withheld: {self.facts[fact_id].withheld}")

    def _uncarried(self, place: str, text: str, ids: Iterable[str], given: Sequence[str]) -> Iterator[Problem]:
        cited = [self.facts[fact_id] for fact_id in ids if fact_id in self.facts]
        for found in uncarried(text, cited, given=given):
            yield Problem(place, str(found))
