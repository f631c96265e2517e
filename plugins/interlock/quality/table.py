"""
Check a table of any size: what SQL can check over all of its rows, the rest on a sample with its error stated.

The table is called ``rows``, and each of its rows has a ``_number``. A sample says nothing of rows that are not in it:
the share of failing rows is reported with an upper bound, and a sample quarantines nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interlock.domain.data.quality import Expectation, ExpectationResult, QualityResult, Suite
from interlock.quality.check import check_frame, say
from interlock.quality.pushdown import OfRows, OfTable, name, translate
from interlock.quality.suite import build_expectations

if TYPE_CHECKING:
    import pandas

FRAME_ROWS = 200_000
"""A table with more rows is not held as a frame; so many are drawn where an expectation needs one."""
SURENESS = 0.95


@dataclass(frozen=True)
class CheckedTable:
    """A table in a database."""

    columns: Mapping[str, str]
    """Name to type, as ``datasets.yaml`` has it."""
    rows: int
    ask: Callable[[str], list[tuple[Any, ...]]]
    """Runs a query."""
    frame: Callable[[int | None], pandas.DataFrame]
    """Gives the rows in order, or so many that are always the same."""


@dataclass(frozen=True)
class TableResult:
    """What was found, and which rows are to be quarantined."""

    result: QualityResult
    aside: str
    """Query that gives ``_number`` and the expectation failed; empty: none."""


def check_table(suite: Suite, table: CheckedTable) -> TableResult:
    """
    Return what *suite* finds on a large *table*.

    :raises UnknownName: an expectation that Great Expectations does not have.
    :raises ConfigurationError: arguments that an expectation does not take.
    """
    build_expectations(suite)  # names and arguments are refused as on a frame
    results: dict[int, ExpectationResult] = {}
    aside, drawn = [], []
    for position, item in enumerate(suite.expectations):
        rule = translate(item, table.columns)
        if isinstance(rule, OfTable):
            results[position] = _of_table(item, rule, table)
        elif isinstance(rule, OfRows):
            results[position] = _of_rows(item, rule, table)
            if item.quarantine and results[position].failing:
                title = item.title.replace("'", "''")
                aside.append(f"SELECT _number, '{title}' FROM rows WHERE {_condition(rule)}")
        else:
            drawn.append(position)
    if drawn:
        part = suite.model_copy(update={"expectations": tuple(suite.expectations[position] for position in drawn)})
        frame = table.frame(FRAME_ROWS)
        for position, found in zip(drawn, check_frame(part, frame).results, strict=True):
            results[position] = _of_sample(found, len(frame), table.rows)
    ordered = tuple(results[position] for position in range(len(suite.expectations)))
    return TableResult(
        QualityResult(suite=suite.suite, rows=table.rows, results=ordered),
        " UNION ALL ".join(aside),
    )


def _condition(rule: OfRows) -> str:
    return f"({rule.fails})" + (f" AND {name(rule.column)} IS NOT NULL" if rule.column is not None else "")


def _of_rows(item: Expectation, rule: OfRows, table: CheckedTable) -> ExpectationResult:
    filled = f"count({name(rule.column)})" if rule.column is not None else "count(*)"
    whole, looked_at, failing = table.ask(f"SELECT count(*), {filled}, count(*) FILTER ({_condition(rule)}) FROM rows")[
        0
    ]
    observed: dict[str, int | float | str] = {"element_count": whole, "unexpected_count": failing}
    if looked_at:
        observed["unexpected_percent"] = failing / looked_at * 100
    if rule.column is not None:
        observed |= {"missing_count": whole - looked_at, "missing_percent": (whole - looked_at) / whole * 100}
    mostly = float(item.arguments.get("mostly", 1.0))
    success = not looked_at or (looked_at - failing) / looked_at >= mostly
    return _result(item, success, observed, say(success, failing, observed), is_isolated=failing > 0)


def _of_table(item: Expectation, rule: OfTable, table: CheckedTable) -> ExpectationResult:
    value = table.ask(f"SELECT {rule.value} FROM rows")[0][0]
    success = rule.holds(value)
    observed = {"observed_value": value} if rule.is_shown and value is not None else {}
    return _result(item, success, observed, say(success, 0, observed), is_isolated=False)


def _result(
    item: Expectation, success: bool, observed: Mapping[str, int | float | str], message: str, *, is_isolated: bool
) -> ExpectationResult:
    return ExpectationResult(
        name=item.title,
        expectation=item.type,
        severity=item.severity,
        success=success,
        quarantine=item.quarantine,
        caps_confidence=item.caps_confidence,
        is_isolated=is_isolated,
        observed=observed,
        message=message,
    )


def _of_sample(found: ExpectationResult, drawn: int, whole: int) -> ExpectationResult:
    sample = f"of a sample of {drawn:,} of {whole:,} rows"
    if "unexpected_count" in found.observed:
        failing = int(found.observed["unexpected_count"])
        bound = upper_bound(failing, drawn)
        sample += f", {failing:,} fail: at most {bound:.4%} of all, at {SURENESS:.0%}"
        if found.quarantine and failing:
            sample += "; a sample quarantines nothing"
    return replace(
        found,
        failing_rows=(),
        is_isolated=False,
        observed={**found.observed, "sampled": drawn},
        message=f"{found.message} ({sample})" if found.message else sample,
    )


def upper_bound(failing: int, drawn: int, sureness: float = SURENESS) -> float:
    """
    Return the largest share of failing rows that so few in a sample still allow, one-sided and exact.

    Clopper and Pearson (1934). Drawing without replacement makes it smaller still.
    """
    from scipy.stats import beta

    return 1.0 if failing >= drawn else float(beta.ppf(sureness, failing + 1, drawn - failing))
