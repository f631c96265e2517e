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

_VALUE = r"(?:\"[^\"\s][^\"\n]{3,}\"|'[^'\s][^'\n]{3,}'|[^\s,;'\"&]{4,})"
_NOTHING = (
    r"(?![\"']?(?:true|false|null|none|yes|no|required|optional|missing|expired|invalid|unset|empty|bearer)\b"
    r"|[\"']?[\[<{$%*])"
)
"""What stands in the place of a secret and is none: a word about it, or a placeholder."""
_KEY = r"(?:api|access|account|auth|private|secret|signing|encryption|master|service|shared ?access)"
_NAME = rf"(?:password|passwd|passwort|passphrase|passcode|pwd|secret|token|credentials?|{_KEY}[ _-]?key)"
_TOKEN = re.compile(
    r"-{4,5} ?BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)? ?-{4,5}.*?"
    r"(?:-{4,5} ?END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)? ?-{4,5}|\Z)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
    r"|\b(?:sk|pk|rk)[-_](?:(?:live|test|proj|ant|or)[-_]|(?=[A-Za-z_-]*\d))[A-Za-z0-9_-]{16,}"  # payments, models
    r"|\b(?:gh[oprsu]|github_pat|gl(?:pat|ptt|dt|rt|soat|cbt)|xox[a-z]|xapp|hf|npm|dop_v1|shp(?:at|ss|ca)|whsec|pypi"
    r"|sq0[a-z]{3})"
    r"[-_](?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{10,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}",
    re.DOTALL,
)
"""Secrets that are known by how they begin."""
_BEGINNINGS = (
    "PRIVATE KEY", "eyJ", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp", "gho", "ghs", "ghu", "ghr", "github_pat",
    "glpat", "glptt", "gldt", "glrt", "glsoat", "glcbt", "xox", "xapp", "hf_", "hf-", "npm_", "dop_v1", "shp", "whsec",
    "pypi-", "sq0", "AKIA", "ASIA", "AIza", "ya29.", "SG.",
)  # fmt: skip
_ASSIGNED = re.compile(
    rf"(?i:(?<![\w.-])(?:[\w.-]{{0,64}}[_.-]|\w{{0,64}}[a-z](?-i:(?=[A-Z])))?{_NAME}[\"']?\s?(?:=|:=|=>)\s?){_NOTHING}{_VALUE}"
    rf"|(?i:(?<![\w.-])(?:[\w.-]{{0,64}}[_-]|\w{{0,64}}[a-z](?-i:(?=[A-Z]))){_NAME}[\"']?\s?:\s?|\b{_KEY}[_-]key[\"']?\s?:\s?|[\"']{_NAME}[\"']\s?:\s?)"
    rf"{_NOTHING}(?=\S*[\d!@#$%^&*_+/])[\"']?[^\s,;'\"]{{4,}}"
    r"|(?i:\b(?:password|passwd|passwort|passphrase|passcode|secret|token|api[ _-]?key|access[ _-]?key)\b"
    r"(?:\s+is)?\s*[:=]?\s*)(?<=[:=\s])(?=\S*[\d!@#$%^&*_])(?!\[)[^\s,;'\"]{6,}"
)
"""Secrets after the word for them: ``client_secret=…``, ``"dbPassword": "…"``, ``my password is …``."""
_WORDS = ("passw", "passp", "passc", "pwd", "secret", "token", "credential", "key")
_HEADER = re.compile(r"(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9+/._~-]{16,}={0,2}")
_LOGIN = re.compile(
    r"(?<=://)[^\s/:@\"'<>]{0,128}:[^\s/@]{1,256}(?=@)"
    r"|(?<=://)[^\s/:@\"'<>]{0,128}:(?!\d{1,5}[/?#])[^\s\"'<>]{1,256}?(?=@[\w.\[-]{1,253}(?::\d+)?(?:[/?\s,;\"')]|$))"
)
"""User and password of an address."""
_CODE_WORD = (
    r"(?:tele)?pins?|cvv2?|cvc2?|csc|otp|[mi]?tan|pass ?code|"
    r"(?:one[- ]time|security|verification|access|confirmation|log-?in|sms|auth(?:entication|ori[sz]ation)?|2fa|mfa|"
    r"activation|unlock|banking|card)\s(?:pass)?(?:code|word|number|pin)"
)
_LINK = (
    r"is|was|number|code|no\.?|ist|war|lautet|now|still|just|reads|says|i\sgot|i\sreceived|you\ssent(?:\sme)?|sent|"
    r"we\ssent|my|your|the"
)
_CODE = re.compile(
    rf"(?i:\b(?:{_CODE_WORD})\b(?:\s+(?:{_LINK}))*\s*[:=#(\"'-]*\s*)\d(?:[ -]?\d){{2,7}}\b(?![.,]?\d)"
    r"|(?i:\b(?:[A-Z]-)?\d(?:[ -]?\d){3,7}(?=\s+(?:is|was|as)\s+(?:(?:your|my|the|a|our)\s+)?(?:[\w-]+\s+){0,2}?"
    rf"(?:{_CODE_WORD})\b))"
    r"|(?i:\bcode\s+(?:(?:that|which)\s+)?(?:i|you|they|we|was|came|from)\b[^.\d\n]{0,40}?)\b\d{4,8}\b"
)
"""PINs and one-time codes, before or after the word for them."""
_CODE_WORDS = ("pin", "cv", "csc", "otp", "tan", "code", "passw", "number")
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@(?:[\w-]+\.)+[^\W\d_][\w-]*\b")
_DOMAINS = (
    r"(?:com|org|net|edu|gov|info|biz|io|co|ai|app|dev|me|eu|uk|de|fr|es|it|nl|be|ch|at|pl|se|no|dk|fi|ie|pt|ca|us|au|nz"
    r"|in|jp|br|mx|example)"
)
_DOT = r"(?:\s?[\[({<]\s?(?:dot|\.)\s?[\])}>]\s?|\sdot\s|\s\.\s|\.)"
_LOCAL = r"(?<![\w.+-])[\w.+-]{1,64}"
_HOST = rf"(?:[\w-]{{1,63}}{_DOT}){{1,5}}{_DOMAINS}\b"
_SPELLED = re.compile(
    r"(?i:"
    rf"{_LOCAL}\s?[\[({{<]\s?(?:at|@)\s?[\])}}>]\s?{_HOST}"  # name [at] example [dot] com
    rf"|{_LOCAL}(?:\sdot\s[\w+-]{{1,64}}){{0,3}}\sat\s(?=[\w.\s-]{{1,200}}?\sdot\s){_HOST}"  # name at example dot com
    rf"|(?=[\w+-]{{0,63}}[._+\d]){_LOCAL}\sat\s(?:[\w-]{{1,63}}\.){{1,5}}{_DOMAINS}\b"  # first.last at example.com
    rf"|{_LOCAL}\s?@\s?{_HOST}"  # name @ example dot com
    r")"
)
"""Addresses that are written so that programs do not find them."""
_URL = re.compile(r"\b(?:https?|ftp)://[^\s<>\"']+|\bwww\.[^\s<>\"']+", re.IGNORECASE)
_IP = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]*\d)"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    r"|(?<![\w:])(?=[A-Fa-f:]*\d)(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}(?![\w:])"
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
_AMOUNT = re.compile(r"\d{1,3}(?:\.\d{3})+|\d+\.\d+")
_DOTTED = re.compile(r"\d+(?:\.\d+)+")
_DOTTED_PHONE = re.compile(r"(?:1\.)?\d{3}\.\d{3}\.\d{4}|0\d(?:\.\d\d){4}|0\d{1,4}\.\d{3,4}\.\d{3,5}")
"""The forms in which a telephone number is written with dots: any other is a version."""
_STAMP = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])[0-5]\d[0-5]\d)?")
_FRACTION = re.compile(r"\d\d(?:\.\d{3,9})?[-\s]\d\d")
"""What ``:00.123456-05:00`` leaves of an instant."""
_CURRENCY = r"(?:[$€£¥]|EUR|USD|GBP|CHF|JPY|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|INR|CNY|kr\b|euros?\b|dollars?\b|pounds?\b)"
_MONEY_BEFORE = re.compile(rf"{_CURRENCY}\s?$")
_MONEY_AFTER = re.compile(rf",\d\d\b(?!,?\d)|(?:,\d\d)?\s?{_CURRENCY}")
_GROUPED = re.compile(r"\d{1,3}(?:[ ]\d{3})+|\d+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+")
_NUMBERED = re.compile(
    r"(?:\b(?:orders?|tickets?|cases?|invoices?|articles?|items?|sku|ean|gtin|upc|isbn|po|bug|issue|incident|tracking|parcel|"
    r"shipment|batch|serial|build|version|release|bar\s?code)\b(?:\s(?:no|nr|number|id|is|was))?[\s.:#]*|#)"
    r"[A-Za-z]{0,3}-?$",
    re.IGNORECASE,
)
"""What stands before the number of a thing."""
_VERSION = re.compile(r"(?:\b(?:version|release|build|firmware|driver|v)[\s.:]*|\bv)$", re.IGNORECASE)
_THING = re.compile(
    r"[A-Z]{2,10}-\d{1,9}|(?:INC|REQ|RITM|CHG|PRB|TASK|SCTASK|CS)\d{5,10}|[A-Z]{2,8}-(?:19|20)\d\d-\d{1,9}"
    r"|(?:19|20)\d\d-?\d\d-?\d\dT[\d-]*Z?"
)
"""Ids of tickets, cases and orders, and what an instant begins with."""
_ID = re.compile(
    r"\b(?!(?:19|20)\d\d-W\d\d\b(?!-?\w))(?=[A-Z0-9-]*[A-Z])(?=(?:[A-Z-]*\d){5})[A-Z0-9][A-Z0-9-]{6,24}[A-Z0-9]\b"
)


def find(text: str, names: FindNames | None = None) -> list[Span]:
    """Return where *text* has personal data or secrets, without overlaps, in order."""
    spans = _secrets(text)
    if "@" in text:
        spans += [(*match.span(), "EMAIL") for match in _EMAIL.finditer(text)]
    if "://" in text or "www." in text.lower():
        spans += [(match.start(), match.end() - _trailing(match[0]), "URL") for match in _URL.finditer(text)]
    if _DIGIT.search(text):
        spans += _numbers(text)
    if names is not None:
        spans += [(start, end, kind) for start, end, kind in names(text) if 0 <= start < end <= len(text)]
    return _merged(spans)


_DIGIT = re.compile(r"\d")


def _secrets(text: str) -> list[Span]:
    """Return the secrets and the spelled addresses; each pattern is tried where a part of it occurs, which is fast."""
    patterns: list[tuple[re.Pattern[str], str]] = []
    if any(beginning in text for beginning in _BEGINNINGS):
        patterns.append((_TOKEN, "SECRET"))
    if "://" in text:
        patterns.append((_LOGIN, "SECRET"))
    low = text.lower()
    if any(word in low for word in _WORDS):
        patterns.append((_ASSIGNED, "SECRET"))
    if "bearer" in low or "basic" in low:
        patterns.append((_HEADER, "SECRET"))
    if any(word in low for word in _CODE_WORDS) and _DIGIT.search(text):
        patterns.append((_CODE, "SECRET"))
    if ("@" in low or _AT.search(low)) and ("dot" in low or "." in low):
        patterns.append((_SPELLED, "EMAIL"))
    return [(*match.span(), kind) for pattern, kind in patterns for match in pattern.finditer(text)]


_AT = re.compile(r"[\s(\[{<]at[\s)\]}>]")


def _numbers(text: str) -> list[Span]:
    """Return what consists of digits: addresses, accounts, cards, telephone numbers and ids."""
    spans: list[Span] = []
    if "." in text or ":" in text:
        spans += [
            (*match.span(), "IP")
            for match in _IP.finditer(text)
            if not _VERSION.search(text, max(match.start() - 12, 0), match.start())
        ]
    spans += [(*match.span(), "IBAN") for match in _IBAN.finditer(text)]
    for match in _DIGITS.finditer(text):
        kind = _number(match[0])
        if kind is not None and not (kind != "ID" and _is_of_a_thing(match, kind)):
            spans.append((*match.span(), kind))
    return spans + [(*match.span(), "ID") for match in _ID.finditer(text) if not _THING.fullmatch(match[0])]


def _is_of_a_thing(match: re.Match[str], kind: str) -> bool:
    """Return whether digits are an amount, or the number of an order, an article or a request, by its surroundings."""
    text, written = match.string, match[0]
    digits = re.sub(r"\D", "", written)
    if written[0] in "+(":
        return False
    before = text[max(match.start() - 30, 0) : match.start()]
    if kind == "CARD" and passes_luhn(digits) and len(digits) != 13:
        return bool(re.search(r"[0-9a-f]{4}-$", before))
    is_numbered = bool(_NUMBERED.search(before)) and not re.search(r"[\s.()/]", written)
    is_numbered = is_numbered and (digits[0] != "0" or len(digits) == 12)  # one that begins with 0 may be dialled
    if _is_of_an_article(written, digits) and not is_numbered:
        return kind != "CARD" or not passes_luhn(digits) or digits.startswith(("978", "979"))
    if is_numbered or re.search(r"[0-9a-f]{4}-$", before):
        return True
    return bool(_GROUPED.fullmatch(written) and (_MONEY_BEFORE.search(before) or _MONEY_AFTER.match(text, match.end())))


def _is_of_an_article(written: str, digits: str) -> bool:
    """Return whether it is an EAN or an ISBN: their forms, with the right check digit (ISO 2108, GS1)."""
    if len(digits) == 13 and (written.isdigit() or digits.startswith(("978", "979"))) and digits[0] != "0":
        return sum(int(d) * (3 if place % 2 else 1) for place, d in enumerate(digits)) % 10 == 0
    if len(digits) == 10 and re.fullmatch(r"\d+-\d+-\d+-\d", written):
        return sum(int(d) * (10 - place) for place, d in enumerate(digits)) % 11 == 0
    return False


def _trailing(address: str) -> int:
    """The characters at the end of an address that belong to the sentence."""
    return len(address) - len(address.rstrip(".,;:!?)]}"))


def _number(text: str) -> str | None:
    """Return what a run of digits is, or None for days, an amount, a version or one too short for anybody's."""
    if _AMOUNT.fullmatch(text) or _STAMP.fullmatch(text) or _FRACTION.fullmatch(text):
        return None
    beside = _DAYS.split(text)
    if len(beside) > 1 and all(_BESIDE.fullmatch(each) for each in beside):
        return None
    digits = re.sub(r"\D", "", text.split("x")[0])
    if 12 <= len(digits) <= 19 and (passes_luhn(digits) or len(digits) >= 15):
        return "CARD"
    if _DOTTED.fullmatch(text) and not _DOTTED_PHONE.fullmatch(text):
        return None
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
