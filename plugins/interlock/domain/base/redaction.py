"""
Finding personal data and secrets in text, and masking them: before a prompt leaves, before a notice, in what is kept.

By form alone: addresses, numbers and keys. Names, places and organisations have no form; they need a
:data:`FindNames`, and where a policy requires one and there is none, nothing may leave. Recall comes before
precision: a number that is masked for nothing costs a reader a little, one that leaves costs a customer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Span = tuple[int, int, str]
"""Start and end, in characters, and the kind."""
FindNames = Callable[[str], Iterable[Span]]
"""Says where a text names people, places and organisations."""

KINDS = ("SECRET", "EMAIL", "URL", "IP", "IBAN", "CARD", "PHONE", "ID")
"""What is found by form, the surest first: where two overlap, the earlier one names the mask."""

_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
    r"|\b(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)?[-_]?[A-Za-z0-9_-]{16,}"  # keys of payment and model services
    r"|\b(?:ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|hf)[-_][A-Za-z0-9_-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}"
    r"|(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9+/._~-]{16,}={0,2}"
    r"|(?i:\b(?:password|passwd|passwort|passcode|secret|token|api[ _-]?key|access[ _-]?key)\b"
    r"(?:\s+is)?\s*[:=]?\s*)(?<=[:=\s])(?=\S*[\d!@#$%^&*_])[^\s,;'\"]{6,}"
    r"|(?i:\b(?:pin|cvv|cvc)\b(?:\s+(?:is|number|code))*\s*[:=]?\s*)\d{3,8}\b"
    r"|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",  # user and password of an address
    re.DOTALL,
)
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@(?:[\w-]+\.)+[^\W\d_][\w-]*\b")
_URL = re.compile(r"\b(?:https?|ftp)://[^\s<>\"']+|\bwww\.[^\s<>\"']+", re.IGNORECASE)
_IP = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}(?![\w:])"
)
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b")
_DIGITS = re.compile(r"(?<![\w.])[+(]{0,2}\d(?:[\s().\-/]{0,3}\d){5,18}(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?!\w)")
_DATE = re.compile(
    r"(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?:[T\s]\d{1,2}(?::?\d\d){0,2})?"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:19|20)\d\d"
    r"|(?:19|20)\d\d\s?[-/]\s?(?:19|20)\d\d"
)
_DAYS = re.compile(rf"(?<!\d)(?:{_DATE.pattern}|(?:19|20)\d\d-(?:0[1-9]|1[0-2]))(?!\d)")
_BESIDE = re.compile(r"[\s().\-/]*(?:[1-9]\d{0,2}[\s().\-/]*)?")
"""What may stand before or after a day or a month and be no part of a number: another small one."""
_AMOUNT = re.compile(r"\d{1,3}(?:\.\d{3})+(?:\.\d+)?|\d+\.\d+")
_ID = re.compile(
    r"\b(?!(?:19|20)\d\d-W\d\d\b(?!-?\w))(?=[A-Z0-9-]*[A-Z])(?=(?:[A-Z-]*\d){5})[A-Z0-9][A-Z0-9-]{6,24}[A-Z0-9]\b"
)


def find(text: str, names: FindNames | None = None) -> list[Span]:
    """Return where *text* has personal data or secrets, without overlaps, in order."""
    spans: list[Span] = [(*match.span(), "SECRET") for match in _SECRET.finditer(text)]
    if "@" in text:
        spans += [(*match.span(), "EMAIL") for match in _EMAIL.finditer(text)]
    spans += [(match.start(), match.end() - _trailing(match[0]), "URL") for match in _URL.finditer(text)]
    spans += [(*match.span(), "IP") for match in _IP.finditer(text)]
    spans += [(*match.span(), "IBAN") for match in _IBAN.finditer(text)]
    for match in _DIGITS.finditer(text):
        kind = _number(match[0])
        if kind is not None:
            spans.append((*match.span(), kind))
    spans += [(*match.span(), "ID") for match in _ID.finditer(text)]
    if names is not None:
        spans += [(start, end, kind) for start, end, kind in names(text) if 0 <= start < end <= len(text)]
    return _merged(spans)


def _trailing(address: str) -> int:
    """The characters at the end of an address that belong to the sentence."""
    return len(address) - len(address.rstrip(".,;:!?)]}"))


def _number(text: str) -> str | None:
    """Return what a run of digits is, or None for days, an amount or one that is too short for anybody's."""
    if _AMOUNT.fullmatch(text):
        return None
    beside = _DAYS.split(text)
    if len(beside) > 1 and all(_BESIDE.fullmatch(each) for each in beside):
        return None
    digits = re.sub(r"\D", "", text.split("x")[0])
    if 12 <= len(digits) <= 19 and (passes_luhn(digits) or len(digits) >= 15):
        return "CARD"
    if re.fullmatch(r"\d{3}[- ]\d{2}[- ]\d{4}", text):
        return "ID"
    if len(digits) >= 7 or (len(digits) == 6 and not text.isdigit()):
        return "PHONE" if len(digits) <= 15 else "ID"
    return None


def passes_luhn(digits: str) -> bool:
    """Return whether the check digit of a card number is right (ISO/IEC 7812-1)."""
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    return (sum(int(d) for d in digits[-1::-2]) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Join what overlaps, under the kind that stands first in :data:`KINDS`."""
    rank = {kind: place for place, kind in enumerate(KINDS)}
    joined: list[Span] = []
    for start, end, kind in sorted(spans):
        if joined and start < joined[-1][1]:
            before = joined[-1]
            surer = min(before[2], kind, key=lambda k: rank.get(k, len(rank)))
            joined[-1] = (before[0], max(before[1], end), surer)
        else:
            joined.append((start, end, kind))
    return joined


def mask(text: str, names: FindNames | None = None) -> str:
    """Return *text* with ``[EMAIL]`` in place of an address, and so on; it cannot be undone."""
    pieces, at = [], 0
    for start, end, kind in find(text, names):
        pieces += [text[at:start], f"[{kind}]"]
        at = end
    return "".join([*pieces, text[at:]])


@dataclass
class Masker:
    """
    Masks the texts of one request, so that the answer can be written out again.

    The same value has the same mask throughout, ``[EMAIL_1]``, which lets a model speak of it without having seen it.
    """

    names: FindNames | None = None
    keeps: Sequence[str] = ()
    """Kinds that may leave as they are."""
    masked: dict[str, str] = field(default_factory=dict)
    """Value to mask."""
    _counts: dict[str, int] = field(default_factory=dict)

    def mask(self, text: str) -> str:
        """Return *text* with masks in place of what is found."""
        pieces, at = [], 0
        for start, end, kind in find(text, self.names):
            if kind in self.keeps:
                continue
            value = text[start:end]
            if value not in self.masked:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                self.masked[value] = f"[{kind}_{self._counts[kind]}]"
            pieces += [text[at:start], self.masked[value]]
            at = end
        return "".join([*pieces, text[at:]])

    def restore(self, value: Any) -> Any:
        """Return *value*, of JSON types, with what its masks stand for; secrets stay masked."""
        back = {m: v for v, m in self.masked.items() if not m.startswith("[SECRET")}
        if not back:
            return value
        pattern = re.compile("|".join(re.escape(m) for m in back))
        return _restored(value, pattern, back)

    @property
    def counts(self) -> dict[str, int]:
        """How many values of each kind were masked."""
        return dict(self._counts)


def _restored(value: Any, pattern: re.Pattern[str], back: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(lambda found: back[found[0]], value)
    if isinstance(value, Mapping):
        return {key: _restored(item, pattern, back) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item, pattern, back) for item in value]
    return value
