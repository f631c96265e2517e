"""
Rows from a stream of bytes: CSV, TSV, JSON lines, JSON, Parquet.

An opening quote that is never closed makes CSV swallow every line after it. Such lines are told one by one as problems,
because a guess at what they were could make a case of half a sentence.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from typing import IO, Any

from interlock.domain.base.door import decode_json, defect_of
from interlock.domain.base.plural import counted
from interlock.domain.data.source import Format, SourceRow
from interlock.errors import SourceError, UnfitValue

MAX_JSON_BYTES = 256 * 1024 * 1024
"""A JSON document is parsed as a whole; what is larger should come as JSON lines or in pages."""

_MAX_FIELD_CHARACTERS = 8 * 1024 * 1024
_PARQUET_BATCH = 2_000
_LIST_FIELDS = ("items", "data", "results")
_MAGIC = {b"PK\x03\x04": "a ZIP or Excel file", b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF", b"PAR1": "a Parquet file"}


def read_stream(
    stream: IO[bytes], file_format: Format, *, encoding: str, delimiter: str | None, items: str | None, label: str
) -> Iterator[SourceRow]:
    """
    Yield the rows of *stream*.

    :param label: what messages call it.
    :raises SourceError: it cannot be read as a whole.
    """
    match file_format:
        case "csv" | "tsv":
            return _read_csv(stream, delimiter or ("," if file_format == "csv" else "\t"), encoding, label)
        case "jsonl":
            return _read_json_lines(stream, encoding, label)
        case "json":
            rows, _ = items_of(read_document(stream, encoding, label), items, label)
            return (row_of(number, row) for number, row in enumerate(rows, start=1))
        case "parquet":
            return _read_parquet(stream, label)


def header_of(stream: IO[bytes], *, encoding: str, delimiter: str, label: str) -> list[str]:
    """
    Return the columns of a CSV file.

    :raises SourceError: there is no usable header.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD_CHARACTERS))
    lines = decoded_lines(stream, encoding, label)
    return _read_header(csv.reader(lines, delimiter=delimiter, strict=True), delimiter, label)


def row_of(number: int, item: Any) -> SourceRow:
    """Return *item* as a row, or as a problem when it is no object or holds what no database or JSON can."""
    if not isinstance(item, Mapping):
        return SourceRow(number=number, values=None, problem=f"is {_kind(item)}, not an object with fields")
    values = {str(key): value for key, value in item.items()}
    for key, value in values.items():
        if wrong := defect_of(value):
            return SourceRow(number=number, values=None, problem=f"{key}: {wrong}")
    return SourceRow(number=number, values=values)


def _kind(item: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a yes or no", type(None): "null"}
    return names.get(type(item), "a number")


# --- text ---


def decoded_lines(stream: IO[bytes], encoding: str, label: str) -> Iterator[str]:
    """
    Yield the lines of *stream* with their ends, decoded one by one so that a wrong byte can be told by its place.

    :raises SourceError: a byte that is not in *encoding*.
    """
    if encoding.startswith(("utf-16", "utf-32")):  # a line's end is more than one byte there
        wrapper = TextIOWrapper(stream, encoding=encoding, newline="")
        try:
            yield from wrapper
        except UnicodeError as error:
            raise SourceError(f"{label} is not {encoding}: {error}. Say what it is: {{'encoding': …}}.") from None
        finally:
            wrapper.detach()
        return
    offset = 0
    for number, raw in enumerate(stream, start=1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 and encoding == "utf-8" else encoding)
        except UnicodeDecodeError as error:
            raise SourceError(_wrong_byte(raw, error, offset, number, encoding, label)) from None
        offset += len(raw)


def _wrong_byte(raw: bytes, error: UnicodeDecodeError, offset: int, number: int, encoding: str, label: str) -> str:
    for magic, name in _MAGIC.items():
        if number == 1 and raw.startswith(magic):
            return f"{label} is {name}, not text. Export it as CSV, JSON lines or Parquet."
    start = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") and number == 1 and encoding == "utf-8" else 0)
    if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        other = "utf-16"
    else:
        other = "cp1252" if encoding != "cp1252" else "latin-1"
    return (
        f"{label} is not {encoding}: byte 0x{raw[start]:02x} at offset {offset + start} (line {number}). "
        f'Say what it is, for instance {{"encoding": "{other}"}}, or save it as UTF-8.'
    )


def _read_csv(stream: IO[bytes], delimiter: str, encoding: str, label: str) -> Iterator[SourceRow]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD_CHARACTERS))
    lines = _Lines(decoded_lines(stream, encoding, label))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _read_header(reader, delimiter, label)
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if lines.is_cut and reader.line_num <= first:
                raise SourceError(_cut(label, first, "a quote is open")) from None
            yield from _swallowed(first, max(first, reader.line_num), error)
            continue
        if not fields:
            continue
        if len(fields) < len(header) and lines.is_cut:
            raise SourceError(_cut(label, first, f"{len(fields)} of {len(header)} fields"))
        if len(fields) != len(header):
            wrong = f"has {counted(len(fields), 'field')} where the header has {len(header)}"
            yield SourceRow(number=first, values=None, problem=wrong)
        elif not any(fields):
            yield SourceRow(number=first, values=None, problem="every field is empty")
        else:
            yield row_of(first, {name: value or None for name, value in zip(header, fields, strict=True)})


class _Lines:
    """Lines, and whether the one that was given last has no end: it is the last one, and may be cut."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.is_cut = False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.is_cut = not line.endswith(("\n", "\r"))
            yield line


def _cut(label: str, line: int, what: str) -> str:
    return f"{label} ends in the middle of line {line}: {what}, and no line end. Was it written to its end?"


def _read_header(reader: Any, delimiter: str, label: str) -> list[str]:
    try:
        header = next((fields for fields in reader if fields), None)
    except csv.Error as error:
        raise SourceError(f"the header of {label} cannot be read: {_csv_problem(error)}.") from None
    if header is None:
        raise SourceError(f"{label} is empty: not even a header. Was it written to its end?")
    names = [name.strip() for name in header]
    other = (
        next((mark for mark in ";\t|," if mark != delimiter and mark in names[0]), None) if len(names) == 1 else None
    )
    if other:
        raise SourceError(
            f"the header of {label} is one column with {other!r} in it, so that may be what separates its fields. "
            f'Say so: {{"delimiter": {json.dumps(other)}}}.'
        )
    for position, name in enumerate(names, start=1):
        if not name:
            raise SourceError(f"column {position} of {label} has no name in the header. Name it, or remove the column.")
        if "\0" in name:
            raise SourceError(
                f'the header of {label} holds NUL characters. Is it UTF-16? Then: {{"encoding": "utf-16"}}.'
            )
    _refuse_twice(names, label, "Rename one in the file")
    return names


def _refuse_twice(names: list[str], label: str, advice: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{label} has the column {', '.join(map(repr, twice))} more than once. {advice}.")


def _swallowed(first: int, last: int, error: csv.Error) -> Iterator[SourceRow]:
    problem = _csv_problem(error)
    yield SourceRow(number=first, values=None, problem=problem)
    for number in range(first + 1, last + 1):
        yield SourceRow(number=number, values=None, problem=f"cannot be told from line {first}, where {problem}")


def _csv_problem(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a quote opens and never closes"
    if "new-line character" in text:
        return "a carriage return stands outside of quotes"
    if "expected after" in text:
        return "a quoted field goes on after its closing quote (a quote inside must be doubled)"
    return text


# --- JSON ---


def _read_json_lines(stream: IO[bytes], encoding: str, label: str) -> Iterator[SourceRow]:
    lines = _Lines(decoded_lines(stream, encoding, label))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield row_of(number, decode_json(line))
        except UnfitValue as error:
            if lines.is_cut:
                raise SourceError(_cut(label, number, "no whole object")) from None
            yield SourceRow(number=number, values=None, problem=error.problem)


def read_document(stream: IO[bytes], encoding: str, label: str) -> Any:
    """
    Return *stream* as one JSON value.

    :raises SourceError: it is none, or larger than 256 MiB.
    """
    size, lines = 0, []
    for line in decoded_lines(stream, encoding, label):
        size += len(line)
        if size > MAX_JSON_BYTES:
            raise SourceError(f"{label} is larger than {MAX_JSON_BYTES // 2**20} MiB. Send JSON lines, or pages.")
        lines.append(line)
    try:
        return decode_json("".join(lines))
    except UnfitValue as error:
        raise SourceError(f"{label} {error.problem}.") from None


def items_of(document: Any, field: str | None, label: str) -> tuple[list[Any], str | None]:
    """
    Return the list of rows in *document*, and the name of the field that holds it (None for a bare list).

    :param field: the field that holds the list; None: ``items``, ``data`` or ``results``.
    :raises SourceError: there is no such list.
    """
    if isinstance(document, list) and field is None:
        return document, None
    if isinstance(document, dict):
        for name in (field,) if field else _LIST_FIELDS:
            if isinstance(document.get(name), list):
                return document[name], name
        names = ", ".join(repr(name) for name in list(document)[:20]) or "none"
        wanted = repr(field) if field else ", ".join(map(repr, _LIST_FIELDS))
        raise SourceError(
            f"{label} is an object without a list in {wanted}. Its fields: {names}. Say which one holds the rows: "
            '{"items": …}.'
        )
    raise SourceError(f"{label} is {_kind(document)}, and a list of objects was expected.")


# --- Parquet ---


def _read_parquet(stream: IO[bytes], label: str) -> Iterator[SourceRow]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        file = parquet.ParquetFile(stream)
        _refuse_twice(list(file.schema_arrow.names), label, "Rename one where the file is written")
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
            for item in _items(batch, number):
                number += 1
                yield item
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SourceError(
            f"{label} cannot be read as Parquet after row {number}: {error}. Was it written to its end?"
        ) from error


def _items(batch: Any, before: int) -> Iterator[SourceRow]:
    """Yield the rows of a batch; where one has a value that Python cannot hold, each is read by itself."""
    import pyarrow

    impossible = (ValueError, OverflowError, pyarrow.ArrowException)
    try:
        items = batch.to_pylist()
    except impossible:
        columns = {name: batch.column(place) for place, name in enumerate(batch.schema.names)}
        for place in range(batch.num_rows):
            values: dict[str, Any] = {}
            for name, column in columns.items():
                try:
                    values[name] = column[place].as_py()
                except impossible:
                    # Nothing but the date or instant is lost, and only a contract that asks for it misses it.
                    values[name] = f"{_beyond(column[place])} (beyond what a date can be here)"
            yield row_of(before + place + 1, values)
    else:
        for place, item in enumerate(items, start=1):
            yield row_of(before + place, item)


def _beyond(scalar: Any) -> str:
    """Return a value that Python has no type for as its number and its type."""
    raw = getattr(scalar, "value", None)
    return f"{raw} {scalar.type}" if isinstance(raw, int) else str(scalar.type)
