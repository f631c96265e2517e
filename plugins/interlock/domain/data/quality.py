"""
What a batch is expected to be (a suite) and what the check found (a quality result).

Severity says what a failed expectation does to the run; ``quarantine`` says what it does to the rows. A failed critical
expectation stops the run, unless it asks for quarantine and every failing row is known: then those rows go aside and
the rest goes on. Results hold positions and counts and never a value of the data, because they are stored and shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.domain.base.contract import explain
from interlock.errors import ConfigurationError

Severity = Literal["critical", "warning", "info"]

_RESERVED = {"meta", "result_format", "catch_exceptions", "batch_id", "id", "rendered_content", "windows"}


class Expectation(BaseModel):
    """One line of a suite. Other keys are the expectation's own arguments, as Great Expectations names them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    expect: str = Field(min_length=1)
    """``column_values_to_not_be_null``, with or without ``expect_`` before it."""
    name: str | None = None
    """What people read; default: the expectation and its columns."""
    severity: Severity = "critical"
    quarantine: bool = False
    """Quarantine the failing rows and go on with the rest. Rows that ``mostly`` tolerates are quarantined as well."""
    caps_confidence: float | None = Field(default=None, ge=0, le=1)
    """When a warning: nothing that rests on the batch is surer than this."""
    column: str | None = None

    @property
    def type(self) -> str:
        """The name in Great Expectations, such as ``expect_column_values_to_be_unique``."""
        has_prefix = self.expect.startswith("expect_") or self.expect == "unexpected_rows_expectation"
        return self.expect if has_prefix else f"expect_{self.expect}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What is passed on to Great Expectations."""
        return ({} if self.column is None else {"column": self.column}) | dict(self.model_extra or {})

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there for it to be computed; none for an expectation about the table."""
        if self.type.startswith("expect_table_") or self.type == "expect_column_to_exist":
            return ()
        given = self.arguments
        single = [given[key] for key in ("column", "column_A", "column_B") if isinstance(given.get(key), str)]
        several = given.get("column_list")
        return tuple(dict.fromkeys(single + (list(several) if isinstance(several, (list, tuple)) else [])))

    @property
    def title(self) -> str:
        """The name, or one made of the expectation and its columns."""
        return self.name or self.type.removeprefix("expect_") + (f"({', '.join(self.columns)})" if self.columns else "")


class Suite(BaseModel):
    """Expectations that are checked together on one batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str = Field(min_length=1)
    description: str = ""
    expectations: tuple[Expectation, ...] = Field(min_length=1)


def parse_suite(document: Any, *, where: str = "suite") -> Suite:
    """
    Return the suite of a parsed YAML or JSON document.

    Names of expectations and their arguments are checked by the run, which alone knows what Great Expectations offers.

    :param where: the file, for messages.
    :raises ConfigurationError: with each problem as ``field: what is wrong``.
    """
    try:
        suite = Suite.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: " + "; ".join(explain(error))) from None
    problems = [
        f"two expectations are called {title!r}; give each a 'name' of its own"
        for title, count in Counter(item.title for item in suite.expectations).items()
        if count > 1
    ]
    for item in suite.expectations:
        problems += _argument_problems(item)
    if problems:
        raise ConfigurationError(f"{where} cannot be used: " + "; ".join(problems))
    return suite


def _argument_problems(item: Expectation) -> list[str]:
    given = item.arguments
    problems = [f"{item.title}: remove {key!r}, the check sets it" for key in sorted(_RESERVED & set(given))]
    patterns = [given["regex"]] if isinstance(given.get("regex"), str) else []
    if isinstance(given.get("regex_list"), (list, tuple)):
        patterns += [pattern for pattern in given["regex_list"] if isinstance(pattern, str)]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            problems.append(f"{item.title}: {pattern!r} is not a regular expression: {error}")
    return problems


@dataclass(frozen=True, kw_only=True)
class ExpectationResult:
    """What became of one expectation."""

    name: str
    expectation: str
    """Its name in Great Expectations."""
    severity: Severity
    success: bool
    quarantine: bool = False
    """Whether the suite asks to put failing rows aside."""
    is_isolated: bool = False
    """Whether ``failing_rows`` are all of the rows that fail, and there are some."""
    failing_rows: tuple[int, ...] = ()
    """Positions in the frame, from 0."""
    observed: Mapping[str, int | float | str] = field(default_factory=dict)
    """Counts, percentages and statistics over many rows. Never a value of the data."""
    message: str = ""
    caps_confidence: float | None = None
    """What the confidence of all that rests on the batch is capped at, where it failed."""

    @property
    def failing(self) -> int:
        """How many rows fail."""
        return len(self.failing_rows) or int(self.observed.get("unexpected_count", 0))

    @property
    def stops_run(self) -> bool:
        """Whether the run must stop here."""
        return self.severity == "critical" and not self.success and not (self.quarantine and self.is_isolated)


def sentence(result: ExpectationResult) -> str:
    """Return a result as people read it."""
    return f"{result.name}: {result.message}" if result.message else result.name


@dataclass(frozen=True, kw_only=True)
class QualityResult:
    """What a check found on one batch."""

    suite: str
    rows: int
    results: tuple[ExpectationResult, ...]

    @property
    def passed(self) -> bool:
        """Whether the run may go on, whatever rows are quarantined."""
        return not self.critical_failed

    @property
    def critical_failed(self) -> tuple[ExpectationResult, ...]:
        """The expectations that stop the run."""
        return tuple(result for result in self.results if result.stops_run)

    @property
    def warnings(self) -> tuple[ExpectationResult, ...]:
        """Failed expectations of severity ``warning``."""
        return tuple(result for result in self.results if not result.success and result.severity == "warning")

    @property
    def notes(self) -> tuple[ExpectationResult, ...]:
        """Failed expectations that neither stop the run nor warn: ``info``, or mended by quarantine."""
        stopping = (*self.critical_failed, *self.warnings)
        return tuple(result for result in self.results if not result.success and result not in stopping)

    @property
    def cap(self) -> float | None:
        """The lowest cap on confidence among the warnings."""
        return min((r.caps_confidence for r in self.warnings if r.caps_confidence is not None), default=None)

    @property
    def quarantined_rows(self) -> dict[int, list[str]]:
        """Positions of the rows to quarantine, in order, each with the names of the expectations that it fails."""
        rows: dict[int, list[str]] = {}
        for result in self.results:
            if result.quarantine:
                for row in result.failing_rows:
                    rows.setdefault(row, []).append(result.name)
        return dict(sorted(rows.items()))

    def summary(self) -> dict[str, Any]:
        """Return the result in JSON types, without the positions of rows: small enough for a report or an event."""
        return {
            "suite": self.suite,
            "rows": self.rows,
            "passed": self.passed,
            "expectations": len(self.results),
            "failed": sum(not result.success for result in self.results),
            "stopping": [result.name for result in self.critical_failed],
            "warnings": [result.name for result in self.warnings],
            "quarantined": len(self.quarantined_rows),
            "results": self.results_as_json(),
        }

    def results_as_json(self) -> list[dict[str, Any]]:
        """Return what became of each expectation, in JSON types and without the positions of rows."""
        return [
            {
                "name": result.name,
                "expectation": result.expectation,
                "severity": result.severity,
                "success": result.success,
                "quarantine": result.quarantine,
                "failing": result.failing,
                "observed": dict(result.observed),
                "message": result.message,
                "caps_confidence": result.caps_confidence,
            }
            for result in self.results
        ]
