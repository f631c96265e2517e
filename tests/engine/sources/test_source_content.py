"""Files as people export them: what is no data is omitted and counted, and what is something else is refused."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.data.source import ReadSummary, ReturnedSummary, parse_source
from interlock.engine.sources.source import read_rows
from interlock.engine.sources.source_access import SourceAccess
from interlock.errors import ConfigurationError, SourceError


def read(source: Any, **given: Any) -> tuple[list[Any], ReadSummary | None]:
    found = ReturnedSummary(read_rows(parse_source(source), connection=lambda name: None, **given))
    return [(row.number, row.values or row.problem) for row in found], found.summary


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


ROW = {"id": "r1", "text": "a"}


@pytest.mark.parametrize(
    ("name", "options", "content"),
    [
        ("a.csv", {}, "sep=;\r\nid;text\r\nr1;a\r\n"),
        ("a.csv", {"delimiter": ";"}, "sep=;\nid;text\nr1;a\n"),
        ("a.csv", {}, "\ufeffSEP=|\nid|text\nr1|a"),
        ("a.csv", {}, 'sep=\t\nid\ttext\nr1\t"a"\n'),
        ("a.csv.gz", {}, gzip.compress(b"sep=;\nid;text\nr1;a\n", mtime=0)),
        ("a.csv", {"encoding": "utf-16"}, "sep=;\nid;text\nr1;a\n".encode("utf-16")),
    ],
)
def test_excels_line_with_the_separator_is_understood(write, name, options, content):
    rows, summary = read({"path": write(name, content), **options})

    assert rows == [(3, ROW)]
    assert summary == ReadSummary(columns=("id", "text"))


def test_blank_rows_and_repeated_headers_are_omitted_and_counted(write):
    rows, summary = read(write("a.csv", 'id,text\nr1,a\n,\n" ",\n \u00a0,\n,,,\n,\nid, text\nr2,b\n,'))

    assert [number for number, _ in rows] == [2, 9]
    assert summary == ReadSummary(columns=("id", "text"), blank_rows=6, repeated_headers=1, empty_columns=0)
    assert summary.describe_omitted() == "6 blank rows, 1 repeated header"


@pytest.mark.parametrize(
    ("content", "empty"),
    [
        ("id,text,,\nr1,a,,\n", 2),
        ("id,text\nr1,a,,\n", 2),
        (",id,text\n,r1,a\n", 1),
        ("id,,text\nr1,,a\n", 1),
        ("id,text,\nr1,a\n", None),
    ],
)
def test_columns_without_a_name_or_a_value_are_omitted(write, content, empty):
    rows, summary = read(write("a.csv", content))

    if empty is None:
        assert rows == [(2, "has 2 fields where the header has 3")]
    else:
        assert rows == [(2, ROW)]
        assert summary == ReadSummary(columns=("id", "text"), empty_columns=empty)


def test_a_value_in_a_column_without_a_name_is_not_lost(write):
    with pytest.raises(SourceError, match=r"column 1 of .* has no name in the header, and line 2 has a value there"):
        read(write("a.csv", ",id,text\n0,r1,a\n"))

    rows, _ = read(write("b.csv", "id,text,\nr1,a,\nr2,b,stray\n"))
    assert rows == [(2, ROW), (3, "has a value in column 3, which has no name in the header")]
    rows, _ = read(write("c.csv", "id,text\nr1,a\nr2,b,stray\n"))
    assert rows == [(2, ROW), (3, "has 3 fields where the header has 2")]


def test_a_header_below_blank_rows_is_found(write):
    assert read(write("a.csv", ",,\n\nid,text\nr1,a\n"))[0] == [(4, ROW)]


def test_a_table_without_rows_says_which_columns_it_has(write, tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": pyarrow.array([], "int64")}), tmp_path / "a.parquet")

    assert read(write("a.csv", "number;name\n") and {"path": write("a.csv", "number;name\n"), "delimiter": ";"}) == (
        [],
        ReadSummary(columns=("number", "name")),
    )
    assert read(str(tmp_path / "a.parquet")) == ([], ReadSummary(columns=("a",)))


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is a web page"),
        ("a.csv", "\ufeff\n <html>\n", "is a web page"),
        ("a.csv", "<table><tr><td>id</td></tr></table>", "is a web page"),
        ("a.jsonl", "<html>\n", "is a web page"),
        ("a.json", "<html>\n", "is a web page"),
        ("a.csv", '<?xml version="1.0"?><Workbook/>', "is XML"),
        ("a.csv", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "is an old Excel workbook"),
        ("a.tsv", workbook(), "is a ZIP or Excel file"),
        ("a.csv", gzip.compress(b"id\nr1\n", mtime=0), "is a gzip file"),
        ("a.json", b"SQLite format 3\0" + b"\0" * 80, "is an SQLite database"),
        ("a.csv", "id,text\r\nr1,a\r\n".encode("utf-16-le"), 'looks like UTF-16. Say so: {"encoding": "utf-16-le"}'),
        ("a.csv", "id,text\r\nr1,a\r\n".encode("utf-16-be"), 'looks like UTF-16. Say so: {"encoding": "utf-16-be"}'),
        ("a.jsonl", '{"id": "r1"}\n'.encode("utf-16"), 'Say so: {"encoding": "utf-16"}'),
        ("a.csv", '[{"id": "r1"}]', 'is JSON, not CSV. Say so: {"format": "json"}'),
        ("a.csv", '{"id": "r1"}\n{"id": "r2"}\n', 'is JSON, not CSV. Say so: {"format": "jsonl"}'),
        ("a.jsonl", '[\n  {"id": "r1"},\n  {"id": "r2"}\n]\n', 'is one JSON array, .*Say so: {"format": "json"}'),
        ("a.jsonl", '[{"id": "r1"}, {"id": "r2"}]\n', 'is one JSON array, .*Say so: {"format": "json"}'),
        ("a.jsonl", '{\n  "items": [\n    {"id": "r1"}\n  ]\n}\n', 'is one JSON object, .*Say so: {"format": "json"}'),
        ("a.json", '{"id": "r1"}\n{"id": "r2"}\n', 'Say so: {"format": "jsonl"}'),
    ],
)
def test_what_is_something_else_is_refused_as_that_and_what_the_message_says_works(write, name, content, said):
    path = write(name, content)

    with pytest.raises(SourceError, match=said.replace("{", r"\{").replace("}", r"\}")) as refused:
        read(path)
    if "Say so: " in str(refused.value):
        advice = json.loads(str(refused.value).rpartition("Say so: ")[2].rstrip("."))
        rows, _ = read({"path": path, **advice})
        assert rows[0][1]["id"] == "r1"


# --- how numbers and dates are written ---


@pytest.mark.parametrize(
    ("options", "text", "kind", "read_as"),
    [
        ({"decimal": ","}, "1,5", "number", "1.5"),
        ({"decimal": ",", "thousands": "."}, "-1.234.567,50", "number", "-1234567.50"),
        ({"decimal": ",", "thousands": "."}, "1234,5", "number", "1234.5"),
        ({"decimal": ",", "thousands": "."}, "1.500", "number", "1500"),
        ({"thousands": "'"}, "1'234.5", "number", "1234.5"),
        ({"decimal": ",", "thousands": "\u00a0"}, "1\u00a0234,5", "number", "1234.5"),
        ({"decimal": ","}, "1.5", "number", None),
        ({"decimal": ",", "thousands": "."}, "1.5", "number", None),
        ({"decimal": ",", "thousands": "."}, "12.34.567", "number", None),
        ({"thousands": ","}, "1,5", "number", None),
        ({"day_first": True}, "3.4.2026", "date", "2026-04-03"),
        ({"day_first": True}, "03/04/2026 17:30", "date", "2026-04-03T17:30"),
        ({"day_first": True}, "2026-04-03", "date", "2026-04-03"),
        ({"day_first": True}, "03/04/26", "date", None),
        ({"day_first": True}, "03.04/2026", "date", None),
    ],
)
def test_numbers_and_dates_are_read_as_declared_and_not_otherwise(options, text, kind, read_as):
    notation = parse_source({"path": "a.csv", **options}).notation

    if read_as is None:
        with pytest.raises(ValueError, match="as the source declares"):
            notation.read(text, kind)
    else:
        assert notation.read(text, kind) == read_as


def test_what_is_declared_is_with_each_row_and_changes_no_text(write):
    path = write("a.csv", "id;text;amount\nr1;1,5;1,5\n")
    [row] = read_rows(parse_source({"path": path, "delimiter": ";", "decimal": ","}), connection=lambda name: None)

    assert row.values == {"id": "r1", "text": "1,5", "amount": "1,5"}
    assert row.notation.decimal == ","


@pytest.mark.parametrize(
    "options", [{"decimal": "x"}, {"thousands": "12"}, {"thousands": "1"}, {"decimal": ",", "thousands": ","}]
)
def test_a_notation_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigurationError):
        parse_source({"path": "a.csv", **options})


def test_options_of_a_command_are_keys_of_the_source():
    given = {"delimiter": ";", "encoding": None, "decimal": ",", "day_first": True}

    assert parse_source("a.csv", **given) == parse_source(
        {"path": "a.csv", "delimiter": ";", "decimal": ",", "day_first": True}
    )


# --- bounds ---


def test_a_file_is_read_up_to_its_bounds(write):
    path = write("a.csv", "id,text\n" + "r1,a\n" * 100)

    assert len(read(path, access=SourceAccess(max_bytes=600, max_rows=100, max_line_bytes=600))[0]) == 100
    with pytest.raises(SourceError, match=r"larger than 507 bytes.*source_max_bytes"):
        read(path, access=SourceAccess(max_bytes=507))
    with pytest.raises(SourceError, match=r"more than 99 rows.*source_max_rows"):
        read(path, access=SourceAccess(max_rows=99))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.json.gz"])
@pytest.mark.parametrize("filling", [b" ", b"[],", b"r1,a\n"])
def test_a_packed_file_that_unpacks_without_end_is_read_to_a_bound(write, monkeypatch, name, filling):
    """A megabyte of gzip is a gigabyte of text; a line of that, or a list of empty lists, once took three of memory."""
    import tracemalloc

    monkeypatch.setattr("interlock.engine.sources.source_access._FREE_BYTES", 2**20)
    monkeypatch.setattr("interlock.engine.sources.source_access.MAX_RATIO", 10)
    start = {"a.csv.gz": b"id,text\n", "a.jsonl.gz": b"", "a.json.gz": b"[" + b" " * 80}[name]
    path = write(name, gzip.compress(start + filling * (32 * 2**20 // len(filling)), compresslevel=6))
    tracemalloc.start()
    try:
        with pytest.raises(
            SourceError, match=r"unpacks to more than 10 times its size|has a line of more than 256 KiB"
        ):
            for _ in read_rows(
                parse_source(path), connection=lambda name: None, access=SourceAccess(max_line_bytes=2**18)
            ):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 16 * 2**20


def test_a_json_document_of_very_many_values_is_refused_before_they_are_made(write, monkeypatch):
    monkeypatch.setattr("interlock.engine.sources.source_format.MAX_JSON_VALUES", 1000)

    with pytest.raises(SourceError, match=r"holds more than 1,000 values\. Send JSON lines"):
        read(write("a.json", "[" + "[]," * 1000 + "[]]"))


def test_a_parquet_file_says_how_large_it_is(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": ["x" * 1000] * 1000}), tmp_path / "a.parquet", compression="zstd")

    with pytest.raises(SourceError, match="more than 999 rows"):
        read(str(tmp_path / "a.parquet"), access=SourceAccess(max_rows=999))
    with pytest.raises(SourceError, match="larger than 100 bytes"):
        read(str(tmp_path / "a.parquet"), access=SourceAccess(max_bytes=100))
