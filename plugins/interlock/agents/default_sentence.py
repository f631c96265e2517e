"""
The default sentences and charts of an indicator, used when an outline defines none.

The sentences hold for singular and plural labels, and for values that did not move. Each stands alone, so that one
whose fact is withheld takes no other with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.review import Chart, Sentence

LISTED = 3
"""Parts that a sentence lists."""
DRAWN_FROM = 3
"""Periods from which a line is drawn."""

Missing = tuple[str, str, list[str]]
"""What is withheld, why, and the facts that it names."""


def value_of(indicator: str, facts: Sequence[Fact]) -> Fact | None:
    """Return the fact that says how high *indicator* is: of the period, or of the one with an anomaly."""
    named = {fact.name: fact for fact in reversed(facts)}
    return named.get(indicator) or named.get(f"{indicator}.observed")


def segment_of(fact: Fact) -> str:
    """Return the part that *fact* is about; one that is a bare number with its column: ``store 3``."""
    return ", ".join(
        value if re.search(r"[^\W\d_]", value) else f"{column.replace('_', ' ')} {value}"
        for column, value in fact.segment.items()
    )


def usual_sentences(
    indicator: str, facts: Sequence[Fact], case: Mapping[str, Any]
) -> tuple[list[Sentence], list[Missing]]:
    """Return the sentences about *indicator*, and what is withheld; it must have a value."""
    own = {fact.name.removeprefix(f"{indicator}."): fact for fact in facts if fact.indicator == indicator}
    value = value_of(indicator, facts)
    assert value is not None
    remarks = "".join(f" {remark[:1].upper()}{remark[1:]}." for remark in value.remarks)
    sentences = [_sentence(f"{value.label} stood at {value.shown} {_when(value.period)}.{remarks}", value)]
    missing: list[Missing] = []
    for base, change in (("previous", "change"), ("last_year", "change_on_year")):
        if change not in own:
            continue
        if own[change].value is None:
            missing.append((own[change].label, own[change].withheld or "it has no value", []))
        elif base in own:
            sentences.append(_changed(own[change], own.get(f"{change}_percent"), own[base], value))
    if "gap" in own and own["gap"].value is not None and "target" in own:
        sentences.append(_against_target(own["gap"], own["target"]))
    sentences += _unusual(indicator, value, facts, case)
    for fact in facts:  # parts that do not add up
        if fact.indicator == indicator and fact.kind in ("contribution", "share") and fact.withheld:
            missing.append((fact.label, fact.withheld, []))
    sentences += _parts(indicator, facts, "contribution", "the largest parts of the change are those of", signed=True)
    sentences += _parts(indicator, facts, "share", "the largest shares are those of", signed=False)
    return sentences, missing


def usual_charts(
    indicator: str, facts: Sequence[Fact], case: Mapping[str, Any], *, kinds: Collection[str] = ("line", "bars")
) -> list[Chart]:
    """Return what is drawn of *indicator*: its periods, and the parts of its change."""
    value = value_of(indicator, facts)
    series = (case.get("series") or {}).get(indicator) or ()
    drawn = []
    if "line" in kinds and value is not None and len([p for p in series if p[1] is not None]) >= DRAWN_FROM:
        expected = [fact.id for fact in facts if fact.indicator == indicator and _is_expected(fact, value)]
        expected += [fact.id for fact in facts if fact.name == f"{indicator}.target" and fact.value is not None]
        unit = f" ({value.unit})" if value.unit else ""
        drawn.append(Chart(kind="line", title=f"{value.label}{unit}", indicator=indicator, facts=[value.id, *expected]))
    for column, parts in _ranked(indicator, facts, "contribution") if "bars" in kinds else ():
        if len(parts) > 1 and value is not None:
            title = f"{value.label}, parts of the change by {column.replace('_', ' ')}"
            drawn.append(Chart(kind="bars", title=title, indicator=indicator, facts=[part.id for part in parts]))
    return drawn


def _sentence(text: str, *facts: Fact | None) -> Sentence:
    return Sentence(text=text, facts=[fact.id for fact in facts if fact is not None])


def _when(period: str) -> str:
    if period.startswith("week of"):
        return f"in the {period}"
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d(?:[+-]\d\d:\d\d)?", period):
        return f"at {period}"
    return f"on {period}" if re.fullmatch(r"\d{4}-\d\d-\d\d", period) else f"in {period}"


def _changed(change: Fact, percent: Fact | None, base: Fact, value: Fact) -> Sentence:
    when = f"{_when(base.period)} ({base.shown})"
    if not _is_shown(change):
        return _sentence(f"That is as much as {when}.", change, base)
    if percent is None or percent.value is None or (percent.value > 0) != ((change.value or 0) > 0):
        percent = None  # of a base below zero: a rise would be shown as a fall
    size = change.shown.removeprefix("-")
    share = f" ({percent.shown.removeprefix('-')})" if percent is not None else ""
    more = "more" if (change.value or 0) > 0 else "less"
    return _sentence(f"That is {size}{share} {more} than {when}.", change, percent, base)


def _against_target(gap: Fact, target: Fact) -> Sentence:
    if not _is_shown(gap):
        return _sentence(f"That is the target, {target.shown}.", gap, target)
    side = "above" if (gap.value or 0) > 0 else "below"
    return _sentence(f"That is {gap.shown.removeprefix('-')} {side} the target of {target.shown}.", gap, target)


def _unusual(indicator: str, value: Fact, facts: Sequence[Fact], case: Mapping[str, Any]) -> Iterator[Sentence]:
    if value.period not in ((case.get("alarms") or {}).get(indicator) or ()):
        return
    expectation = {
        f.name.removeprefix(f"{indicator}."): f for f in facts if f.indicator == indicator and _is_expected(f, value)
    }
    expected, low, high = (expectation.get(name) for name in ("expected", "low", "high"))
    text = "That is unusual"
    if expected is not None:
        text += f": {expected.shown} was expected"
    if low is not None and high is not None:
        text += f", and {low.shown} to {high.shown} is usual" if expected is not None else ""
    yield _sentence(f"{text}.", value, expected, low if expected else None, high if expected else None)


def _is_expected(fact: Fact, value: Fact) -> bool:
    return fact.kind == "expected" and fact.period == value.period and fact.value is not None


def _parts(indicator: str, facts: Sequence[Fact], kind: str, words: str, *, signed: bool) -> Iterator[Sentence]:
    for column, parts in _ranked(indicator, facts, kind):
        listed = [part for part in parts if _is_shown(part)][:LISTED]
        if not listed:
            continue
        shown = [
            f"{segment_of(part)} ({'+' if signed and (part.value or 0) > 0 else ''}{part.shown})" for part in listed
        ]
        listing = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
        yield _sentence(f"By {column.replace('_', ' ')}, {words} {listing}.", *listed)


def _ranked(indicator: str, facts: Sequence[Fact], kind: str) -> Iterator[tuple[str, list[Fact]]]:
    """Yield the facts of *kind* about parts of *indicator*, by column, in their rank."""
    columns: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.indicator == indicator and fact.kind == kind and len(fact.segment) == 1 and fact.value is not None:
            columns.setdefault(next(iter(fact.segment)), []).append(fact)
    yield from columns.items()


def _is_shown(fact: Fact) -> bool:
    """Return whether a value is more than what rounds to nothing."""
    return re.search("[1-9]", fact.shown.partition(" ")[0]) is not None
