"""
A dataset against its own past: the periods before the last one, and the reading before this one.

The reading before is compared row by row from its snapshot. Rows that were known then and differ today mean that the
past was overwritten, rows came in late, or all times moved: numbers that were reported would no longer be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from interlock.analysis.inspection import check_result
from interlock.analysis.staging import Staging, q, quoted
from interlock.domain.base.period import Grain, Period, Periods
from interlock.domain.data.dataset import base_type
from interlock.domain.data.quality import ExpectationResult

PERIODS = 60
"""So many periods before the last full one are looked at."""
_NAMED = 12
"""Older gaps are not reported."""
_ENOUGH_PERIODS = 6
_MOSTLY_FILLED = 0.9
_ENOUGH_ROWS = 30
_MORE_EMPTY = 0.1
_TIMES_LARGER = 5.0


@dataclass(frozen=True)
class Before:
    """The reading before."""

    as_of: datetime
    rows: int
    columns: dict[str, str]
    snapshot: Path | None
    """None: it is not kept any more."""


@dataclass(frozen=True)
class Coverage:
    """Which periods have rows."""

    grain: Grain
    periods: list[tuple[Period, int]]
    """In order, up to the last that was over at the instant of the reading, with how many rows."""

    @property
    def gaps(self) -> list[Period]:
        """Periods without a row."""
        return [period for period, count in self.periods if not count]


def coverage(staged: Staging, as_of: datetime, grain: Grain | None = None) -> Coverage | None:
    """
    Return the periods of the dataset.

    :param grain: default: the shortest of day, week and month that nearly always had rows.
    :return: None when there is no such period, or too short a past to say.
    """
    wanted = grain or staged.dataset.period
    if wanted:
        found = _covered(staged, as_of, wanted)
        return found if found.periods else None
    for candidate in ("day", "week", "month"):
        found = _covered(staged, as_of, candidate)
        earlier = found.periods[:-1]
        if len(earlier) >= _ENOUGH_PERIODS and sum(n > 0 for _, n in earlier) >= _MOSTLY_FILLED * len(earlier):
            return found
    return None


def _covered(staged: Staging, as_of: datetime, grain: Grain) -> Coverage:
    zone = staged.dataset.time_zone
    periods = Periods(grain=grain, time_zone=zone)
    counts = {
        _day(first): int(count)
        for first, count in staged.rows_of(
            f"SELECT date_trunc('{grain}', _at AT TIME ZONE '{zone}') AS first, count(*) FROM rows GROUP BY first"
        )
    }
    if not counts:
        return Coverage(grain, [])
    oldest, period = min(counts), periods.last_full(as_of)
    found: list[tuple[Period, int]] = []
    while len(found) <= PERIODS and _first_day(period, zone) >= oldest:
        found.append((period, counts.get(_first_day(period, zone), 0)))
        period = periods.before(period)
    return Coverage(grain, found[::-1])


def _day(value: Any) -> date:
    return value.date() if isinstance(value, datetime) else value


def _first_day(period: Period, zone: str) -> date:
    return period.start.astimezone(ZoneInfo(zone)).date()


def compare(staged: Staging, as_of: datetime, before: Before | None) -> list[ExpectationResult]:
    """Return what the past says of the rows."""
    found = coverage(staged, as_of)
    results = [*_periods(staged, found), _change(staged, found, before)]
    if found is not None:
        results.append(_spread(staged, _newest(found)))
    if before is not None and before.snapshot is not None and before.columns == dict(staged.dataset.columns):
        results.append(_history(staged, before, before.snapshot))
    return results


def _periods(staged: Staging, found: Coverage | None) -> list[ExpectationResult]:
    if found is None:
        return []
    recent = found.periods[-_NAMED:]
    last, count = recent[-1]
    gaps = [period.label for period, rows in recent[:-1] if not rows]
    problems = [f"{last.label} has no row, and it is over"] if not count else []
    if gaps:
        problems.append(f"{', '.join(gaps)} {'has' if len(gaps) == 1 else 'have'} no row, and others have")
    return [
        check_result(
            staged.dataset, "period", "; ".join(problems), {"empty": len(gaps) + (not count), "grain": found.grain}
        )
    ]


def _change(staged: Staging, found: Coverage | None, before: Before | None) -> ExpectationResult:
    allowed, problems = staged.dataset.volume.change, []
    observed: dict[str, float] = {}
    rows = staged.count()
    if before is not None and before.rows:
        observed["change"] = round(rows / before.rows - 1, 4)
        if allowed is not None and abs(observed["change"]) > allowed:
            problems.append(
                f"{rows} rows are {observed['change']:+.0%} against the {before.rows} of the reading before"
            )
    usual = median([n for _, n in found.periods[:-1]]) if found and len(found.periods) > _ENOUGH_PERIODS else 0
    if found is not None and usual:
        period, count = found.periods[-1]
        observed["last_period"] = round(count / usual - 1, 4)
        if allowed is not None and count and abs(observed["last_period"]) > allowed:
            problems.append(
                f"{period.label} has {count} rows, {observed['last_period']:+.0%} against the usual {usual:g}"
            )
    return check_result(staged.dataset, "change", "; ".join(problems), observed)


def _newest(found: Coverage) -> Period:
    """Return the period since which there are enough rows to say anything of them."""
    rows = 0
    for period, count in reversed(found.periods):
        rows += count
        if rows >= _ENOUGH_ROWS:
            return period
    return found.periods[0][0]


def _spread(staged: Staging, last: Period) -> ExpectationResult:
    """Compare the rows since *last* with all before: how many values are empty, and where the middle value is."""
    problems: list[str] = []
    columns = staged.dataset.columns
    new, old = (f"count(*) FILTER (_at {sign} $start)" for sign in (">=", "<"))
    picked = [new, old]
    for name, kind in columns.items():
        for sign in (">=", "<"):
            part = f"FILTER (_at {sign} $start)"
            picked.append(f"count({q(name)}) {part}")
            numeric = base_type(kind) in ("integer", "number", "decimal")
            picked.append(f"approx_quantile(CAST({q(name)} AS DOUBLE), 0.5) {part}" if numeric else "NULL")
    row = staged.rows_of(f"SELECT {', '.join(picked)} FROM rows", {"start": last.start})[0]
    if min(row[0], row[1]) < _ENOUGH_ROWS:
        return check_result(staged.dataset, "spread", "", {"rows": int(row[0])})
    for place, name in enumerate(columns):
        filled_new, middle_new, filled_old, middle_old = row[2 + 4 * place : 6 + 4 * place]
        empty_new, empty_old = 1 - filled_new / row[0], 1 - filled_old / row[1]
        if abs(empty_new - empty_old) > _MORE_EMPTY:
            problems.append(
                f"{name} is empty in {empty_new:.0%} of the rows since {last.label}, before in {empty_old:.0%}"
            )
        if middle_new and middle_old and middle_new / middle_old > 0:
            times = max(middle_new / middle_old, middle_old / middle_new)
            if times > _TIMES_LARGER:
                way = "larger" if middle_new > middle_old else "smaller"
                problems.append(f"the median of {name} is {times:.0f} times {way} since {last.label}: another unit?")
    return check_result(staged.dataset, "spread", "; ".join(problems), {"rows": int(row[0])})


def _history(staged: Staging, before: Before, snapshot: Path) -> ExpectationResult:
    key = staged.dataset.key or ("_digest",)
    earlier = f"read_parquet({quoted(str(snapshot))})"
    same = " AND ".join(f"new.{q(name)} IS NOT DISTINCT FROM old.{q(name)}" for name in key)
    when = {"then": before.as_of}
    late, changed = staged.rows_of(
        "SELECT count(*) FILTER (old._digest IS NULL), count(*) FILTER (old._digest <> new._digest) FROM "
        f"(SELECT * FROM rows WHERE _known <= $then) AS new LEFT JOIN {earlier} AS old ON {same}",
        when,
    )[0]
    gone = staged.number(f"SELECT count(*) FROM {earlier} AS old ANTI JOIN rows AS new ON {same}")
    counted = {"differ from the reading before": changed, "are gone": gone, "were missing then": late}
    problems = [f"{count} {what}" for what, count in counted.items() if count]
    message = f"of the rows known at {before.as_of:%Y-%m-%d %H:%M} UTC, {', '.join(problems)}" if problems else ""
    return check_result(staged.dataset, "history", message, {"changed": int(changed), "gone": gone, "late": int(late)})
