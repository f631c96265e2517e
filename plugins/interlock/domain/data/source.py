"""
Where an intake takes its rows from, as it is written down: a file, a query, a service, or rows given inline.

A specification holds no secret: a login belongs into an Airflow connection, and an address that carries one is refused.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import explain
from interlock.domain.base.plural import counted
from interlock.domain.data.notation import Notation
from interlock.errors import ConfigurationError, UnknownName

Format = Literal["csv", "tsv", "jsonl", "json", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}

OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "wasbs")
"""Schemes of addresses that Airflow's object storage opens, where the provider is installed."""

_FORMS = (
    "a path that ends in .csv, .tsv, .jsonl, .ndjson, .json or .parquet; 'sql://CONN_ID/SELECT …'; 'https://…'; "
    "'conn://CONN_ID/path'; 's3://bucket/key.csv'; 'facts://insights' (what the run's own facts give cause for); or a "
    "mapping (also as JSON text) with one of 'path', 'sql', 'url', 'http', 'facts' or 'rows'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRow:
    """One row as it was found, before any contract."""

    number: int
    """As a person counts: the line of a text file (a header is line 1), else the row, from 1."""
    values: dict[str, Any] | None
    """By field; None when the row could not be parsed."""
    problem: str | None = None
    """What is wrong, without the values."""
    notation: Notation | None = None
    """How its texts write numbers and dates, where the source declares it."""


@dataclass(frozen=True, kw_only=True)
class ReadSummary:
    """What a source was found to be, once it is read: the generator of its rows returns it."""

    columns: tuple[str, ...] | None = None
    """Of a table, also of one without a row; None: each row has fields of its own."""
    blank_rows: int = 0
    """Rows of nothing but delimiters, which are no rows."""
    repeated_headers: int = 0
    """Lines that repeat the header, as two exports in one file have them."""
    empty_columns: int = 0
    """Columns without a name or a value."""

    def describe_omitted(self) -> str:
        """Return what was omitted, as words; empty: nothing was."""
        found = (
            (self.blank_rows, "blank row"),
            (self.repeated_headers, "repeated header"),
            (self.empty_columns, "empty column"),
        )
        return ", ".join(counted(number, what) for number, what in found if number)


class ReturnedSummary:
    """The rows of a source to go through, and the summary that is there when they are over."""

    def __init__(self, rows: Iterable[SourceRow]) -> None:
        self._rows = rows
        self.summary: ReadSummary | None = None

    def __iter__(self) -> Iterator[SourceRow]:
        rows: Any = self._rows
        found = yield from rows  # what is no generator returns nothing
        self.summary = found if isinstance(found, ReadSummary) else None


def _encoding(name: str) -> str:
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"{name!r} is no text encoding; common ones are 'utf-8', 'cp1252' and 'utf-16'") from None


def _delimiter(text: str) -> str:
    text = "\t" if text == "\\t" else text
    if len(text) != 1 or text in '"\r\n':
        raise ValueError("give one character, such as ';'")
    return text


def _thousands(text: str) -> str:
    if len(text) != 1 or text.isalnum() or text in "+-":
        raise ValueError("give one character, such as '.' or ' '")
    return text


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _TextSpec(_Spec):
    format: Format | None = None
    """Default: by the name's ending, and for a service also by what it says it sends."""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    """Of text. A byte order mark is skipped."""
    delimiter: Annotated[str, AfterValidator(_delimiter)] | None = None
    """Of CSV. Default: a comma; a tab for TSV."""
    items: str | None = None
    """
    Of a JSON document: the field that holds the list, or the way to it (``data.tickets``). Default: ``items``, ``data``
    or ``results``.
    """
    decimal: Literal[".", ","] = "."
    """The decimal mark of numbers that are written as text."""
    thousands: Annotated[str, AfterValidator(_thousands)] | None = None
    """What separates their thousands. Default: nothing does."""
    day_first: bool = False
    """Whether dates are written 31.12.2026 or 31/12/2026. ISO dates are read in any case."""

    @model_validator(mode="after")
    def _two_marks(self) -> _TextSpec:
        if self.thousands == self.decimal:
            raise ValueError(f"'decimal' and 'thousands' are both {self.decimal!r}, so no number could be read")
        return self

    @property
    def notation(self) -> Notation | None:
        """How numbers and dates are written; None: as everywhere."""
        found = Notation(self.decimal, self.thousands, self.day_first)
        return None if found == Notation() else found


class FileSource(_TextSpec):
    """
    A file, or an object of a store. A relative path is looked for in the project's root, then in the working directory.
    """

    path: str = Field(min_length=1)
    """An object's is its address: ``s3://bucket/key.parquet``."""
    conn_id: str | None = None
    """Of an object. Default: that of its address (``s3://CONN_ID@bucket/key``), or the store's default."""

    @model_validator(mode="before")
    @classmethod
    def _one_connection(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        scheme, separator, rest = str(given.get("path", "")).partition("://")
        if separator and scheme.lower() == "file":
            given, separator = {**given, "path": urlsplit(str(given["path"])).path}, ""
        elif separator and (scheme.lower() not in OBJECT_STORES or "::" in rest):
            raise ValueError(
                f"{given['path']!r} is no file and in no store; a store's address begins with "
                f"{', '.join(f'{name}://' for name in OBJECT_STORES[:5])} and names one object"
            )
        named, at, where = rest.partition("@")
        if separator and at and "/" not in named:
            if given.get("conn_id") not in (None, named):
                raise ValueError(f"it names two connections, {named!r} and {given['conn_id']!r}")
            return {**given, "conn_id": named, "path": f"{scheme}://{where}"}
        if given.get("conn_id") and not separator:
            raise ValueError("'conn_id' is for an object in a store, such as 's3://bucket/key.csv'")
        return given


class SqlSource(_Spec):
    """One query that only reads, through an Airflow connection."""

    sql: str = Field(min_length=1)
    conn_id: str = Field(min_length=1)


class HttpSource(_TextSpec):
    """A service that answers with JSON, JSON lines, CSV or Parquet, page by page where it links to a next page."""

    url: str | None = None
    """An open address. One that needs a login goes through a connection."""
    http: str | None = None
    """A path below the connection's address."""
    conn_id: str | None = None
    max_pages: int = Field(default=1000, ge=1)
    """More pages than this is an error, so that a run never takes a part for the whole."""
    next: str | None = None
    """
    Of a JSON answer: the field with the address of the next page, or the way to it (``paging.next``). Default: the
    usual ones.
    """
    cursor: str | None = None
    """Of a JSON answer: the field with the token of the next page, or the way to it (``pageInfo.endCursor``)."""
    parameter: str | None = None
    """The query parameter that asks for the next page: by ``cursor``, else by ``count``."""
    count: Literal["rows", "pages"] | None = None
    """What ``parameter`` says without a ``cursor``: how many rows came before (an offset), or the page's number."""
    whole: bool = False
    """The answer is whole, whatever its fields look like: a ``total`` that is a sum of money, say."""

    @model_validator(mode="after")
    def _one_way_on(self) -> HttpSource:
        ways = [name for name in ("next", "cursor", "count") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(map(repr, ways))} are two ways to the next page; give one")
        if bool(self.parameter) != bool(self.cursor or self.count):
            raise ValueError(
                "'parameter' names the query parameter for the next page, with either 'cursor' (the field that holds "
                "its token) or 'count' ('rows' or 'pages')"
            )
        return self


class RowsSource(_Spec):
    """Rows that are in the source itself, as a call that starts a run for one case gives them."""

    rows: list[Any]


class FactsSource(_Spec):
    """What the facts of the run give cause for: the review and the insights of ``<facts>.yaml``."""

    facts: str = Field(min_length=1)


SourceSpec = FileSource | SqlSource | HttpSource | RowsSource | FactsSource

_KINDS: dict[str, type[FileSource | SqlSource | HttpSource | RowsSource | FactsSource]] = {
    "path": FileSource,
    "sql": SqlSource,
    "url": HttpSource,
    "http": HttpSource,
    "rows": RowsSource,
    "facts": FactsSource,
}


def parse_source(source: str | PurePath | Mapping[str, Any], **options: Any) -> SourceSpec:
    """
    Return what *source* means. Nothing is opened.

    :param source: text or a mapping, in any of the forms that the guide lists.
    :param options: keys of a mapping, as options of a command give them; None is none.
    :raises ConfigurationError: it is none of them, with the forms there are.
    """
    if given := {key: value for key, value in options.items() if value is not None}:
        return _from_mapping(parse_source(source).model_dump(exclude_unset=True) | given)
    if isinstance(source, Mapping):
        return _from_mapping(source)
    text = str(source).strip() if isinstance(source, (str, PurePath)) else ""
    if not text:
        raise ConfigurationError(f"the source is {source!r}. Give {_FORMS}.")
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"the source starts like JSON and is none: {error}. Give {_FORMS}.") from None
        return _from_mapping(found)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _from_mapping({"path": text})
    match scheme.lower():
        case "sql":
            conn_id, _, query = rest.partition("/")
            return _from_mapping({"sql": query.strip(), "conn_id": conn_id})
        case "conn":
            conn_id, _, path = rest.partition("/")
            return _from_mapping({"http": f"/{path}", "conn_id": conn_id})
        case "http" | "https":
            return _from_mapping({"url": text})
        case "facts":
            return _from_mapping({"facts": rest})
        case "file":
            return _from_mapping({"path": urlsplit(text).path})
        case _ if scheme.lower() in OBJECT_STORES:
            return _from_mapping({"path": text})
    raise ConfigurationError(f"a source cannot start with {scheme + '://'!r}. Give {_FORMS}.")


def _from_mapping(given: Mapping[str, Any]) -> SourceSpec:
    kinds = [key for key in _KINDS if given.get(key) is not None]
    if len(kinds) != 1:
        problem = (
            f"has {' and '.join(map(repr, kinds))}" if kinds else f"has only {', '.join(map(repr, given)) or 'nothing'}"
        )
        raise ConfigurationError(f"the source {problem}, so it is unclear what to read. Give {_FORMS}.")
    kind = _KINDS[kinds[0]]
    for key in given:
        if key not in kind.model_fields:
            raise UnknownName("key", str(key), kind.model_fields, where=f"a source with {kinds[0]!r}")
    try:
        spec = kind.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigurationError(f"the source cannot be used: {'; '.join(explain(error))}. Give {_FORMS}.") from None
    if isinstance(spec, FileSource) and file_format(spec) is None:
        raise ConfigurationError(
            f"{spec.path!r} does not end in {', '.join(SUFFIXES)} (or one of them and .gz). Rename it, or say "
            'what it is: {"path": …, "format": "csv"}.'
        )
    if isinstance(spec, HttpSource):
        _check_address(spec)
    return spec


def _check_address(spec: HttpSource) -> None:
    if spec.http is not None and not spec.conn_id:
        raise ConfigurationError("a source with 'http' needs the 'conn_id' whose address the path is below.")
    if spec.url is None:
        return
    if spec.conn_id:
        raise ConfigurationError("a source has 'url', or 'http' and 'conn_id': a connection has an address of its own.")
    parts = urlsplit(spec.url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{describe(spec)!r} is no http or https address.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"the address {describe(spec)!r} carries a login, which would be shown with the run. Make an Airflow "
            "connection of it and give 'conn://CONN_ID/path'."
        )


def is_object(spec: FileSource) -> bool:
    """Return whether *spec* is an address in object storage."""
    return spec.path.partition("://")[0].lower() in OBJECT_STORES and "://" in spec.path


def file_format(spec: FileSource) -> Format | None:
    """Return the format that *spec* states, or that its name ends in (before a ``.gz``)."""
    return spec.format or SUFFIXES.get(PurePath(spec.path.lower().removesuffix(".gz")).suffix)


def describe(spec: SourceSpec) -> str:
    """Return a short name of *spec* for the ledger: no secrets, no query parameters, no literals of a query."""
    match spec:
        case FileSource():
            return spec.path
        case SqlSource():
            return f"sql://{spec.conn_id} (query {digest(spec.sql)[:8]})"
        case HttpSource(url=str(url)):
            parts = urlsplit(url)
            host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
            return f"{parts.scheme}://{host}{parts.path}"
        case HttpSource():
            return f"conn://{spec.conn_id}/{urlsplit(spec.http or '').path.lstrip('/')}"
        case FactsSource():
            return f"facts://{spec.facts}"
        case RowsSource():
            return counted(len(spec.rows), "inline row")
