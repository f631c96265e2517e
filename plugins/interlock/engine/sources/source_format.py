"""
Rows from a stream of bytes: CSV, TSV, JSON lines, JSON, Parquet.

An opening quote that is never closed makes CSV swallow every line after it. Such lines are told one by one as problems,
because a guess at what they were could make a case of half a sentence.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain
from typing import IO, Any

from interlock.domain.base.door import defect_of
from interlock.domain.base.plural import counted
from interlock.domain.data.notation import Notation
from interlock.domain.data.source import FileSource, Format, HttpSource, ReadSummary, SourceRow
from interlock.engine.sources.content import refuse_other_content
from interlock.engine.sources.source_access import SourceAccess, bounded
from interlock.errors import SourceError

MAX_JSON_BYTES = 256 * 1024 * 1024
"""A JSON document is parsed as a whole; what is larger should come as JSON lines or in pages."""
MAX_JSON_VALUES = 10_000_000
"""A value takes a hundred bytes of memory, however few of the document."""

_MAX_FIELD_CHARACTERS = 8 * 1024 * 1024
_PARQUET_BATCH = 2_000
_LIST_FIELDS = ("items", "data", "results")
_SEPARATOR_LINE = re.compile('\ufeff?"?sep=(.)"?[\r\n]*', re.IGNORECASE)
"""Excel's own first line, which says what separates the fields."""

Rows = Generator[SourceRow, None, ReadSummary | None]
"""The rows of a source; when they are over, what it was found to be."""


def read_stream(
    stream: IO[bytes], file_format: Format, spec: FileSource | HttpSource, *, label: str, access: SourceAccess
) -> Rows:
    """
    Yield the rows of *stream*.

    :param label: what messages call it.
    :raises SourceError: it cannot be read as a whole, is something else, or is larger than *access* lets it be.
    """
    if file_format == "parquet":
        return _read_parquet(stream, label, access)
    longest = MAX_JSON_BYTES if file_format == "json" else None
    text = bounded(stream, access, label, max_line_bytes=longest)
    refuse_other_content(text.peek(4096)[:4096], file_format, spec.encoding, label)
    match file_format:
        case "csv" | "tsv":
            return _read_csv(text, spec.delimiter, "," if file_format == "csv" else "\t", spec, label, access)
        case "jsonl":
            return _read_json_lines(text, spec, label, access)
        case "json":
            return _read_json(text, spec, label, access)


def header_of(stream: IO[bytes], *, encoding: str, delimiter: str, label: str) -> list[str] | None:
    """
    Return the columns of a CSV file; None: its lines are not simply the header and rows of as many fields.

    :raises SourceError: there is no usable header.
    """
    head = stream.read(4096)
    stream.seek(0)
    refuse_other_content(head, "csv", encoding, label)
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD_CHARACTERS))
    lines, declared, skipped = _without_separator_line(decoded_lines(stream, encoding, label))
    if declared is not None or skipped:
        return None
    header = _read_header(csv.reader(lines, delimiter=delimiter, strict=True), delimiter, label)
    return header.names if header.positions is None else None


def row_of(number: int, item: Any, notation: Notation | None = None) -> SourceRow:
    """Return *item* as a row, or as a problem when it is no object or holds what no database or JSON can."""
    if not isinstance(item, Mapping):
        return SourceRow(number=number, values=None, problem=f"is {_kind(item)}, not an object with fields")
    values = {str(key): value for key, value in item.items()}
    for key, value in values.items():
        if wrong := defect_of(value):
            return SourceRow(number=number, values=None, problem=f"{key}: {wrong}")
    return SourceRow(number=number, values=values, notation=notation)


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
    start = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") and number == 1 and encoding == "utf-8" else 0)
    if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        other = "utf-16"
    else:
        other = "cp1252" if encoding != "cp1252" else "latin-1"
    return (
        f"{label} is not {encoding}: byte 0x{raw[start]:02x} at offset {offset + start} (line {number}). "
        f'Say what it is, for instance {{"encoding": "{other}"}}, or save it as UTF-8.'
    )


@dataclass(frozen=True)
class _Header:
    """The first line of a table."""

    fields: list[str]
    """As they stand there."""
    names: list[str]
    """Of the columns that have one."""
    positions: list[int] | None
    """Where those are; None: each column has a name."""


def _read_csv(
    stream: IO[bytes],
    delimiter: str | None,
    default: str,
    spec: FileSource | HttpSource,
    label: str,
    access: SourceAccess,
) -> Rows:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD_CHARACTERS))
    texts, separator, offset = _without_separator_line(decoded_lines(stream, spec.encoding, label))
    lines = _Lines(texts)
    chosen = delimiter or separator or default
    reader = csv.reader(lines, delimiter=chosen, strict=True)
    header = _read_header(reader, chosen, label)
    names, width, notation = header.names, len(header.fields), spec.notation
    rows = blank = repeated = beyond = 0
    while True:
        first = reader.line_num + 1 + offset
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if lines.is_cut and reader.line_num + offset <= first:
                raise SourceError(_cut(label, first, "a quote is open")) from None
            yield from _swallowed(first, max(first, reader.line_num + offset), error)
            continue
        if not fields:
            continue
        lead = fields[0].strip()
        if not lead and not "".join(fields).strip():
            blank += 1
            continue
        if len(fields) < width and lines.is_cut:
            raise SourceError(_cut(label, first, f"{len(fields)} of {width} fields"))
        if header.positions is not None or len(fields) != width:
            if len(fields) < width or "".join(fields[width:]).strip():
                wrong = f"has {counted(len(fields), 'field')} where the header has {width}"
            elif (column := _unnamed(fields, header)) is not None:
                if not rows:
                    raise SourceError(
                        f"column {column} of {label} has no name in the header, and line {first} has a value there. "
                        "Name it, or remove the column."
                    )
                wrong = f"has a value in column {column}, which has no name in the header"
            else:
                wrong = ""
            if wrong:
                yield SourceRow(number=first, values=None, problem=wrong)
                continue
            beyond = max(beyond, len(fields) - width)
            fields = fields[:width] if header.positions is None else [fields[place] for place in header.positions]
            lead = fields[0].strip()
        if lead == names[0] and [field.strip() for field in fields] == names:
            repeated += 1
            continue
        rows += 1
        if rows > access.max_rows:
            access.check_rows(rows, label)
        yield row_of(first, {name: value or None for name, value in zip(names, fields, strict=True)}, notation)
    empty = width - len(names) + beyond if rows else 0
    return ReadSummary(columns=tuple(names), blank_rows=blank, repeated_headers=repeated, empty_columns=empty)


def _unnamed(fields: list[str], header: _Header) -> int | None:
    """Return the first column without a name in which *fields* has a value, from 1; None: there is none."""
    if header.positions is None:
        return None
    pairs = enumerate(zip(fields, header.fields, strict=False), start=1)
    return next((position for position, (field, name) in pairs if not name and field.strip()), None)


def _without_separator_line(lines: Iterator[str]) -> tuple[Iterator[str], str | None, int]:
    """Return the lines behind Excel's ``sep=;``, the separator that it names, and how many lines that took."""
    first = next(lines, None)
    if first is None:
        return iter(()), None, 0
    found = _SEPARATOR_LINE.fullmatch(first)
    return (lines, found[1], 1) if found else (chain((first,), lines), None, 0)


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


def _read_header(reader: Any, delimiter: str, label: str) -> _Header:
    try:
        header = next((fields for fields in reader if "".join(fields).strip()), None)
    except csv.Error as error:
        raise SourceError(f"the header of {label} cannot be read: {_csv_problem(error)}.") from None
    if header is None:
        raise SourceError(f"{label} is empty: not even a header. Was it written to its end?")
    fields = [name.strip() for name in header]
    names = [name for name in fields if name]
    other = (
        next((mark for mark in ";\t|," if mark != delimiter and mark in names[0]), None) if len(names) == 1 else None
    )
    if other:
        raise SourceError(
            f"the header of {label} is one column with {other!r} in it, so that may be what separates its fields. "
            f'Say so: {{"delimiter": {json.dumps(other)}}}.'
        )
    if any("\0" in name for name in names):
        raise SourceError(f'the header of {label} holds NUL characters. Is it UTF-16? Then: {{"encoding": "utf-16"}}.')
    _refuse_twice(names, label, "Rename one in the file")
    positions = None if len(names) == len(fields) else [number for number, name in enumerate(fields) if name]
    return _Header(fields, names, positions)


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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite).decode


def _read_json_lines(stream: IO[bytes], spec: FileSource | HttpSource, label: str, access: SourceAccess) -> Rows:
    lines = _Lines(decoded_lines(stream, spec.encoding, label))
    is_first, notation = True, spec.notation
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()):
            continue
        if is_first and (text[0] == "[" or (text[0] == "{" and text[-1] in "{[," and not text.endswith("},"))):
            raise SourceError(
                f"{label} is one JSON {'array' if text[0] == '[' else 'object'}, not an object on each line. Say so: "
                '{"format": "json"}.'
            )
        is_first = False
        access.check_rows(number, label)
        try:
            yield row_of(number, _decode(line), notation)
        except (ValueError, RecursionError) as error:
            if lines.is_cut:
                raise SourceError(_cut(label, number, "no whole object")) from None
            yield SourceRow(number=number, values=None, problem=f"is not JSON: {error}")
    return None


def _read_json(stream: IO[bytes], spec: FileSource | HttpSource, label: str, access: SourceAccess) -> Rows:
    rows, _ = items_of(read_document(stream, spec.encoding, label), spec.items, label)
    access.check_rows(len(rows), label)
    notation = spec.notation
    for number, row in enumerate(rows, start=1):
        yield row_of(number, row, notation)
    return None


def read_document(stream: IO[bytes], encoding: str, label: str) -> Any:
    """
    Return *stream* as one JSON value.

    :raises SourceError: it is none, larger than 256 MiB, or holds more values than fit into memory.
    """
    size, lines = 0, []
    for line in decoded_lines(stream, encoding, label):
        size += len(line)
        if size > MAX_JSON_BYTES:
            raise SourceError(f"{label} is larger than {MAX_JSON_BYTES // 2**20} MiB. Send JSON lines, or pages.")
        lines.append(line)
    text = "".join(lines)
    lines.clear()
    if len(text) > MAX_JSON_VALUES and text.count(",") + text.count(":") + text.count("[") > MAX_JSON_VALUES:
        raise SourceError(f"{label} holds more than {MAX_JSON_VALUES:,} values. Send JSON lines, or pages.")
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        advice = ' Its first line is an object of its own, as in JSON lines. Say so: {"format": "jsonl"}.'
        raise SourceError(f"{label} is not JSON: {error}.{advice if _is_object(text) else ''}") from None


def _is_object(text: str) -> bool:
    try:
        return isinstance(_decode(text.lstrip().partition("\n")[0]), dict)
    except (ValueError, RecursionError):
        return False


def items_of(document: Any, field: str | None, label: str) -> tuple[list[Any], str | None]:
    """
    Return the list of rows in *document*, and the field that holds it (None for a bare list).

    :param field: the field that holds the list, or the way to it (``data.tickets``); None: ``items``, ``data`` or
        ``results``.
    :raises SourceError: there is no such list.
    """
    if isinstance(document, list) and field is None:
        return document, None
    if isinstance(document, dict):
        for name in (field,) if field else _LIST_FIELDS:
            if isinstance(found := at_path(document, name), list):
                return found, name
        names = ", ".join(repr(name) for name in list(document)[:20]) or "none"
        wanted = repr(field) if field else ", ".join(map(repr, _LIST_FIELDS))
        raise SourceError(
            f"{label} is an object without a list in {wanted}. Its fields: {names}. Say which one holds the rows: "
            '{"items": …}.'
        )
    raise SourceError(f"{label} is {_kind(document)}, and a list of objects was expected.")


def at_path(document: Any, path: str) -> Any:
    """Return what is in *document* at ``field`` or ``field.field``; a name may hold points itself. None: nothing."""
    if not isinstance(document, dict):
        return None
    if path in document:
        return document[path]
    for cut in (position for position, mark in enumerate(path) if mark == "."):
        if path[:cut] in document and (found := at_path(document[path[:cut]], path[cut + 1 :])) is not None:
            return found
    return None


# --- Parquet ---


def _read_parquet(stream: IO[bytes], label: str, access: SourceAccess) -> Rows:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        file = parquet.ParquetFile(stream)
        check_parquet(file.metadata, label, access)
        names = [str(name) for name in file.schema_arrow.names]
        _refuse_twice(names, label, "Rename one where the file is written")
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
            for item in _items(batch, number):
                number += 1
                yield item
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SourceError(
            f"{label} cannot be read as Parquet after row {number}: {error}. Was it written to its end?"
        ) from error
    return ReadSummary(columns=tuple(names))


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


def check_parquet(metadata: Any, label: str, access: SourceAccess) -> None:
    """
    Hold what a Parquet file says of itself against the limits of *access*.

    :raises SourceError: it has too many rows, or is too large unpacked.
    """
    access.check_rows(metadata.num_rows, label)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    access.check_bytes(sum(group.total_byte_size for group in groups), label)
