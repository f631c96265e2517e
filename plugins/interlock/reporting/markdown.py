"""A review as Markdown: its numbers lead to the list of facts at its end, by reference links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.review import Recommendation, Section
from interlock.reporting.view import View


def render_markdown(
    view: View, *, console: str | None = None, level: int = 1, with_sources: bool = True, references: str = ""
) -> str:
    """
    Return the review as Markdown.

    :param console: address of Interlock's console, where links lead to a number's rows; default: to the facts below.
    :param level: of the heading at the top.
    :param with_sources: list the facts at the end.
    :param references: what the names of the links begin with, so that one text can hold several reviews.
    """
    writer = _Writer(view, console.rstrip("/") if console else None, level, references)
    return "\n\n".join(writer.blocks() + writer.sources(with_list=with_sources)) + "\n"


class _Writer:
    def __init__(self, view: View, console: str | None, level: int, references: str) -> None:
        self.top, self.below = "#" * level, "#" * (level + 1)
        self.view, self.console, self.references = view, console, references
        self.numbers = {fact.id: index for index, fact in enumerate(view.sources, 1)}

    def blocks(self) -> list[str]:
        view, review = self.view, self.view.review
        blocks = [f"{self.top} {_escaped(review.title)}", f"*{_escaped(review.period)}, as of {_escaped(view.as_of)}*"]
        blocks += self._figures()
        for section in view.sections:
            blocks += self._section(section)
        if view.recommendations:
            blocks.append(f"{self.below} Recommended")
            blocks += map(self._recommendation, view.recommendations)
        if view.withheld:
            blocks.append(f"{self.below} Withheld")
            blocks.append("\n".join(f"- **{_escaped(one.what)}**: {_escaped(one.reason)}" for one in view.withheld))
        if review.notes:
            blocks.append(f"{self.below} On the data\n\n" + "\n".join(f"- {_escaped(note)}" for note in review.notes))
        return blocks

    def _figures(self) -> list[str]:
        rows = []
        for tile in self.view.tiles:
            value = "; ".join([self._link(tile.fact.shown, tile.fact), *map(_escaped, tile.remarks)])
            change = self._link(tile.change.shown, tile.change) if tile.change else ""
            rows.append(f"| {_escaped(tile.fact.label)} | {value} | {change} |")
        return ["\n".join(["| Figure | Value | Change |", "| --- | ---: | ---: |", *rows])] if rows else []

    def _section(self, section: Section) -> Iterator[str]:
        yield f"{self.below} {_escaped(section.heading)}"
        if section.sentences:
            yield " ".join(self._linked(s.text, s.facts) for s in section.sentences)
        for drawing in self.view.drawings(section.charts):
            yield f"*{_escaped(drawing.title)}.* {_escaped(drawing.words)}"

    def _recommendation(self, one: Recommendation) -> str:
        confidence = "not known" if one.confidence is None else f"{one.confidence:.0%}"
        lines = [f"**{self._linked(one.title, one.facts)}.** {self._linked(one.text, one.facts)}", ""]
        lines += [f"- Decides: {_escaped(one.owner)}"] if one.owner else []
        lines.append(f"- Confidence: {confidence}" + (f", {_escaped(one.basis)}" if one.basis else ""))
        facts = [self.view.facts[fact_id] for fact_id in one.facts if fact_id in self.view.facts]
        lines.append("- Rests on: " + "; ".join(self._link(f"{f.label}: {f.shown}", f) for f in facts))
        lines += [f"- Assumes: {_escaped('; '.join(one.assumptions))}"] if one.assumptions else []
        return "\n".join(lines)

    def sources(self, *, with_list: bool) -> list[str]:
        if not self.numbers:
            return []
        facts = self.view.sources if with_list else []
        listed = [f"{self.below} Sources", "\n".join(map(self._source, facts))] if facts else []
        return [*listed, "\n".join(f"[{self._name(i)}]: {self._address(i)}" for i in self.numbers)]

    def _linked(self, text: str, ids: Iterable[str]) -> str:
        return "".join(
            _escaped(piece.text) if piece.fact is None else self._link(piece.text, piece.fact)
            for piece in self.view.pieces(text, ids)
        )

    def _link(self, text: str, fact: Fact) -> str:
        return f"[{_escaped(text)}][{self._name(fact.id)}]" if fact.id in self.numbers else _escaped(text)

    def _name(self, fact_id: str) -> str:
        return f"{self.references}{self.numbers[fact_id]}"

    def _address(self, fact_id: str) -> str:
        if not self.console:
            return f"#fact-{fact_id}"
        return f"{self.console}/fact/{fact_id}?reading={self.view.facts[fact_id].reading}"

    def _source(self, fact: Fact) -> str:
        if fact.inputs:
            of = ", ".join(f"[{self._name(i)}]" if i in self.numbers else f"`{i}`" for i in fact.inputs)
            origin = f"`{fact.expression}` of {of}"
        else:
            rows = f" over {fact.rows:,} row{'' if fact.rows == 1 else 's'} of {fact.dataset}" if fact.where else ""
            origin = f"`{fact.expression}`{rows}"
        data = f"; {_escaped('; '.join(fact.warnings))}" if fact.warnings else ""
        number = self.numbers[fact.id]
        return (
            f'{number}. <a id="fact-{fact.id}"></a>{_escaped(fact.label)}: {fact.shown}, {fact.period}: '
            f"{origin}{data} (fact `{fact.id}`)"
        )


def _escaped(text: str) -> str:
    """Make Markdown's marks in *text* harmless; on one line, no list, rule or heading can begin in it."""
    return re.sub(r"([\\`*_\[\]<>|#~!])", r"\\\1", re.sub(r"\s*[\r\n]+\s*", " ", text))
