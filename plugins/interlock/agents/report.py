"""
The agent of kind ``report``: writes a review from the facts of its case, by an outline.

A template asks for a fact by name and gets it as it is shown; that it asked is noted, so a sentence names the facts
that it states without its author writing an id. A sentence that asks for a fact that is missing or withheld is not
written at all: it is listed with the reason.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from interlock.agents.default_sentence import segment_of, usual_charts, usual_sentences, value_of
from interlock.agents.rendering import Rendering
from interlock.domain.agents.agent import NOT_OF_AN_ANSWER, ReportAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Files, Usage, Work
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract
from interlock.domain.base.strict_yaml import load_yaml
from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.review import (
    Chart,
    Figure,
    Recommendation,
    Review,
    Section,
    Sentence,
    Withheld,
    without_uncarried,
)
from interlock.domain.reviews.review_template import ChartOutline, Outline, SectionOutline, parse_outlines
from interlock.errors import InputError, InterlockError


class ReportWriterAgent:
    """
    Outlines as an agent.

    :param name: its name in ``agents.yaml``.
    :param declaration: its declaration.
    :param files: the workflow's files.
    :raises UnknownName: the file of the outline is not there.
    :raises ConfigurationError: it is no outline, or one of its texts is no template.
    """

    kind = "report"

    def __init__(self, name: str, declaration: ReportAgent, files: Files) -> None:
        self.name = name
        text, where = files.text(declaration.template), f"{declaration.template} of agent {name!r}"
        outlines = parse_outlines(load_yaml(text, where=where), where=where)
        self._outlines = {"review": outlines.review, "insight": outlines.insight}
        self._templates = {each: Rendering(each, f"{each[:60]!r} in {where}") for each in _texts(outlines)}
        self.digest = digest(
            {
                "kind": self.kind,
                "declaration": declaration.model_dump(mode="json", exclude=set(NOT_OF_AN_ANSWER)),
                "outline": text,
                "writing": 3,  # raise it when the wording of the default sentences changes
            }
        )

    def prepare(self) -> Mapping[str, Any]:
        """Return nothing to report: the templates were parsed when the agent was made."""
        return {}

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure]:
        """Yield the review of each case; a template that cannot be written is the failure of its case."""
        for one in work:
            begun = time.perf_counter()
            try:
                outline = self._outlines.get(str(one.case.get("kind")), self._outlines["review"])
                written = _Writing(one, outline, self._templates).review()
                review, failing = without_uncarried(written, one.case)
            except InterlockError as error:
                yield Failure(case_id=one.case_id, error=error, usage=(_usage(begun, type(error).__name__),))
            else:
                yield Answer(
                    case_id=one.case_id,
                    payload=review.model_dump(mode="json"),
                    provenance={"outline": self.digest, "withheld": len(review.withheld)}
                    | ({"taken_out": [str(problem) for problem in failing]} if failing else {}),
                    usage=(_usage(begun, "ok"),),
                )


def _texts(outlines: Any) -> Iterator[str]:
    for outline in (outlines.review, outlines.insight):
        yield outline.title
        for section in outline.sections or ():
            yield section.heading
            yield from (sentence.text for sentence in section.sentences)


def _usage(begun: float, outcome: str) -> Usage:
    return Usage(model="report", seconds=time.perf_counter() - begun, outcome=outcome, cost=Decimal(0))


class ShownFact:
    """A fact, as a template sees it; that it was looked at is noted."""

    def __init__(self, fact: Fact, asked: list[str]) -> None:
        self._fact, self._asked = fact, asked

    def _seen(self) -> Fact:
        if self._fact.id not in self._asked:
            self._asked.append(self._fact.id)
        return self._fact

    def __str__(self) -> str:
        return self._seen().shown

    @property
    def value(self) -> Decimal:
        """The number, to compare it."""
        return self._seen().value or Decimal(0)

    @property
    def size(self) -> str:
        """It without its sign: ``3.1%``, for ``fell by``."""
        return show_size(self._seen())

    @property
    def signed(self) -> str:
        """It with its sign: ``+3.1%``."""
        return show_signed(self._seen())

    @property
    def moved(self) -> str:
        """``rose``, ``fell``, or ``did not change``."""
        return {1: "rose", -1: "fell"}.get(_sign(self._seen()), "did not change")

    @property
    def direction(self) -> str:
        """``up``, ``down`` or ``unchanged``."""
        return {1: "up", -1: "down"}.get(_sign(self._seen()), "unchanged")

    @property
    def label(self) -> str:
        """What people call it."""
        return self._seen().label

    @property
    def period(self) -> str:
        """The period that it is about."""
        return self._seen().period

    @property
    def segment(self) -> str:
        """The part that it is about: ``Fitness 24/7``."""
        return segment_of(self._seen())


def show_size(fact: Fact) -> str:
    """Return a fact's value without its sign."""
    return fact.shown.removeprefix("-")


def show_signed(fact: Fact) -> str:
    """Return a fact's value with its sign; a zero has none."""
    return f"+{fact.shown}" if _sign(fact) > 0 else fact.shown


def _sign(fact: Fact) -> int:
    """Return the sign of what is shown: 0 for what rounds to nothing."""
    shown = fact.shown
    return 0 if not re.search("[1-9]", shown.partition(" ")[0]) else -1 if shown.startswith("-") else 1


@dataclass
class _Writing:
    """One review while it is written."""

    work: Work
    outline: Outline
    templates: Mapping[str, Rendering]
    facts: list[Fact] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)

    def __post_init__(self) -> None:
        from pydantic import ValidationError

        try:
            self.facts = [Fact.model_validate(fact) for fact in self.work.case.get("facts") or ()]
        except ValidationError:
            raise InputError("the case carries what is no fact; a review is written from a Finding") from None

    @property
    def case(self) -> Mapping[str, Any]:
        return self.work.case

    @property
    def indicators(self) -> list[str]:
        """The indicators with a value, or with a reason for none, in their order."""
        names = dict.fromkeys(fact.indicator for fact in self.facts)
        return [name for name in names if value_of(name, self.facts) is not None]

    def review(self) -> Review:
        sections = [self._section(one) for one in self._sections()]
        figures = self._figures()
        recommendations = self._recommendations([s for section in sections for s in section.sentences])
        title, _ = self._render(self.outline.title, {}, what="the title")
        return Review(
            title=title or str(self.case.get("title") or "Review"),
            period=str(self.case.get("period") or ""),
            as_of=str(self.case.get("as_of") or ""),
            figures=figures,
            sections=[section for section in sections if section.sentences or section.charts],
            recommendations=recommendations,
            withheld=self.withheld,
            notes=list(self.case.get("warnings") or ()),
        )

    def _sections(self) -> Sequence[SectionOutline]:
        if self.outline.sections is not None:
            return self.outline.sections
        values = [(name, value_of(name, self.facts)) for name in self.indicators]
        return [SectionOutline(heading=_escaped(value.label), indicators=(name,)) for name, value in values if value]

    def _section(self, outline: SectionOutline) -> Section:
        heading, _ = self._render(outline.heading, {}, what=outline.heading)
        sentences = []
        for one in outline.sentences:
            parts: list[Any] = [None] if one.each is None else _noticeable(self._ranked(one.each, outline.heading))
            for part in parts:
                text, asked = self._render(one.text, {} if part is None else {"part": part}, what=outline.heading)
                if text:
                    sentences.append(Sentence(text=text, facts=asked))
        charts = [chart for one in outline.charts if (chart := self._chart(one)) is not None]
        for name in outline.indicators:
            if self._is_there(name):
                stated, missing = usual_sentences(name, self.facts, self.case)
                sentences += stated
                charts += usual_charts(name, self.facts, self.case)
                for what, reason, ids in missing:
                    self._withhold(what, reason, ids)
        return Section(heading=heading or outline.heading, sentences=sentences, charts=charts)

    def _is_there(self, name: str) -> bool:
        value = value_of(name, self.facts)
        if value is not None and value.value is not None:
            return True
        self._missing(name, {}, what=name)
        return False

    def _render(self, template: str, more: Mapping[str, Any], *, what: str) -> tuple[str, list[str]]:
        """Return the text and the facts that it asked for; empty when one is missing, which is listed then."""
        asked: list[str] = []
        missing: list[tuple[str, Mapping[str, str]]] = []

        def _fact(name: str, **segment: str) -> ShownFact:
            found = self._find(name, segment)
            if found is None or found.value is None:
                missing.append((name, segment))
                raise LookupError(name)
            shown = ShownFact(found, asked)
            shown._seen()
            return shown

        variables = {
            "case": self.case,
            "fact": _fact,
            "say": lambda name, **segment: str(_fact(name, **segment)),
            "who": lambda name, **segment: _fact(name, **segment).segment,
            "facts": lambda beginning: [ShownFact(fact, asked) for fact in _noticeable(self._parts(beginning))],
            "has": lambda name, **segment: getattr(self._find(name, segment), "value", None) is not None,
            **{name: ShownFact(one, asked) for name, one in more.items()},
        }
        rendering = self.templates.get(template) or Rendering(template, what)
        try:
            text = " ".join(rendering.render(variables).split())
        except InputError:
            if not missing:
                raise
            name, segment = missing[0]
            self._missing(name, segment, what=what)
            return "", []
        return text, asked

    def _find(self, name: str, segment: Mapping[str, str]) -> Fact | None:
        asked = {column: str(value) for column, value in segment.items()}
        fits = [fact for fact in self.facts if fact.name == name and asked.items() <= fact.segment.items()]
        return next((fact for fact in fits if fact.segment == asked), fits[0] if fits else None)

    def _parts(self, beginning: str) -> list[Fact]:
        ranked = re.compile(rf"{re.escape(beginning)}\.(\d+)")
        found = [(int(match[1]), fact) for fact in self.facts if (match := ranked.fullmatch(fact.name))]
        return [fact for _, fact in sorted(found, key=lambda pair: pair[0]) if fact.value is not None]

    def _ranked(self, beginning: str, what: str) -> list[Fact]:
        found = self._parts(beginning)
        if not found:
            self._missing(beginning, {}, what=what)
        return found

    def _missing(self, name: str, segment: Mapping[str, str], *, what: str) -> None:
        """List what cannot be stated, with the reason of the fact, or of the indicator that it belongs to."""
        ranked = re.sub(r"\.\d+$", "", name)
        known = (self._find(name, segment), self._find(f"{ranked}.1", {}), value_of(name.partition(".")[0], self.facts))
        fact = next((one for one in known if one is not None and one.value is None), None)
        if fact is not None:
            self._withhold(fact.label, fact.withheld or "it has no value", [])
        else:
            self._withhold(ranked, "there is no such fact in this period", [])

    def _withhold(self, what: str, reason: str, ids: Sequence[str]) -> None:
        one = Withheld(what=what, reason=reason, facts=list(ids))
        if one not in self.withheld:
            self.withheld.append(one)

    def _chart(self, outline: ChartOutline) -> Chart | None:
        if outline.line is not None:
            if not self._is_there(outline.line):
                return None
            drawn = usual_charts(outline.line, self.facts, self.case, kinds=("line",))
        else:
            parts = self._ranked(outline.bars or "", outline.title or outline.bars or "")
            title = _common_label(parts)
            drawn = [Chart(kind="bars", title=title, facts=[fact.id for fact in parts])] if parts else []
        if not drawn:
            return None
        return drawn[0].model_copy(update={"title": outline.title}) if outline.title else drawn[0]

    def _figures(self) -> list[Figure]:
        names = self.indicators if self.outline.figures is None else self.outline.figures
        made = []
        for name in names:
            found = self._find(name, {}) or value_of(name, self.facts)
            if found is None or found.value is None:
                self._missing(name, {}, what=name)
                continue
            changes = (self._find(f"{name}.{suffix}", {}) for suffix in ("change_percent", "change"))
            change = next((c for c in changes if c is not None and c.value is not None), None)
            made.append(Figure(fact=found.id, change=change.id if change else None))
        return made

    def _recommendations(self, sentences: Sequence[Sentence]) -> list[Recommendation]:
        made = (self._recommendation(insight) for insight in self._insights(sentences) if insight.get("recommendation"))
        return [one for one in made if one is not None]

    def _insights(self, sentences: Sequence[Sentence]) -> list[Mapping[str, Any]]:
        """Return the insights of the case, and the case itself when it is one."""
        insights: list[Mapping[str, Any]] = [dict(one) for one in self.case.get("insights") or ()]
        if self.case.get("kind") == "insight" and self.case.get("recommendation"):
            cited = list(dict.fromkeys(fact_id for sentence in sentences for fact_id in sentence.facts))
            known = [fact.id for fact in self.facts if fact.value is not None]
            insights.append({**self.case, "facts": cited or known})
        return insights

    def _recommendation(self, insight: Mapping[str, Any]) -> Recommendation | None:
        """Return what *insight* recommends; None, and listed as withheld, when none of its facts has a value."""
        known = {fact.id: fact for fact in self.facts}
        ids = [i for i in map(str, insight.get("facts") or ()) if i in known and known[i].value is not None]
        if not ids:
            self._withhold(str(insight.get("title")), "what it rests on is withheld", [])
            return None
        named = [i for i in map(str, insight.get("cites") or ()) if i in known]
        text = f"{insight.get('title')} {insight['recommendation']}"
        return Recommendation(
            title=str(insight.get("title")),
            text=str(insight["recommendation"]),
            owner=str(insight.get("owner") or ""),
            facts=_stated(text, [known[i] for i in ids], named) or ids,
            assumptions=list(insight.get("assumptions") or ()),
            confidence=insight.get("confidence"),
            basis=str(insight.get("confidence_basis") or ""),
        )


def _stated(text: str, facts: Sequence[Fact], named: Sequence[str]) -> list[str]:
    """
    Return the ids of those of *facts* whose number or segment *text* contains.

    :param named: those that the text asked for; no other that happens to show the same figure is taken beside them.
    """
    padded = f" {text} "
    figures = {show_size(fact) for fact in facts if fact.id in named}
    stated = [
        fact.id
        for fact in facts
        if fact.id not in named
        and show_size(fact) not in figures
        and any(
            re.search(rf"(?<![\w.,]){re.escape(each)}(?!\w)", padded)
            for each in (show_size(fact), *fact.segment.values())
        )
    ]
    return [*named, *stated]


def _noticeable(parts: Sequence[Fact]) -> list[Fact]:
    """Return those of *parts* that are more than what rounds to nothing."""
    return [part for part in parts if _sign(part)]


def _common_label(parts: Sequence[Fact]) -> str:
    """Return the label of ranked facts without the part that each is about."""
    if not parts:
        return ""
    return parts[0].label.partition(",")[0] + (
        ", parts of the change" if parts[0].kind == "contribution" else ", shares" if parts[0].kind == "share" else ""
    )


def _escaped(text: str) -> str:
    return text.replace("{", "{{ '{' }}") if "{" in text else text
