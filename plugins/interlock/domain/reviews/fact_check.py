"""
Whether facts carry what a sentence states: every number and every date in it, at the precision at which it is written.

A number is carried by a fact whose value rounds to it, half to even, in a unit that is not another one; a date by the
period that a fact is about. What is in a fact's own name (a vendor called ``Fitness 24/7``, ``week of 2014-06-16``)
states nothing. The check cannot read meaning; of direction it takes the words: ``down 3.1%`` is no rise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from interlock.domain.facts.fact import Fact
from interlock.domain.reviews.number_parser import CURRENCIES, TAKEN, Number, numbers_in

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = "|".join([*_MONTHS, *(f"{name[:3]}\\.?" for name in _MONTHS), "sept\\.?"])
_DAY = r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)"
_DATES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(rf"(?<![\w/]){pattern}(?![\w])", re.IGNORECASE))
    for kind, pattern in (
        ("instant", _DAY + r"[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d(?:\.\d+)?)?(?:\s?(?:Z|UTC)|\+00:?00)?"),
        ("day", r"(?P<y>\d{4})[-/](?P<m>\d\d)[-/](?P<d>\d\d)"),
        ("week", r"(?P<y>\d{4})-?W(?P<w>\d\d?)"),
        ("week", r"(?:calendar\s)?(?:week|wk)\s(?P<w>\d\d?)(?:,?\s(?:of\s)?(?P<y>\d{4}))?(?!\s?(?:%|\.\d))"),
        ("quarter", r"(?P<y>\d{4})[-\s]?Q(?P<q>[1-4])"),
        ("quarter", r"Q(?P<q>[1-4])(?:[-,\s]+(?:of\s)?(?P<y>\d{4}))?"),
        ("month", r"(?P<y>\d{4})-(?P<m>\d\d)"),
        ("day", rf"(?P<d>\d\d?)(?:st|nd|rd|th)?\s(?:of\s)?(?P<month>{_MONTH})(?:,?\s(?P<y>\d{{4}}))?"),
        ("day", rf"(?P<month>{_MONTH})\s(?P<d>\d\d?)(?:st|nd|rd|th)?(?:,?\s(?P<y>\d{{4}}))?(?![\d.,]*\d)"),
        ("month", rf"(?P<month>{_MONTH}),?\s(?P<y>\d{{4}})"),
    )
)  # fmt: skip

_DOWN = re.compile(
    r"\b(?:down|fell|falls?|fallen|falling|fewer|less|lower|lowers?|lowered|below|under|decreas\w*|dropp?\w*|declin\w*|"
    r"minus|shr[aiu]nk\w*|reduc\w*|lost|loses?|losing|loss(?:es)?|cut|cuts|short(?:er)?|worse|behind|negative|slipp?\w*|"
    r"dipp?\w*|plung\w*|sank|sink\w*|contract(?:ed|ion)|beneath|halved|lag\w*)\b",
    re.IGNORECASE,
)
_UP = re.compile(
    r"\b(?:up|rose|rise[sn]?|rising|more|higher|above|over|increas\w*|grew|grow[snth]*|growing|gain\w*|climb\w*|added|adds?|"
    r"plus|exceed\w*|ahead|positive|jump\w*|surg\w*|expand\w*|expansion|better|raised?|raises|raising)\b",
    re.IGNORECASE,
)
_CHANGES = ("change", "change_percent", "contribution")
_POINTS = ("percentage points", "pp")
_PERCENT = ("%", *_POINTS)


@dataclass(frozen=True)
class Uncarried:
    """What a text states and no fact carries."""

    text: str
    why: str

    def __str__(self) -> str:
        return f"{self.text!r} {self.why}"


def uncarried(text: str, facts: Iterable[Fact], *, given: Iterable[str] = ()) -> list[Uncarried]:
    """
    Return what *text* states that none of *facts* carries.

    :param given: texts of ours that it may quote word for word: what a data check warned of.
    """
    carrying = list(facts)
    left, found = _without_names(text, carrying, given), []
    left, dates = _without_dates(left)
    for written, kind, part in dates:
        if not any(_is_when(kind, part, fact) for fact in carrying):
            found.append(Uncarried(written, "is a time that no fact is about"))
    for number in numbers_in(left):
        if problem := _problem(number, carrying, text):
            found.append(Uncarried(number.text.strip(TAKEN), problem))
    return found


@dataclass(frozen=True)
class Carried:
    """A number of a text with the fact that carries it."""

    start: int
    end: int
    fact: Fact


def carried(text: str, facts: Iterable[Fact]) -> list[Carried]:
    """
    Return the numbers of *text* that *facts* carry, in order.

    Of several facts that carry a number it is the one that is shown like that; of several of those, each in its turn.
    """
    carrying = [fact for fact in facts if fact.value is not None]
    left, _ = _without_dates(_without_names(text, carrying, ()))
    found: list[Carried] = []
    for number in numbers_in(left):
        fits = [fact for fact in carrying if _is_value(number, fact) and _is_direction(number, fact, text)]
        if fits:
            written = number.text.lstrip("+-−–")
            alike = [fact for fact in fits if fact.shown.lstrip("-").startswith(written)] or fits
            met = {one.fact.id for one in found}
            best = next((fact for fact in alike if fact.id not in met), alike[0])
            found.append(Carried(number.start, number.end, best))
    return found


def _problem(number: Number, facts: Sequence[Fact], text: str) -> str:
    """Return why no fact carries *number*; empty: one does."""
    if not number.readings:
        return "is a number that cannot be read; write it in digits"
    if number.is_year and any(number.readings[0][0] in {d.year for d in _days(fact)} for fact in facts):
        return ""
    close = [fact for fact in facts if fact.value is not None and _is_value(number, fact)]
    if any(_is_direction(number, fact, text) for fact in close):
        return ""
    if close:
        return f"is stated in the wrong direction ({_shown(close)})"
    return f"is carried by none of its facts ({_shown(facts)})"


def _shown(facts: Sequence[Fact]) -> str:
    shown = [f"{fact.label}: {fact.shown}" for fact in facts[:3]]
    return "; ".join(shown) + ("; …" if len(facts) > 3 else "") or "there are none"


def _is_value(number: Number, fact: Fact) -> bool:
    """Return whether *number* states the value of *fact*, whatever its direction."""
    value = fact.value
    assert value is not None
    if not _fits_unit(number, fact) or (number.is_ordinal and value != value.to_integral_value()):
        return False
    sizes = [value] if number.is_signed or value >= 0 else [value, -value]
    return any(_means(number, stated, step, size, fact) for stated, step in number.readings for size in sizes)


def _fits_unit(number: Number, fact: Fact) -> bool:
    """Return whether a number of this kind can be of the unit of *fact*."""
    if number.is_percent and fact.unit not in (_POINTS if number.is_points else ("%", "")):
        return False
    if number.currency and fact.unit not in CURRENCIES.get(number.currency, (number.currency,)):
        return False
    if number.is_ordinal and fact.unit:
        return False
    return number.is_percent or number.is_times or number.is_fraction or fact.unit not in _PERCENT


def _means(number: Number, stated: Decimal, step: Decimal, size: Decimal, fact: Fact) -> bool:
    """
    Return whether one reading of *number* is *size*, the value of *fact* with or without its sign.

    :param step: the last place that is written.
    """
    if number.is_times and _is_times(stated, size, fact):
        return True
    if number.is_fraction:
        scale = 100 if fact.unit in _PERCENT else 1
        return _rounded(stated * scale, fact.decimals) == _rounded(size, fact.decimals)
    return _is_rounded(number, stated, step, size * 100 if number.is_percent and not fact.unit else size)


def _is_times(times: Decimal, value: Decimal, fact: Fact) -> bool:
    """``doubled`` is a change of 100%, or a factor of two."""
    if fact.kind == "change_percent":
        return _rounded((times - 1) * 100, fact.decimals) == _rounded(value, fact.decimals)
    return fact.unit in ("", "x") and fact.kind not in _CHANGES and _rounded(value, fact.decimals) == times


def _is_rounded(number: Number, written: Decimal, step: Decimal, value: Decimal) -> bool:
    if _to_step(value, step) == written:
        return True
    if not number.hedge:
        return False
    coarse = max(step, _last_place(written))
    if number.hedge == "over":
        return written < value < written + coarse
    if number.hedge == "under":
        return written - coarse < value < written
    return _to_step(value, coarse) == written


def _last_place(value: Decimal) -> Decimal:
    """Return 1000 for 12000: after ``about``, noughts at the end say nothing."""
    exponent = value.normalize().as_tuple().exponent
    return Decimal(1).scaleb(exponent) if isinstance(exponent, int) and value else Decimal(1)


def _to_step(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).quantize(Decimal(1), rounding=ROUND_HALF_EVEN) * step if step else value


def _rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)


def _is_direction(number: Number, fact: Fact, text: str) -> bool:
    """Return whether the words around a number without a sign leave its fact the sign that it has."""
    assert fact.value is not None
    is_nothing = not any(value for value, _ in number.readings)
    if number.is_signed or is_nothing or number.is_times:
        return True
    is_down, is_up = bool(_DOWN.search(text)), bool(_UP.search(text))
    if fact.value < 0:
        return is_down
    return is_up or not is_down or fact.kind not in _CHANGES


# --- names -----------------------------------------------------------------------------------------------------------


def _without_names(text: str, facts: Sequence[Fact], given: Iterable[str]) -> str:
    """Return *text* with the names that its facts carry taken out, the longest first."""
    names = {name for fact in facts for name in _names(fact)} | {one for one in given if one}
    for name in sorted(names, key=lambda one: (-len(one), one)):
        text = _pattern(name).sub(lambda match: TAKEN * len(match[0]), text)
    return text


def _names(fact: Fact) -> set[str]:
    names = {fact.period, fact.label, fact.dataset, fact.name, fact.indicator, *fact.assumptions, *fact.warnings}
    for column, value in fact.segment.items():
        words = column.replace("_", " ")
        names |= {f"{words} {value}", f"{words} {value!r}"}
        names |= {fact.label.replace(value, "")} if fact.label.replace(value, "").strip() else set()
        if not re.fullmatch(r"[\d.,\s%/-]*", value):  # a store called "3" would carry every 3
            names.add(value)
    if re.search(r"\d", fact.unit):
        names.add(fact.unit)
    parts = {word.strip(",.;:()'\"") for name in (fact.label, *fact.segment.values()) for word in name.split()}
    names |= {word for word in parts if re.search(r"\d", word) and re.search(r"[^\W\d]", word)}  # 3M, B2B
    return {name for name in names if _says_number(name)}


@lru_cache(maxsize=4096)
def _says_number(name: str) -> bool:
    return bool(numbers_in(name))


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?<!\d[-./:,]){re.escape(name)}(?!\w|[-./:,]\d)", re.IGNORECASE)


# --- dates -----------------------------------------------------------------------------------------------------------


def _without_dates(text: str) -> tuple[str, list[tuple[str, str, dict[str, str | None]]]]:
    found = []
    for kind, pattern in _DATES:
        for match in pattern.finditer(text):
            found.append((match[0], kind, match.groupdict()))
            text = text[: match.start()] + TAKEN * len(match[0]) + text[match.end() :]
    return text, found


def _days(fact: Fact) -> tuple[date, date, date, date]:
    """
    Return the days that a fact is about: first, last, the one after, and the day as of which it was known.

    Periods begin at midnight of their zone; half a day later it is that day in every zone.
    """
    half = timedelta(hours=12)
    first, end = (fact.period_start + half).astimezone(UTC), (fact.period_end + half).astimezone(UTC)
    last = end - timedelta(days=1) if fact.period_end - fact.period_start >= timedelta(hours=23) else first
    return first.date(), last.date(), end.date(), fact.as_of.astimezone(UTC).date()


def _is_when(kind: str, part: dict[str, str | None], fact: Fact) -> bool:
    if kind == "instant":
        written = f"{part['y']}-{part['m']}-{part['d']} {part['hour']}:{part['minute']}"
        instants = (fact.as_of, fact.period_start, fact.period_end)
        return written in {f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" for at in instants}
    year = int(part["y"] or 0) if part.get("y") else None
    first, last, after, as_of = _days(fact)
    month = _month(part)
    for day in (first, last, after, as_of) if kind == "day" else (first, last):
        if kind == "week":
            same = (year in (None, day.isocalendar().year)) and day.isocalendar().week == int(part["w"] or 0)
        elif kind == "quarter":
            same = year in (None, day.year) and (day.month + 2) // 3 == int(part["q"] or 0)
        else:
            same = year in (None, day.year) and day.month == month
            same = same and (kind == "month" or day.day == int(part["d"] or 0))
        if same:
            return True
    return False


def _month(part: dict[str, str | None]) -> int | None:
    if part.get("m"):
        return int(part["m"] or 0)
    written = (part.get("month") or "").lower().rstrip(".")
    return next((index for index, name in enumerate(_MONTHS, 1) if written and name.startswith(written[:3])), None)
