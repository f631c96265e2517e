"""A run reads with the rights of a worker, so what a source may name is bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.data.source import parse_source
from interlock.engine.sources.source import read_rows
from interlock.engine.sources.source_access import SourceAccess, database_files
from interlock.engine.sources.source_sql import one_select, refuse_writing
from interlock.errors import ConfigurationError, SourceError
from servers.row_server import Reply, RowServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that lies in AIRFLOW_HOME, as in Astro's images."""
    for name, text in {
        "include/desk/data/inbox.csv": "id\nr1\n",
        "keys.json": '[{"id": "secret"}]',
        "airflow.cfg": "id\nsecret\n",
        "airflow.db-wal": "id\nsecret\n",
        "logs/run/attempt=1.jsonl": '{"id": "secret"}\n',
        "outbox/r1.json": '[{"id": "secret"}]',
        "include/desk/data/.env.csv": "id\nsecret\n",
        "include/desk/prompts/judge.csv": "id\nsecret\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def access(home: Path, *roots: str) -> SourceAccess:
    closed = [home / name for name in ("keys.json", "airflow.cfg", "logs", "outbox")]
    return SourceAccess(
        roots=(str(home / "include/desk/data"), *(root if "://" in root else str(home / root) for root in roots)),
        hosts=("127.0.0.1:1",),
        closed=(*closed, *database_files([home / "airflow.db"])),
    )


def ids(source: Any, home: Path, *roots: str, **given: Any) -> list[Any]:
    rows = read_rows(
        parse_source(source), connection=lambda name: None, base=home, access=access(home, *roots), **given
    )
    return [(row.values or {})["id"] for row in rows]


def refused(source: Any, home: Path, *roots: str, **given: Any) -> str:
    with pytest.raises((SourceError, ConfigurationError)) as caught:
        ids(source, home, *roots, **given)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_a_file_below_a_root_is_read(home: Path):
    assert ids("include/desk/data/inbox.csv", home) == ["r1"]
    assert ids({"path": f"file://{home}/include/desk/data/inbox.csv"}, home) == ["r1"]


@pytest.mark.parametrize(
    "path",
    [
        "keys.json",
        "include/desk/data/../../../keys.json",
        "include/desk/prompts/judge.csv",
        "/etc/hosts.csv",
        "~/x.csv",
        "nothing/there.csv",
        {"path": "/proc/self/environ", "format": "csv"},
        {"path": "file:///etc/passwd", "format": "csv"},
    ],
)
def test_a_file_elsewhere_is_refused_with_what_may_be_read_and_what_to_do(home: Path, path: Any):
    said = refused(path, home)

    assert "is not in a folder that runs may read" in said
    assert str(home / "include/desk/data") in said
    assert "[interlock] source_roots" in said


def test_a_refusal_says_nothing_of_what_is_there(home: Path):
    present, absent = refused("keys.json", home), refused("keyz.json", home)

    assert present.replace("keys", "keyz") == absent


def test_links_lead_nowhere_else(home: Path):
    data = home / "include/desk/data"
    (data / "link.json").symlink_to(home / "keys.json")
    (data / "folder").symlink_to(home)
    (data / "good.csv").symlink_to(data / "inbox.csv")

    assert "is not in a folder" in refused("include/desk/data/link.json", home)
    assert "is not in a folder" in refused("include/desk/data/folder/keys.json", home)
    assert ids("include/desk/data/good.csv", home) == ["r1"]


def test_what_belongs_to_airflow_is_never_read_even_below_a_root(home: Path):
    os.link(home / "keys.json", home / "include/desk/data/hard.json")
    paths = ["keys.json", "logs/run/attempt=1.jsonl", "outbox/r1.json", "include/desk/data/.env.csv"]
    paths += ["include/desk/data/hard.json"]
    for path in paths:
        assert "is never read by a run" in refused(path, home, "."), path
    for path in ("airflow.cfg", "airflow.db-wal"):
        assert "is never read by a run" in refused({"path": path, "format": "csv"}, home, "."), path
    assert ids("include/desk/prompts/judge.csv", home, ".") == ["secret"], "what the root holds beside it"


def test_a_single_file_may_be_a_root(home: Path):
    (home / "mine.csv").write_text("id\nr7\n")

    assert ids(str(home / "mine.csv"), home, "mine.csv") == ["r7"]


def test_what_is_no_file_is_not_waited_for(home: Path):
    os.mkfifo(home / "include/desk/data/pipe.csv")

    assert "is no file, but a pipe" in refused("include/desk/data/pipe.csv", home)


@pytest.mark.parametrize(
    "path",
    [
        "local:///etc/passwd",
        "memory://a.csv",
        "http://x/a.csv",
        "s3://b/a.csv::file:///etc/passwd",
        "simplecache::s3://b/a.csv",
    ],
)
def test_an_address_that_is_in_no_store_is_no_object(home: Path, path: str):
    def storage(address: str, conn_id: str | None) -> Any:
        raise AssertionError("it was opened")

    assert "is no file and in no store" in refused({"path": path, "format": "csv"}, home, storage=storage)


def test_an_object_is_read_through_a_connection_or_below_a_root(home: Path):
    class Object:
        name = "a.csv"

        def is_file(self) -> bool:
            return True

        def stat(self) -> os.stat_result:
            return os.stat(home / "include/desk/data/inbox.csv")

        def open(self, mode: str) -> Any:
            return (home / "include/desk/data/inbox.csv").open(mode)

    def storage(address: str, conn_id: str | None) -> Any:
        return Object()

    assert "with the worker's own rights" in refused("s3://bucket/in/a.csv", home, storage=storage)
    assert "with the worker's own rights" in refused(
        "s3://bucket/in/../b/a.csv", home, "s3://bucket/in", storage=storage
    )
    assert "with the worker's own rights" in refused("s3://bucket/inner/a.csv", home, "s3://bucket/in", storage=storage)
    assert ids("s3://conn@bucket/in/a.csv", home, storage=storage) == ["r1"]
    assert ids("s3://bucket/in/a.csv", home, "s3://bucket/in", storage=storage) == ["r1"]


def test_an_open_address_is_asked_on_declared_hosts_alone(home: Path):
    with RowServer({"/rows": [Reply([{"id": 1}])]}) as server:
        assert "is not one that runs may ask" in refused(server.url("/rows"), home)
        assert "[interlock] source_hosts" in refused("http://169.254.169.254/latest/meta-data", home)
        assert server.asked == []
        declared = SourceAccess(roots=(), hosts=(server.url("").removeprefix("http://"),))
        rows = read_rows(parse_source(server.url("/rows")), connection=lambda name: None, access=declared)
        assert [row.values for row in rows] == [{"id": 1}]


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "file:///etc/passwd", "//localhost/rows"])
def test_a_redirection_leads_to_no_other_host(target: str):
    with RowServer({"/rows": [Reply(status=302, headers={"Location": target})]}) as server:
        with pytest.raises(SourceError, match=r"another host|no address"):
            list(read_rows(parse_source(server.url("/rows")), connection=lambda name: None))
        assert len(server.asked) == 1


@pytest.mark.parametrize("path", ["../admin", "a/%2e%2e/../admin", "..\\admin"])
def test_a_path_leads_not_out_of_its_connections_address(path: str):
    class Fields:
        host, schema, port, login, password, extra = "http://127.0.0.1:1/api", None, None, None, None, None

    with pytest.raises(SourceError, match="leads out of the address"):
        list(read_rows(parse_source({"http": path, "conn_id": "c"}), connection=lambda name: Fields))


# --- queries of databases that are not told to let nothing but reading pass ---


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 'a\\'' INTO OUTFILE '/tmp/x' -- '",
        "SELECT 1 /*! INTO OUTFILE '/tmp/x' */",
        "SELECT 1 --1 INTO OUTFILE '/tmp/x'",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone",
        "WITH x AS (SELECT 1) UPDATE t SET a = 1",
        "SELECT * INTO copy_of_t FROM t",
        "SELECT 1 $$; DROP TABLE t $$",
        "SELECT * FROM OPENROWSET('x', 'y', 'z')",
    ],
)
def test_a_query_that_could_write_is_refused_by_its_words(query: str):
    with pytest.raises(SourceError, match="a source only reads"):
        refuse_writing(query, "MySQLdb")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, updated_at, replace(a, 'delete; this', 'b') FROM t WHERE note = 'insert into'",
        'SELECT "update", `set` FROM t',
        "WITH x AS (SELECT 1) SELECT * FROM x",
    ],
)
def test_a_query_that_only_reads_is_no_less_one_for_what_it_quotes(query: str):
    refuse_writing(query, "MySQLdb")


def test_a_second_statement_behind_an_escaped_quote_is_one():
    with pytest.raises(SourceError, match="these are several"):
        one_select("SELECT E'a\\'' ; COMMIT; DELETE FROM t; -- '")
