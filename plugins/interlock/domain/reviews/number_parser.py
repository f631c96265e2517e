"""
Every number that a text states, as digits or in words, with the precision at which it is written.

A check must not overlook one, so the reading is greedy: what has a digit in it and cannot be understood is a number
without a meaning, which nothing carries. English is read; ``1.234,50`` is too, because models write it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

Hedge = Literal["", "about", "over", "under"]
Token = tuple[str, int, int]
"""A word in lower case, and where it begins and ends in its text."""

TAKEN = "\x01"
"""Stands for a character that was read already."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it stands in a text."""

    text: str
    start: int
    end: int
    readings: tuple[tuple[Decimal, Decimal], ...]
    """
    What it can mean, each with the last place that is written: (3.1, 0.1), or (12000, 1000) of ``12 thousand``. ``5m``
    is five metres or five million; empty: nobody can say.
    """
    is_signed: bool = False
    is_percent: bool = False
    is_points: bool = False
    """Percentage points, which are no percentage."""
    is_fraction: bool = False
    """``half``, ``3/4``: it also means that many hundredths."""
    is_times: bool = False
    """``doubled``, ``3-fold``: it also means the change that leads there."""
    currency: str = ""
    """``USD``, or ``$``; empty where none stands beside it."""
    hedge: Hedge = ""
    is_year: bool = False
    is_ordinal: bool = False


_SCALES = {
    "k": 3, "thousand": 3, "thousands": 3, "m": 6, "mm": 6, "mn": 6, "mio": 6, "million": 6, "millions": 6,
    "b": 9, "bn": 9, "billion": 9, "billions": 9, "t": 12, "tn": 12, "trillion": 12, "hundred": 2, "lakh": 5,
    "crore": 7,
}  # fmt: skip
_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90, "nil": 0, "single": 1, "both": 2, "fourty": 40,
}  # fmt: skip
_WORD_SCALES = {
    "hundred": Decimal(100), "thousand": Decimal(10**3), "million": Decimal(10**6), "billion": Decimal(10**9),
    "trillion": Decimal(10**12), "dozen": Decimal(12), "lakh": Decimal(10**5), "crore": Decimal(10**7),
}  # fmt: skip
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12,
}  # fmt: skip
_TIMES = {
    "doubled": 2, "doubling": 2, "double": 2, "doubles": 2, "twice": 2, "twofold": 2, "tripled": 3, "triple": 3,
    "tripling": 3, "trebled": 3, "thrice": 3, "threefold": 3, "quadrupled": 4, "quadruple": 4, "fourfold": 4,
    "quintupled": 5, "fivefold": 5, "tenfold": 10, "hundredfold": 100,
}  # fmt: skip
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fifth": 5, "fifths": 5, "sixth": 6,
    "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9, "ninths": 9, "tenth": 10,
    "tenths": 10, "hundredth": 100, "hundredths": 100,
}  # fmt: skip
CURRENCIES = {
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"), "€": ("EUR",), "£": ("GBP",), "¥": ("JPY", "CNY"),
    "dollar": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD"), "euro": ("EUR",), "pound": ("GBP",), "yen": ("JPY",),
}  # fmt: skip
"""What a sign or a word may stand for."""
_CODES = (
    "USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|CNY|INR|BRL|MXN|ZAR|KRW|SGD|HKD|TRY|ILS|AED|SAR|THB|RON"
)

_COUNTED = _WORDS.keys() | _WORD_SCALES.keys()

_DIGITS = re.compile(
    rf"""
    (?P<code>\b(?-i:{_CODES})\s?)?
    (?P<sign>(?<![\w)\]%])[-+−–])?
    (?P<mark>(?:US)?[$€£¥]\s?)?
    (?P<inner>(?<=[$€£¥])[-+−–])?
    (?:
      (?P<comma>\d{{1,3}}(?:\.\d{{3}})+,\d+|\d{{1,3}}(?:\.\d{{3}}){{2,}})
      | (?P<over>\d+)\s?[/⁄]\s?(?P<under>\d+)
      | (?P<plain>\d{{1,3}}(?:[,'’_\u00a0\u2009\u202f]\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
        (?:[eE](?P<power>[-+]?\d+))?
    )
    (?P<vulgar>[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])?
    (?:(?P<glued>k|m|mm|mn|bn|b|t|tn)(?![\w]) |
       [\s-]?(?P<scale>thousands?|millions?|mio|mn|bn|billions?|trillion|hundred|lakh|crore|dozen)\b)?
    (?:
      \s?(?P<percent>%|‰|\bper\ ?cent\b|\bpct\b|\bpercentage\ points?\b|\bpp\b|\bbps\b|\bbasis\ points?\b)
      | (?P<ordinal>st|nd|rd|th)\b
      | [\s-]?(?P<times>×|x\b|times\b|fold\b)
      | \s?(?P<after>(?-i:{_CODES})|[$€£¥]|dollars?|euros?|pounds?|yen)(?!\w)
    )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z]+")
_VAGUE = re.compile(r"\b(?:tens|dozens|hundreds|thousands|millions|billions)\s+of\b", re.IGNORECASE)
_FRACTION_WORDS = re.compile(
    rf"\b(?:(?P<count>an?|one|two|three|four|five|six|seven|eight|nine)[\s-]+)?(?P<part>{'|'.join(_PARTS)})\b"
    r"(?P<of>\s+of\b)?",
    re.IGNORECASE,
)
_AND_BEFORE = re.compile(r"\b([A-Za-z]+)\s+and\s+\Z", re.IGNORECASE)
_AND_A_HALF = re.compile(r"\s+and\s+a\s+half\b(?:\s+(thousand|million|billion))?", re.IGNORECASE)
_PERCENT_AFTER = re.compile(r"\s?(?:%|per\s?cent\b|percentage\spoints?\b)", re.IGNORECASE)
_TIMES_AFTER = re.compile(r"[\s-](?:times|fold)\b", re.IGNORECASE)
_MONEY_AFTER = re.compile(rf"\s(?P<unit>(?-i:{_CODES})|dollars?|euros?|pounds?|yen)\b", re.IGNORECASE)
_OF_SCALE = re.compile(r"\s+an?\s+(hundred|thousand|million|billion|dozen)\b", re.IGNORECASE)
_NO_NUMBER = re.compile(
    r"\b(?:no|every|any|some|each|this|that|which|the|another|only)[\s-]one\b|\bone\s(?:another|by\sone)\b|\bper\ssecond\b",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s?(?:–|—|-|to|and|or|,|/|versus|vs\.?|from|against)\s?(?:about\s|a\s)?", re.IGNORECASE)

_ABOUT = r"about|around|roughly|nearly|almost|approximately|approx\.?|some|circa|ca\.|close\sto|just|~|≈"
_OVER = r"over|more\sthan|above|at\sleast|exceed(?:s|ed|ing)?|upwards\sof|>|≥|>="
_UNDER = r"under|less\sthan|fewer\sthan|below|at\smost|up\sto|<|≤|<="
_HEDGES: tuple[tuple[Hedge, re.Pattern[str]], ...] = (
    ("over", re.compile(rf"(?:^|\W)(?:{_OVER})\s*(?:an?\s)?$", re.IGNORECASE)),
    ("under", re.compile(rf"(?:^|\W)(?:{_UNDER})\s*(?:an?\s)?$", re.IGNORECASE)),
    ("about", re.compile(rf"(?:^|\W)(?:{_ABOUT})\s*(?:an?\s)?$", re.IGNORECASE)),
)


def numbers_in(text: str) -> list[Number]:
    """Return every number in *text*, in order; what was taken out of it before stands as :data:`TAKEN`."""
    left = list(text)
    found: list[Number] = []

    def take(number: Number) -> None:
        found.append(replace(number, hedge=_hedge(text[: number.start])))
        left[number.start : number.end] = TAKEN * (number.end - number.start)

    for match in _DIGITS.finditer(text):
        take(_of_digits(match))
    for match in _NO_NUMBER.finditer("".join(left)):
        left[match.start() : match.end()] = TAKEN * (match.end() - match.start())
    for match in _VAGUE.finditer("".join(left)):
        take(_unreadable(match[0], match.start()))
    for number in _fractions("".join(left)):
        take(number)
    for number in _in_words("".join(left)):
        take(number)
    for index, character in enumerate(left):
        if character.isnumeric():
            part = Decimal(str(unicodedata.numeric(character))) if character in "½¼¾" else None
            readings = () if part is None else ((part, Decimal(0)),)
            take(Number(text=character, start=index, end=index + 1, readings=readings, is_fraction=bool(readings)))
    found.sort(key=lambda number: number.start)
    return _shared(found, text)


def _of_digits(match: re.Match[str]) -> Number:
    part = match.groupdict()
    written = _written(part)
    if written is None:
        return _unreadable(match[0], match.start())
    value, place = written
    sign = -1 if (part["sign"] or part["inner"] or "+") in "-−–" else 1
    unit = (part["percent"] or "").lower()
    return Number(
        text=match[0].strip(),
        start=match.start(),
        end=match.end(),
        readings=tuple((sign * value * factor, place * factor) for factor in _factors(part, unit)),
        is_signed=bool(part["sign"] or part["inner"]),
        is_percent=bool(unit),
        is_points=bool(unit) and unit not in ("%", "‰", "pct") and unit[-4:] != "cent",
        is_fraction=bool(part["over"] or part["vulgar"]),
        is_times=bool(part["times"]),
        currency=_currency(part["code"] or part["mark"] or part["after"] or ""),
        is_year=bool(re.fullmatch(r"(?:19|20)\d\d", match[0].strip())),
        is_ordinal=bool(part["ordinal"]),
    )


def _written(part: Mapping[str, str | None]) -> tuple[Decimal, Decimal] | None:
    """Return the digits as a value without sign or scale, and its last place; None: a fraction of zero parts."""
    if part["over"]:
        under = Decimal(part["under"] or 0)
        if not under:
            return None
        value, place = Decimal(part["over"]) / under, Decimal(1)
    elif part["comma"]:
        whole, _, decimals = part["comma"].replace(".", "").partition(",")
        value, place = Decimal(f"{whole}.{decimals or '0'}"), Decimal(1).scaleb(-len(decimals))
    else:
        text = re.sub(r"[,'’_\u00a0\u2009\u202f]", "", part["plain"] or "")
        value, place = Decimal(text), Decimal(1).scaleb(-len(text.partition(".")[2]))
        if part["power"]:
            value, place = value.scaleb(int(part["power"])), place.scaleb(int(part["power"]))
    if part["vulgar"]:
        value, place = value + Decimal(str(unicodedata.numeric(part["vulgar"]))), Decimal("0.01")
    return value, place


def _factors(part: Mapping[str, str | None], unit: str) -> list[Decimal]:
    """Return what the digits may be multiplied by: two factors for ``5m``, which is five metres or five million."""
    if unit in ("bps", "basis point", "basis points"):
        return [Decimal("0.01")]
    if unit == "‰":
        return [Decimal("0.1")]
    if part["glued"]:
        letter = part["glued"].lower()
        scaled = Decimal(1).scaleb(_SCALES[letter])
        return [Decimal(1), scaled] if letter in ("m", "b", "t") else [scaled]
    if part["scale"]:
        word = part["scale"].lower()
        return [Decimal(12) if word == "dozen" else Decimal(1).scaleb(_SCALES[word])]
    return [Decimal(1)]


def _currency(unit: str) -> str:
    word = unit.strip().removeprefix("US") if unit.strip().endswith("$") else unit.strip()
    if word.upper() in _CODES.split("|"):
        return word.upper()
    return word.lower().rstrip("s") if word.isalpha() else word


def _fractions(text: str) -> Iterator[Number]:
    for match in _FRACTION_WORDS.finditer(text):
        count, part = (match["count"] or "").lower(), match["part"].lower()
        is_article = count in ("a", "an")
        if part in ("quarter", "quarters") and (not count or (is_article and not match["of"])):
            continue  # a span of time
        if not count and part in _ORDINALS:
            continue  # "the third week": read as a word of order
        if is_article and (before := _AND_BEFORE.search(text, 0, match.start())) and before[1].lower() in _COUNTED:
            continue  # "two and a half million": read as words
        many = Decimal(1) if is_article or not count else Decimal(_WORDS[count])
        end = match.end("part")
        if scale := _OF_SCALE.match(text, end):
            many, end = many * _WORD_SCALES[scale[1].lower()], scale.end()
        yield Number(
            text=text[match.start() : end],
            start=match.start(),
            end=end,
            readings=((many / _PARTS[part], Decimal(0)),),
            is_fraction=True,
        )


def _in_words(text: str) -> Iterator[Number]:
    tokens = [(match[0].lower(), match.start(), match.end()) for match in _WORD.finditer(text)]
    index = 0
    while index < len(tokens):
        word, start, end = tokens[index]
        following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
        starts_scale = word in ("a", "an") and following in _WORD_SCALES and _joined(text, end, tokens[index + 1][1])
        if word in _WORDS or starts_scale or word in _WORD_SCALES:
            index, number = _run(text, tokens, index, is_article=starts_scale)
            yield number
            continue
        if word in _TIMES:
            value = Decimal(_TIMES[word])
            yield Number(text=word, start=start, end=end, readings=((value, Decimal(1)),), is_times=True)
        elif word in ("halved", "halving"):
            yield Number(text=word, start=start, end=end, readings=((Decimal("0.5"), Decimal(0)),), is_times=True)
        elif word in _ORDINALS:
            yield Number(
                text=word, start=start, end=end, readings=((Decimal(_ORDINALS[word]), Decimal(1)),), is_ordinal=True
            )
        elif word.endswith("fold") and word != "fold" and word.removesuffix("fold") in _WORDS:
            value = Decimal(_WORDS[word.removesuffix("fold")])
            yield Number(text=word, start=start, end=end, readings=((value, Decimal(1)),), is_times=True)
        index += 1


def _run(text: str, tokens: list[Token], index: int, *, is_article: bool) -> tuple[int, Number]:
    """Read a number in words from ``tokens[index]`` on, with the unit after it; return the index of what follows."""
    start = tokens[index][1]
    index, end, value, step = _sum(text, tokens, index, is_article=is_article)
    if half := _AND_A_HALF.match(text, end):
        factor = _WORD_SCALES[half[1].lower()] if half[1] else Decimal(1)
        value, step, end = (value + Decimal("0.5")) * factor, factor / 2, half.end()
        while index < len(tokens) and tokens[index][1] < end:
            index += 1
    percent, money = _PERCENT_AFTER.match(text, end), _MONEY_AFTER.match(text, end)
    return index, Number(
        text=text[start:end],
        start=start,
        end=end,
        readings=((value, step),),
        is_percent=percent is not None,
        is_points=percent is not None and "point" in percent[0].lower(),
        is_times=_TIMES_AFTER.match(text, end) is not None,
        currency=_currency(money["unit"]) if money else "",
    )


def _sum(text: str, tokens: list[Token], index: int, *, is_article: bool) -> tuple[int, int, Decimal, Decimal]:
    """
    Read ``two hundred and five thousand``: the sum of groups, each multiplied by the scales that follow it.

    :return: the index of the next token, where the number ends in *text*, its value, and its last place.
    """
    end = tokens[index][2]
    total, group, step = Decimal(0), Decimal(1) if is_article else Decimal(0), Decimal(1)
    before = "a" if is_article else ""
    index += 1 if is_article else 0
    while index < len(tokens):
        word, begins, ends = tokens[index]
        if begins > end and not _joined(text, end, begins):
            break
        if word == "and" and before in _WORD_SCALES and index + 1 < len(tokens) and tokens[index + 1][0] in _WORDS:
            index, end = index + 1, ends
            continue
        if word in _WORDS:
            if before in _WORDS and not (_WORDS[before] >= 20 and _WORDS[word] < 10):
                break  # "nineteen ninety", "two three": not one number
            group, step = group + _WORDS[word], Decimal(1)
        elif word in _WORD_SCALES:
            factor = _WORD_SCALES[word]
            group, step = (group or Decimal(1)) * factor, max(step, Decimal(1)) * factor
            if factor >= 1000:
                total, group = total + group, Decimal(0)
        else:
            break
        before, end, index = word, ends, index + 1
    return index, end, total + group, step


def _joined(text: str, end: int, begins: int) -> bool:
    return text[end:begins] in (" ", "-", "\u2011", "\u00a0")


def _hedge(before: str) -> Hedge:
    tail = before[-24:]
    return next((hedge for hedge, pattern in _HEDGES if pattern.search(tail)), "")


def _unreadable(text: str, start: int) -> Number:
    return Number(text=text, start=start, end=start + len(text), readings=())


def _shared(numbers: list[Number], text: str) -> list[Number]:
    """Let ``between 3.1 and 4.5%`` be two of a hundred, and ``1.2 to 1.3 million`` two millions."""
    for index in range(len(numbers) - 2, -1, -1):
        one, following = numbers[index], numbers[index + 1]
        if not _BETWEEN.fullmatch(text[one.end : following.start]):
            continue
        if following.is_percent and not (one.is_percent or one.currency):
            one = replace(one, is_percent=True, is_points=following.is_points)
        if following.currency and not (one.currency or one.is_percent):
            one = replace(one, currency=following.currency)
        scaled = re.search(r"(thousand|million|billion|k|m|bn)\b", following.text, re.IGNORECASE)
        if scaled and len(one.readings) == 1 and re.fullmatch(r"[$€£¥\d.,+−-]+", one.text):
            factor, [(value, step)] = Decimal(1).scaleb(_SCALES[scaled[1].lower()]), one.readings
            one = replace(one, readings=((value, step), (value * factor, step * factor)))
        numbers[index] = one
    return numbers
