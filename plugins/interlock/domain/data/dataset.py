"""
The tables of data that a workflow's numbers rest on, as ``datasets.yaml`` declares them.

A dataset is read as of an instant: rows that became known later are not there, so a run for a past day sees what a run
on that day saw. Only declared columns are kept, each with its type; a row with a value of another type is quarantined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from interlock.domain.base.contract import explain
from interlock.domain.base.duration import Duration
from interlock.domain.data.source import parse_source
from interlock.errors import ConfigurationError, InterlockError, UnknownName

TYPES = ("string", "integer", "number", "decimal", "boolean", "date", "datetime")
SCALE = 4
"""Digits after the point that a ``decimal`` has, unless its type says otherwise: ``decimal(8)``."""
_SCALED = re.compile(r"decimal\(\s*(\d{1,2})\s*\)")


def _column_type(kind: Any) -> str:
    found = _SCALED.fullmatch(str(kind).strip())
    if found and int(found[1]) <= 17:
        return "decimal" if int(found[1]) == SCALE else f"decimal({int(found[1])})"
    if kind not in TYPES:
        raise ValueError(
            f"Input should be {', '.join(map(repr, TYPES))} or a decimal with another scale, such as 'decimal(8)'"
        )
    return str(kind)


ColumnType = Annotated[str, BeforeValidator(_column_type)]
"""
A ``decimal`` has 18 digits, 4 of them after the point (``decimal(8)``: 8), and is summed exactly; a ``number`` is a
double.
"""


def base_type(kind: str) -> str:
    """Return a column's type without its scale."""
    return kind.partition("(")[0]


def scale_of(kind: str) -> int:
    """Return how many digits a decimal has after the point."""
    found = _SCALED.fullmatch(kind)
    return int(found[1]) if found else SCALE


Severity = Literal["critical", "warning", "info"]

IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Volume(_Frozen):
    """How many rows there must be."""

    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)
    change: float | None = Field(default=None, gt=0)
    """The largest change against the reading before, as a share of it: 0.5 is half as many, or half as many more."""


class Control(_Frozen):
    """A total that another source states, which the rows must add up to."""

    name: str = Field(min_length=1)
    total: str = Field(min_length=1)
    """SQL aggregate over the rows: ``sum(amount)``."""
    source: str | dict[str, Any] | None = None
    """Where the control total is; its first row's ``column``. Default: ``equals``."""
    column: str | None = None
    equals: str | None = None
    """SQL aggregate over the same rows that must give the same: ``sum(quantity * price)``."""
    tolerance: float = Field(default=0.0, ge=0)
    """The largest difference, in the unit of the total."""
    severity: Severity = "critical"

    @model_validator(mode="after")
    def _one_of_two(self) -> Control:
        if (self.source is None) == (self.equals is None):
            raise ValueError("give either 'source' with 'column', or 'equals'")
        if self.source is not None and not self.column:
            raise ValueError("a 'source' needs the 'column' in which the control total stands")
        return self


class Aside(_Frozen):
    """How many rows may be quarantined, as a share of all."""

    max_share: float = Field(default=0.05, ge=0, le=1)
    """More is critical: what is left is no longer the dataset."""
    warn_share: float = Field(default=0.001, ge=0, le=1)
    """More is a warning; any at all is noted."""


BUILT_IN: dict[str, Severity] = {
    "fresh": "critical",
    "volume": "critical",
    "change": "warning",
    "period": "warning",
    "key": "warning",
    "future": "warning",
    "times": "warning",
    "encoding": "warning",
    "ending": "warning",
    "history": "warning",
    "spread": "warning",
}
"""Checks that need no expectation, and what their failing means unless the dataset says otherwise."""


class Dataset(_Frozen):
    """One table of data."""

    source: str | dict[str, Any]
    """As an intake's source, or ``ledger://cases``: the ledger's own cases of this environment."""
    description: str = ""
    time: str
    """Column that says when a row counts: a date or a datetime."""
    known_at: str | None = None
    """Column that says since when a row is known. Default: ``time``."""
    time_zone: str = "UTC"
    """Of dates, and of times that name none."""
    columns: dict[str, ColumnType] = Field(min_length=1)
    key: tuple[str, ...] = ()
    """Columns that are together unique: the second row with the same is quarantined."""
    required: bool = True
    """What is not fit stops the run; when false, only what rests on it is withheld."""
    suite: str | None = None
    """``expectations/<suite>.yaml``."""
    fresh: Duration | None = None
    """How much older than the as-of time the newest row may be."""
    volume: Volume = Volume()
    controls: tuple[Control, ...] = ()
    drift: Severity = "warning"
    """Severity of a column that the source has and the declaration has not. One that is missing is always critical."""
    period: Literal["day", "week", "month", "quarter"] | None = None
    """Each of these has rows. Default: the shortest of day, week and month that nearly always had some."""
    aside: Aside = Aside()
    severities: dict[str, Severity] = Field(default_factory=dict)
    """Of checks that need no expectation, in place of their own."""
    kept: Duration = timedelta(days=400)
    """How long the snapshots of readings are kept, to show the rows behind a number."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone; write one such as 'Europe/London'") from None
        return name

    @field_validator("source")
    @classmethod
    def _readable(cls, source: str | dict[str, Any]) -> str | dict[str, Any]:
        if not is_own_ledger(source):
            try:
                parse_source(source)
            except InterlockError as error:
                raise ValueError(str(error)) from None
        return source

    @field_validator("severities")
    @classmethod
    def _known_checks(cls, given: dict[str, Severity]) -> dict[str, Severity]:
        for name in given:
            if name not in BUILT_IN:
                raise ValueError(f"{name!r} is no check of datasets; there are: {', '.join(BUILT_IN)}")
        return given

    def severity_of(self, check: str) -> Severity:
        """Return what it means when the built-in *check* fails."""
        return self.severities.get(check, BUILT_IN[check])

    @model_validator(mode="after")
    def _names_its_columns(self) -> Dataset:
        named = {"time": (self.time,), "known_at": (self.known_at,) if self.known_at else (), "key": self.key}
        for place, columns in named.items():
            for column in columns:
                if column not in self.columns:
                    raise ValueError(f"{place} is {column!r}, which is none of its columns: {', '.join(self.columns)}")
        for when in (self.time, self.known_at):
            if when and self.columns[when] not in ("date", "datetime"):
                raise ValueError(f"column {when!r} says when, and its type is {self.columns[when]}, not a date")
        for column in self.columns:
            if column.startswith("_"):
                raise ValueError(f"column {column!r} begins with '_', which is kept for Interlock's own columns")
        return self


def is_own_ledger(source: Any) -> bool:
    """Return whether *source* is a view of Interlock's own ledger."""
    return isinstance(source, str) and source.startswith("ledger://")


_datasets: TypeAdapter[dict[str, Dataset]] = TypeAdapter(dict[str, Dataset])


def parse_datasets(document: Any, *, where: str = "datasets.yaml") -> Mapping[str, Dataset]:
    """
    Return the datasets of a parsed ``datasets.yaml`` by name; None: there is none.

    :raises ConfigurationError: with each problem as ``dataset.field: what is wrong``.
    """
    try:
        return _datasets.validate_python(document or {})
    except ValidationError as error:
        raise ConfigurationError(f"{where} cannot be used: {'; '.join(explain(error))}") from None


def pick_dataset(datasets: Mapping[str, Dataset], name: str) -> Dataset:
    """
    Return the dataset *name*.

    :raises UnknownName: with the known ones and the nearest.
    """
    if name not in datasets:
        raise UnknownName("dataset", name, datasets, where="datasets.yaml")
    return datasets[name]
