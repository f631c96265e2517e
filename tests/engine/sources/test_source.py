import csv
import gzip
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.domain.data.source import FileSource, HttpSource, RowsSource, SqlSource, describe, parse_source
from interlock.engine.sources.source import read_rows
from interlock.errors import ConfigurationError, SourceError, UnknownName


def no_connection(conn_id):
    raise KeyError(conn_id)


def rows_of(source, **given):
    return list(read_rows(parse_source(source), connection=no_connection, **given))


def values_of(source, **given):
    rows = rows_of(source, **given)
    assert [row.problem for row in rows] == [None] * len(rows)
    return [row.values for row in rows]


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


# --- what a source can be ---


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("data/tickets.csv", FileSource(path="data/tickets.csv")),
        (" leads.PARQUET ", FileSource(path="leads.PARQUET")),
        ("tickets.csv.gz", FileSource(path="tickets.csv.gz")),
        ("file:///srv/tickets.jsonl", FileSource(path="/srv/tickets.jsonl")),
        (
            '{"path": "export.txt", "format": "csv", "delimiter": "\\t"}',
            FileSource(path="export.txt", format="csv", delimiter="\t"),
        ),
        (
            {"path": "a.csv", "delimiter": "\\t", "encoding": "CP1252"},
            FileSource(path="a.csv", delimiter="\t", encoding="cp1252"),
        ),
        (
            "sql://warehouse/SELECT id, a/b AS ratio FROM t",
            SqlSource(conn_id="warehouse", sql="SELECT id, a/b AS ratio FROM t"),
        ),
        ({"sql": "SELECT 1", "conn_id": "w"}, SqlSource(sql="SELECT 1", conn_id="w")),
        ("https://example.org/leads?since=1", HttpSource(url="https://example.org/leads?since=1")),
        ("conn://crm/leads?open=1", HttpSource(http="/leads?open=1", conn_id="crm")),
        ({"http": "/leads", "conn_id": "crm", "max_pages": 3}, HttpSource(http="/leads", conn_id="crm", max_pages=3)),
        ({"rows": [{"id": 1}]}, RowsSource(rows=[{"id": 1}])),
    ],
)
def test_a_source_is_understood_from_text_mapping_and_json(text, spec):
    assert parse_source(text) == spec


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "the source is ''"),
        (None, "the source is None"),
        ("{'path': 1}", "starts like JSON"),
        ("{{ params.source }}", "starts like JSON"),
        ("report.xlsx", "does not end in .csv"),
        ("ftp://bucket/a.csv", "cannot start with 'ftp://'"),
        ({"path": "s3://one@bucket/a.csv", "conn_id": "other"}, "two connections, 'one' and 'other'"),
        ({"path": "a.csv", "conn_id": "one"}, "is for an object in a store"),
        ({}, "has only nothing"),
        ({"conn_id": "w"}, "has only 'conn_id'"),
        ({"path": "a.csv", "url": "http://x/"}, "has 'path' and 'url'"),
        ({"http": "/leads"}, "needs the 'conn_id'"),
        ({"url": "http://x/", "conn_id": "w"}, "has an address of its own"),
        ({"url": "ftp://x/a"}, "no http or https address"),
        ("sql://warehouse", "sql: String should have at least 1 character"),
        ({"path": "a.csv", "encoding": "utf8-x"}, "'utf8-x' is no text encoding"),
        ({"path": "a.csv", "encoding": "hex"}, "'hex' is no text encoding"),
        ({"path": "a.csv", "delimiter": ";;"}, "give one character"),
        ({"path": "a.csv", "format": "xml"}, "format: Input should be"),
        ({"url": "http://x/", "max_pages": 0}, "max_pages: Input should be greater"),
    ],
)
def test_what_is_no_source_is_refused_with_the_forms_there_are(source, said):
    with pytest.raises(ConfigurationError) as caught:
        parse_source(source)

    assert said in str(caught.value)


def test_a_misspelt_key_names_the_nearest():
    with pytest.raises(UnknownName, match=r"no key 'encodng' in a source with 'path'\. Did you mean 'encoding'"):
        parse_source({"path": "a.csv", "encodng": "cp1252"})


def test_a_login_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError, match="carries a login") as caught:
        parse_source("https://anna:hunter2@example.org/leads?key=k1")

    assert "hunter2" not in str(caught.value)
    assert "k1" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/tickets.csv", "data/tickets.csv"),
        ("https://example.org:8443/leads?token=t0ken#x", "https://example.org:8443/leads"),
        ("conn://crm/leads?token=t0ken", "conn://crm/leads"),
        ({"rows": [{"token": "t0ken"}]}, "1 inline row"),
    ],
)
def test_the_name_for_the_ledger_holds_no_secret(source, name):
    assert describe(parse_source(source)) == name


def test_the_name_of_a_query_tells_queries_apart_without_their_literals():
    one, other = (
        describe(parse_source(f"sql://w/SELECT * FROM t WHERE mail = '{who}@x.org'")) for who in ("ann", "bob")
    )

    assert one != other
    assert one.startswith("sql://w (query ")
    assert "ann" not in one


# --- CSV ---


def test_csv_values_stay_text_and_empty_ones_are_none(write):
    path = write("t.csv", 'id,text,n\nt1,"two\nlines, and ""quotes""",007\nt2,,\n')

    assert rows_of(path)[0].number == 2
    assert values_of(path) == [
        {"id": "t1", "text": 'two\nlines, and "quotes"', "n": "007"},
        {"id": "t2", "text": None, "n": None},
    ]
    assert rows_of(path)[1].number == 4


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_byte_order_mark_blanks_in_the_header_and_blank_lines_are_skipped(write, ending):
    path = write("t.csv", "\ufeffid , text\n\nt1,é\n\n".replace("\n", ending))

    assert values_of(path) == [{"id": "t1", "text": "é"}]
    assert rows_of(path)[0].number == 3


@pytest.mark.parametrize(
    ("name", "options", "content"),
    [
        ("t.tsv", {}, b"id\ttext\nt1\ta,b\n"),
        ("t.csv", {"delimiter": ";"}, b"id;text\nt1;a,b\n"),
        ("t.csv", {"delimiter": ";", "encoding": "utf-16"}, "id;text\nt1;a,b\n".encode("utf-16")),
        ("t.txt", {"format": "csv"}, b'id,text\nt1,"a,b"\n'),
        ("t.csv.gz", {}, gzip.compress(b'id,text\nt1,"a,b"\n', mtime=0)),
    ],
)
def test_other_dialects_are_read(write, name, options, content):
    assert values_of({"path": write(name, content)} | options) == [{"id": "t1", "text": "a,b"}]


def test_cp1252_is_read_when_it_is_stated_and_explained_when_it_is_not(write):
    path = write("t.csv", "id,text\nt1,ok\nt2,Größe\n".encode("cp1252"))
    rows = read_rows(parse_source(path), connection=no_connection)

    assert next(rows).values == {"id": "t1", "text": "ok"}
    with pytest.raises(SourceError, match=r'byte 0xf6 at offset 19 \(line 3\).*"encoding": "cp1252"'):
        next(rows)
    assert values_of({"path": path, "encoding": "cp1252"})[1] == {"id": "t2", "text": "Größe"}


def test_the_offset_of_a_wrong_byte_counts_the_byte_order_mark(write):
    content = "\ufeffid,t".encode() + b"\xff\n"
    path = write("t.csv", content)

    with pytest.raises(SourceError, match=f"byte 0xff at offset {content.index(0xFF)} "):
        rows_of(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: not even a header"),
        (b"\n\r\n", "is empty: not even a header"),
        (b"id,name,id\n1,2,3\n", "has the column 'id' more than once"),
        (b"id,,name\n1,2,3\n", "column 2 of .* has no name"),
        (b"id;name\n1;2\n", 'delimiter": ";"'),
        (b"id\tname\n1\t2\n", r'delimiter": "\\t"'),
        (b'id,"name\n1,2\n', "the header of .* cannot be read: a quote opens"),
        (b"id,name\r1,2\r", "carriage return"),
        ("id,name\n1,2\n".encode("utf-16"), '"encoding": "utf-16"'),
        ("id,name\n1,2\n".encode("utf-16-le"), '"encoding": "utf-16-le"'),
        (b"PK\x03\x04\x14\x00\xff\xfe", "is a ZIP or Excel file"),
        (gzip.compress(b"id\n1\n", mtime=0), "is a gzip file"),
    ],
)
def test_a_csv_that_cannot_be_read_as_a_whole_says_why(write, content, said):
    with pytest.raises(SourceError, match=said):
        rows_of(write("t.csv", content))


def test_a_header_alone_is_no_rows(write):
    assert rows_of(write("t.csv", "id,text\n")) == []


def test_a_bad_row_is_a_problem_with_its_line_and_reading_goes_on(write):
    rows = rows_of(write("t.csv", 'id,text\nt1,a,b\nt2\nt3,"x" y\nt4,a\0b\n,\nt5,fine\n'))

    assert [(row.number, row.values) for row in rows] == [
        (2, None),
        (3, None),
        (4, None),
        (5, None),
        (7, {"id": "t5", "text": "fine"}),
    ]
    assert [row.problem for row in rows[:4]] == [
        "has 3 fields where the header has 2",
        "has 1 field where the header has 2",
        "a quoted field goes on after its closing quote (a quote inside must be doubled)",
        "text: holds a NUL character",
    ]


def test_every_line_that_an_open_quote_swallows_is_told(write):
    rows = rows_of(write("t.csv", 'id,text\nt1,fine\nt2,"open\nt3,lost\nt4,lost\n'))

    assert [row.number for row in rows] == [2, 3, 4, 5]
    assert rows[1].problem == "a quote opens and never closes"
    assert rows[3].problem == "cannot be told from line 3, where a quote opens and never closes"


def test_lines_up_to_a_broken_closing_quote_are_told_and_the_next_line_is_read(write):
    rows = rows_of(write("t.csv", 'id,text\nt1,"open\nt2,lost\nt3,"lost"\nt4,fine\n'))

    assert [(row.number, row.values) for row in rows[-1:]] == [(5, {"id": "t4", "text": "fine"})]
    assert [row.number for row in rows if row.problem] == [2, 3, 4]


def test_no_problem_repeats_a_value(write):
    rows = rows_of(write("t.csv", 'id,text\nAnna,"Anna" Anna\nAnna\nAnna,A\0nna,Anna\n'))

    assert len(rows) == 3
    assert "Anna" not in " ".join(row.problem for row in rows)


_cell = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(table=st.lists(st.tuples(_cell, st.one_of(st.none(), _cell)), max_size=8))
def test_what_python_writes_as_csv_comes_back(write, table):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])

    assert [(row["a"], row["b"]) for row in values_of(write("t.csv", text.getvalue()))] == table


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150)
@given(body=st.text(st.sampled_from('ab",\n'), max_size=60))
def test_no_line_of_a_broken_csv_is_lost(write, body):
    """Each line that is not blank is told as a row, as a problem, or lies within the quotes of the row before."""
    rows = rows_of(write("t.csv", "x,y\n" + body + "\n"))
    numbers = [row.number for row in rows]

    assert numbers == sorted(set(numbers))
    lines = ("x,y\n" + body + "\n").split("\n")
    for number, line in enumerate(lines[:-1], start=1):
        if number > 1 and line.strip(',"') and number not in numbers:
            before = max((row for row in rows if row.number < number), key=lambda row: row.number)
            inside = sum(str(value).count("\n") for value in (before.values or {}).values())
            assert before.problem or before.number + inside >= number


# --- JSON ---


def test_json_lines_keep_their_types_and_a_bad_line_is_a_problem(write):
    lines = [
        '\ufeff{"id": 1, "tags": ["a"], "price": 1.5, "none": null}',
        "",
        '{"id": 2',
        "[1, 2]",
        '{"id": NaN}',
        '{"id": 1e999}',
        '{"id": 1, "id": 2}',
        '{"deep": {"text": "\\u0000"}}',
        '{"text": "\\ud800"}',
        '{"id": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"id": 9}',
    ]
    rows = rows_of(write("t.jsonl", "\n".join(lines)))

    assert rows[0].values == {"id": 1, "tags": ["a"], "price": 1.5, "none": None}
    assert rows[-1].values == {"id": 9}
    assert [row.number for row in rows] == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert [row.problem for row in rows[2:8]] == [
        "is a list, not an object with fields",
        "is not JSON: NaN is no JSON",
        "is not JSON: a number is too large",
        "is not JSON: a field occurs twice in one object",
        "deep: holds a NUL character",
        "text: holds half of a character (a lone surrogate)",
    ]
    assert all(row.values is None for row in rows[1:-1])


def test_no_lines_are_no_rows(write):
    assert rows_of(write("t.ndjson", "")) == []


@pytest.mark.parametrize(
    ("document", "options"),
    [
        ([{"id": 1}, {"id": 2}], {}),
        ({"items": [{"id": 1}, {"id": 2}]}, {}),
        ({"data": [{"id": 1}, {"id": 2}], "count": 2}, {}),
        ({"tickets": [{"id": 1}, {"id": 2}], "data": []}, {"items": "tickets"}),
    ],
)
def test_a_json_document_holds_its_rows_in_a_list(write, document, options):
    path = write("t.json", json.dumps(document, indent=1))

    assert values_of({"path": path} | options) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"tickets": []}', "without a list in 'items', 'data', 'results'. Its fields: 'tickets'"),
        ("3", "is a number, and a list of objects was expected"),
        ("[{}", "is not JSON"),
        ("", "is not JSON"),
    ],
)
def test_a_json_document_without_rows_says_what_it_is(write, content, said):
    with pytest.raises(SourceError, match=said):
        rows_of(write("t.json", content))


def test_a_json_document_that_is_too_large_is_refused_before_it_is_parsed(write, monkeypatch):
    monkeypatch.setattr("interlock.engine.sources.source_format.MAX_JSON_BYTES", 2**20)
    path = write("t.json", json.dumps([{"id": number} for number in range(100_000)], indent=1))

    with pytest.raises(SourceError, match=r"larger than 1 MiB\. Send JSON lines"):
        rows_of(path)


# --- Parquet ---


@pytest.fixture
def parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    def write(columns, **options):
        path = tmp_path / "t.parquet"
        parquet.write_table(pyarrow.table(columns), path, **options)
        return path

    return write


def test_parquet_rows_keep_their_types(parquet):
    path = parquet({"id": [1, 2], "text": ["a", None], "tags": [["x"], []]})

    assert values_of(path) == [{"id": 1, "text": "a", "tags": ["x"]}, {"id": 2, "text": None, "tags": []}]


def test_a_number_that_is_none_is_a_problem_of_its_row(parquet):
    rows = rows_of(parquet({"id": [1, 2], "price": [float("nan"), 2.0]}))

    assert [(row.number, row.problem) for row in rows] == [(1, "price: is not a finite number"), (2, None)]


def test_parquet_is_read_batch_by_batch(parquet):
    path = parquet({"id": list(range(5000))}, row_group_size=500)
    rows = read_rows(parse_source(path), connection=no_connection)

    assert [next(rows).number for _ in range(3)] == [1, 2, 3]
    assert sum(1 for _ in rows) == 4997


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_damaged_parquet_file_is_a_source_error(parquet, keep):
    path = parquet({"id": list(range(5000))})
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        rows_of(path)


def test_parquet_damaged_in_the_middle_is_a_source_error(parquet):
    path = parquet({"text": [f"text {number}" for number in range(50_000)]}, compression="zstd")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)

    with pytest.raises(SourceError, match="cannot be read as Parquet after row"):
        rows_of(path)


# --- where a file is ---


def test_a_relative_path_is_looked_for_in_the_base_and_then_in_the_working_directory(tmp_path, monkeypatch):
    base, here = tmp_path / "base", tmp_path / "here"
    for folder, text in ((base, "base"), (here, "here")):
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "t.csv").write_text(f"id\n{text}\n")
    (here / "only.csv").write_text("id\nhere\n")
    monkeypatch.chdir(here)

    assert values_of("data/t.csv", base=base) == [{"id": "base"}]
    assert values_of("only.csv", base=base) == [{"id": "here"}]
    assert values_of("data/t.csv") == [{"id": "here"}]


def test_a_missing_file_names_where_it_was_looked_for_and_what_comes_near(write, tmp_path, monkeypatch):
    write("tickets.csv", "id\n")
    monkeypatch.chdir("/")

    with pytest.raises(SourceError) as caught:
        rows_of("ticket.csv", base=tmp_path)
    said = str(caught.value)

    assert f"there is no file '{tmp_path}/ticket.csv' and '/ticket.csv'" in said
    assert f"In '{tmp_path}' there is 'tickets.csv'" in said


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(SourceError, match=f"not even a folder '{tmp_path}/no/where'; '{tmp_path}' is there"):
        rows_of(tmp_path / "no" / "where" / "t.csv")


def test_a_folder_is_no_file_and_its_files_are_named(write, tmp_path):
    write("tickets.csv", "id\n")

    with pytest.raises(SourceError, match=r"is a folder, and a file is needed. In .* there is 'tickets.csv'"):
        rows_of({"path": str(tmp_path), "format": "csv"})


@pytest.mark.parametrize("content", [b"id\n1\n", gzip.compress(b"id\n" + bytes(range(256)) * 200, mtime=0)[:-30]])
def test_a_damaged_gzip_file_is_a_source_error(write, content):
    with pytest.raises(SourceError):
        rows_of({"path": write("t.csv.gz", content), "encoding": "latin-1"})


# --- rows given inline, and memory ---


def test_inline_rows_are_rows():
    rows = rows_of({"rows": [{"id": 1}, 7, {"n": float("inf")}]})

    assert [(row.number, row.values, row.problem) for row in rows] == [
        (1, {"id": 1}, None),
        (2, None, "is a number, not an object with fields"),
        (3, None, "n: is not a finite number"),
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_memory_does_not_grow_with_the_file(write, name):
    import tracemalloc

    line = "t1," + "x" * 1000 + "\n" if name == "t.csv" else json.dumps({"id": "t1", "text": "x" * 1000}) + "\n"
    path = write(name, ("id,text\n" if name == "t.csv" else "") + line * 20_000)
    rows = read_rows(parse_source(path), connection=no_connection)
    next(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 19_999
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000
