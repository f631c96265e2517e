"""
What is checked on a dataset without an expectation: its columns, times, texts, key, age, size and totals.

Each check gives a result of the shape of an expectation's: a name, a severity, counts and a sentence, and no value of
the data. A check that passes is reported as well, so that a page shows what was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import SequenceMatcher
from typing import Any
from zoneinfo import ZoneInfo

from interlock.analysis.staging import Staging, q
from interlock.domain.base.duration import format_duration
from interlock.domain.data.dataset import BUILT_IN, Control, Dataset, Severity
from interlock.domain.data.quality import ExpectationResult
from interlock.errors import SourceError

NAMES = {
    "columns": "the declared columns are there",
    "drift": "no undeclared column is there",
    "fresh": "the newest row is fresh enough",
    "volume": "there are as many rows as there must be",
    "change": "there are about as many rows as before",
    "period": "no period is empty",
    "key": "no row comes twice",
    "future": "no row lies in the future",
    "times": "times are of one form",
    "encoding": "texts are in the right encoding",
    "ending": "the file ends with a line end",
    "history": "earlier rows are unchanged",
    "spread": "the newest period looks like those before",
    "aside": "few rows are quarantined",
    "source": "the source is read to its end",
}
"""Check to what people read."""

_ZONE = r"':.*([+-][0-9]{2}(:?[0-9]{2})?)$'"
_MOJIBAKE = "'\u00c3[\u0080-\u00bf]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac|\ufffd'"
"""UTF-8 that was read as Latin-1 or Windows-1252, and the mark of a character that could not be read."""

_LIKE = 0.5
"""From this similarity of names on, a missing column may be a new one's old name."""


def check_result(
    dataset: Dataset,
    check: str,
    message: str = "",
    observed: Mapping[str, int | float | str] | None = None,
    *,
    severity: Severity | None = None,
    name: str | None = None,
) -> ExpectationResult:
    """Return a result of the built-in *check*, which holds when there is no *message*."""
    fixed = severity or (dataset.severity_of(check) if check in BUILT_IN else "critical")
    return ExpectationResult(
        name=name or NAMES[check],
        expectation=check,
        severity=fixed,
        success=not message,
        observed=observed or {},
        message=message,
    )


def inspect(staged: Staging, as_of: datetime) -> list[ExpectationResult]:
    """Return what the declaration says of the staged rows, after they were read as of *as_of*."""
    dataset = staged.dataset
    return [
        *_columns(staged),
        _times(staged),
        _encoding(staged),
        _key(staged),
        _future(staged),
        *([_fresh(staged, as_of, dataset.fresh)] if dataset.fresh is not None else []),
        _volume(staged),
    ]


def _columns(staged: Staging) -> list[ExpectationResult]:
    dataset, missing, new = staged.dataset, staged.missing if staged.found else [], staged.undeclared
    guessed = {name: like for name in missing if (like := _renamed(name, new))}
    problems = [
        f"column {name!r} is gone" + (f"; {guessed[name]!r} is new: renamed?" if name in guessed else "")
        for name in missing
    ]
    if problems and (others := [name for name in new if name not in guessed.values()]):
        problems.append(f"undeclared columns: {', '.join(map(repr, others[:20]))}")
    gone = check_result(dataset, "columns", "; ".join(problems), {"missing": len(missing)})
    drift = f"{', '.join(map(repr, new[:20]))} {'is' if len(new) == 1 else 'are'} not declared" if new else ""
    return [gone, check_result(dataset, "drift", drift, {"undeclared": len(new)}, severity=dataset.drift)]


def _renamed(name: str, candidates: list[str]) -> str | None:
    def likeness(other: str) -> float:
        a, b = name.lower(), other.lower()
        return 1.0 if a in b or b in a else SequenceMatcher(None, a, b).ratio()

    best = max(candidates, key=likeness, default=None)
    return best if best is not None and likeness(best) >= _LIKE else None


def _times(staged: Staging) -> ExpectationResult:
    """Some times with a zone and some without, or offsets that are not those of the dataset's time zone."""
    dataset, problems, strange = staged.dataset, [], 0
    for column in (name for name, kind in dataset.columns.items() if kind in ("date", "datetime")):
        forms = staged.rows_of(
            f"SELECT CASE WHEN regexp_matches({q(column)}, ':.*Z$') THEN '+00:00' WHEN regexp_matches({q(column)}, "
            f"{_ZONE}) THEN regexp_extract({q(column)}, {_ZONE}, 1) WHEN contains({q(column)}, ':') THEN 'none' "
            f"ELSE 'day' END AS form, count(*) FROM raw WHERE {q(column)} IS NOT NULL GROUP BY form ORDER BY 2 DESC, 1"
        )
        counts = _merged(forms)
        if dataset.columns[column] == "date":
            timed = sum(count for form, count in counts.items() if form not in ("day", "none"))
            if timed:
                problems.append(f"{column}: {timed} of its days carry a time of another zone, which is cut off")
                strange += timed
            continue
        if len(counts) > 1 and not set(counts) <= _offsets(dataset.time_zone):
            listing = ", ".join(f"{count} {_SAYS.get(form, 'with ' + form)}" for form, count in counts.items())
            problems.append(f"{column}: {listing}")
            strange += sum(counts.values()) - max(counts.values())
    return check_result(dataset, "times", "; ".join(problems), {"unexpected_count": strange})


_SAYS = {"none": "without a zone", "day": "with a day alone"}


def _merged(forms: list[tuple[Any, ...]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for form, count in forms:
        text = str(form)
        if text[0] in "+-":
            digits = text[1:].replace(":", "").ljust(4, "0")
            text = f"{text[0]}{digits[:2]}:{digits[2:]}".replace("-00:00", "+00:00")
        found[text] = found.get(text, 0) + int(count)
    return found


def _offsets(zone: str) -> set[str]:
    """Return the offsets that *zone* has in winter and in summer, as texts."""
    both = (datetime(2026, month, 15, tzinfo=ZoneInfo(zone)).strftime("%z") for month in (1, 7))
    return {f"{text[:3]}:{text[3:5]}" for text in both}


def _encoding(staged: Staging) -> ExpectationResult:
    dataset, texts = staged.dataset, [name for name, kind in staged.dataset.columns.items() if kind == "string"]
    if not texts:
        return check_result(dataset, "encoding")
    garbled = (
        f"count(*) FILTER (strlen({q(name)}) > length({q(name)}) AND regexp_matches({q(name)}, {_MOJIBAKE}))"
        for name in texts
    )
    counts = dict(zip(texts, staged.rows_of(f"SELECT {', '.join(garbled)} FROM rows")[0], strict=True))
    problems = [
        f"{name}: {count} values look like UTF-8 that was read as another encoding"
        for name, count in counts.items()
        if count
    ]
    return check_result(dataset, "encoding", "; ".join(problems), {"unexpected_count": sum(counts.values())})


def _key(staged: Staging) -> ExpectationResult:
    dataset = staged.dataset
    if dataset.key:
        twice = "list_filter(_reasons, lambda r: starts_with(r, 'the same '))"
        same = staged.number(f"SELECT count(*) FROM aside WHERE len({twice}) > 0")
        other = staged.number(
            f"SELECT count(*) FROM aside WHERE len(list_filter({twice}, lambda r: ends_with(r, 'other values'))) > 0"
        )
        problem = f"{same} rows have the {' and '.join(dataset.key)} of another and are quarantined" if same else ""
        problem += f"; {other} of them have other values, so one of the two is wrong" if other else ""
        return check_result(dataset, "key", problem, {"unexpected_count": same, "with_other_values": other})
    same = staged.number("SELECT count(*) - count(DISTINCT _digest) FROM rows")
    problem = (
        f"{same} rows are the same as another in every column; with a 'key' they would be quarantined" if same else ""
    )
    return check_result(dataset, "key", problem, {"unexpected_count": same})


def _future(staged: Staging) -> ExpectationResult:
    dataset = staged.dataset
    ahead = staged.number(
        "SELECT count(*) FROM aside WHERE len(list_filter(_reasons, lambda r: ends_with(r, 'lies in the future'))) > 0"
    )
    problem = (
        f"{ahead} rows lie in the future by {dataset.known_at or dataset.time} and are quarantined" if ahead else ""
    )
    return check_result(dataset, "future", problem, {"unexpected_count": ahead})


def _fresh(staged: Staging, as_of: datetime, fresh: timedelta) -> ExpectationResult:
    dataset, newest = staged.dataset, staged.newest_at()
    if newest is None:
        return check_result(dataset, "fresh", "there is no row")
    if dataset.columns[dataset.time] == "date":
        newest += timedelta(days=1)  # a day is over at its end
    age = max((as_of - newest).total_seconds(), 0.0)
    allowed = fresh.total_seconds()
    problem = f"the newest row is {format_duration(age)} older than the instant of the reading"
    problem = f"{problem}, and {format_duration(allowed)} are allowed" if age > allowed else ""
    return check_result(dataset, "fresh", problem, {"age_seconds": round(age)})


def _volume(staged: Staging) -> ExpectationResult:
    volume, rows = staged.dataset.volume, staged.count()
    problem = ""
    if rows < volume.min:
        problem = f"{rows} rows are fewer than {volume.min}"
    elif volume.max is not None and rows > volume.max:
        problem = f"{rows} rows are more than {volume.max}"
    return check_result(staged.dataset, "volume", problem, {"rows": rows})


def count_aside(staged: Staging) -> ExpectationResult:
    """Return the check on the share of quarantined rows; run last, when all of them are known."""
    dataset, aside = staged.dataset, staged.count_aside()
    whole = aside + staged.count()
    share = aside / whole if whole else 0.0
    severity: Severity = "info"
    if share > dataset.aside.max_share:
        severity = "critical"
    elif share > dataset.aside.warn_share:
        severity = "warning"
    why = "regexp_replace(unnest(_reasons), '(row|line) [0-9]+', '\\1 n', 'g')"
    reasons = staged.rows_of(f"SELECT {why} AS why, count(*) FROM aside GROUP BY why ORDER BY 2 DESC, 1 LIMIT 3")
    problem = (
        f"{aside} of {whole} rows are quarantined ({'; '.join(f'{why}: {n}' for why, n in reasons)})" if aside else ""
    )
    return check_result(dataset, "aside", problem, {"put_aside": aside, "share": round(share, 6)}, severity=severity)


def reconcile(staged: Staging, control: Control, total: Any) -> ExpectationResult:
    """
    Compare the rows with a control total.

    :param total: what the control's source says; not asked for when the control has an ``equals``.
    """
    name = f"control {control.name}"
    try:
        ours = _exact(staged.aggregate(control.total))
        theirs = _exact(total if control.equals is None else staged.aggregate(control.equals))
    except SourceError as error:
        return check_result(staged.dataset, "control", str(error), severity=control.severity, name=name)
    if ours is None or theirs is None:
        lacking = control.total if ours is None else control.equals or "the control total"
        return check_result(
            staged.dataset, "control", f"{lacking!r} gives no number", severity=control.severity, name=name
        )
    off = ours - theirs
    problem = ""
    if abs(off) > Decimal(repr(control.tolerance)):
        problem = f"{control.total} is {off.normalize():+f} off {control.equals or 'the control total'}"
        problem += f", and {control.tolerance:g} is allowed"
        if aside := staged.count_aside():
            problem += f"; {aside} rows are quarantined"
    return check_result(
        staged.dataset, "control", problem, {"difference": float(off)}, severity=control.severity, name=name
    )


def _exact(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
