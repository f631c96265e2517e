"""
Check a batch with Great Expectations Core and say which rows fail.

Values never leave this module: Great Expectations is asked for positions without values, its error texts (which quote
them) are dropped, and a statistic that is some row's own value, such as a maximum, is not reported either.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interlock.domain.data.quality import Expectation, ExpectationResult, QualityResult, Suite
from interlock.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas

_COUNTS = ("element_count", "unexpected_count", "unexpected_percent", "missing_count", "missing_percent")

_OVER_MANY_ROWS = {
    "expect_column_mean_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_unique_value_count_to_be_between",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
}
"""Expectations whose observed number is no single row's value."""


def check_frame(suite: Suite, frame: pandas.DataFrame) -> QualityResult:
    """
    Return what *suite* finds on *frame*.

    Rows are named by position, whatever the index of the frame is. On a frame without rows, expectations about columns
    hold; use ``table_row_count_to_be_between`` to refuse an empty batch.

    :raises UnknownName: an expectation that Great Expectations does not have.
    :raises ConfigurationError: arguments that an expectation does not take, or one that needs a database.
    """
    from interlock.quality.suite import build_expectations

    built = build_expectations(suite)
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"the frame has several columns called {twice[0]!r}; a check needs one of each")
    results: dict[int, ExpectationResult] = {}
    for position, item in enumerate(suite.expectations):
        missing = [name for name in item.columns if name not in names]
        if missing and (names or len(frame)):
            results[position] = _result(item, success=False, message=_missing(missing, names))
        elif item.columns and not len(frame):
            results[position] = _result(item, success=True, message="there are no rows to check.")
    to_run = [built[position] for position in range(len(built)) if position not in results]
    if to_run:
        for found in _validate(suite.suite, to_run, frame.reset_index(drop=True)):
            position = found["expectation_config"]["meta"]["position"]
            results[position] = _read(suite.expectations[position], found, frame)
    return QualityResult(
        suite=suite.suite, rows=len(frame), results=tuple(results[position] for position in range(len(built)))
    )


def _validate(name: str, expectations: list[Any], frame: pandas.DataFrame) -> list[dict[str, Any]]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("batch").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    log = logging.getLogger("great_expectations")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it logs tracebacks that quote values
    try:
        outcome = batch.validate(
            gx.ExpectationSuite(name=name, expectations=expectations),
            result_format={
                "result_format": "COMPLETE",
                "exclude_unexpected_values": True,
                "return_unexpected_index_query": False,
            },
        )
    finally:
        log.setLevel(level)
    return [dict(found.to_json_dict()) for found in outcome.results]


def _read(item: Expectation, found: Mapping[str, Any], frame: pandas.DataFrame) -> ExpectationResult:
    if trouble := _trouble(found.get("exception_info") or {}):
        if "PandasExecutionEngine" in trouble:
            raise ConfigurationError(
                f"expectation {item.title!r} needs a database: {item.type} cannot be computed on a batch. Use another."
            )
        return _result(item, success=False, message=_not_computed(item, frame))
    detail = found.get("result") or {}
    rows = tuple(sorted({int(row) for row in detail.get("unexpected_index_list") or ()}))
    success = bool(found["success"])
    observed = {key: detail[key] for key in _COUNTS if isinstance(detail.get(key), (int, float))}
    value = detail.get("observed_value")
    if item.type in _OVER_MANY_ROWS and isinstance(value, (int, float)) and math.isfinite(value):
        observed["observed_value"] = value
    return ExpectationResult(
        name=item.title,
        expectation=item.type,
        severity=item.severity,
        success=success,
        quarantine=item.quarantine,
        caps_confidence=item.caps_confidence,
        is_isolated=bool(rows) and len(rows) == detail.get("unexpected_count"),
        failing_rows=rows,
        observed=observed,
        message=say(success, len(rows), observed),
    )


def _trouble(exception_info: Mapping[str, Any]) -> str:
    """Return the messages of what was raised; Great Expectations gives one record or one per metric."""
    records = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    raised = [record for record in records if isinstance(record, Mapping) and record.get("raised_exception")]
    return " ".join(str(record.get("exception_message")) or "unknown" for record in raised)


def _result(item: Expectation, *, success: bool, message: str) -> ExpectationResult:
    return ExpectationResult(
        name=item.title,
        expectation=item.type,
        severity=item.severity,
        success=success,
        quarantine=item.quarantine,
        caps_confidence=item.caps_confidence,
        message=message,
    )


def _missing(missing: list[str], names: list[str]) -> str:
    listing = ", ".join(map(repr, missing))
    return (
        f"there is no column {listing}. "
        + (f"The batch has: {', '.join(map(repr, sorted(names)[:20]))}" if names else "The batch has no columns")
        + (", …." if len(names) > 20 else ".")
    )


def _not_computed(item: Expectation, frame: pandas.DataFrame) -> str:
    kinds = "; ".join(
        f"{name!r} holds {', '.join(sorted({type(value).__name__ for value in frame[name].dropna()}))}"
        for name in item.columns
    )
    return "it could not be computed on these values" + (f": {kinds}" if kinds else "") + "."


def say(success: bool, failing: int, observed: Mapping[str, Any]) -> str:
    """Return a sentence on what was found."""
    if failing:
        return f"{failing} of {observed['element_count']} rows fail" + (", which 'mostly' allows." if success else ".")
    if "observed_value" in observed:
        return f"observed {observed['observed_value']:g}" + ("." if success else ", which is outside what is expected.")
    return "" if success else "the batch as a whole does not satisfy it."
