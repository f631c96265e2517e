import os
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from interlock.domain.data.source import parse_source
from interlock.engine.sources.source import read_rows
from interlock.engine.sources.source_sql import one_select
from interlock.errors import LedgerUnavailable, SourceError


@dataclass
class Fields:
    """What an Airflow connection shows of itself."""

    conn_type: str = "sqlite"
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    extra: str | None = None


@pytest.fixture
def warehouse(tmp_path):
    path = tmp_path / "warehouse.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE ticket (id TEXT, text TEXT, price REAL)")
        database.executemany(
            "INSERT INTO ticket VALUES (?, ?, ?)", [(f"t{n:04}", None if n == 2 else "hi", n / 2) for n in range(2500)]
        )
    return Fields(host=str(path))


def rows_of(query, fields):
    spec = parse_source({"sql": query, "conn_id": "wh"})
    return list(read_rows(spec, connection={"wh": fields}.__getitem__))


def test_rows_of_a_query_come_in_order_and_numbered(warehouse):
    rows = rows_of("SELECT id, text, price FROM ticket ORDER BY id;", warehouse)

    assert [row.number for row in rows] == list(range(1, 2501))
    assert rows[2].values == {"id": "t0002", "text": None, "price": 1.0}


def test_a_query_as_text_names_its_connection(warehouse):
    spec = parse_source("sql://wh/SELECT count(*) AS n FROM ticket WHERE text LIKE 'h%'")
    (row,) = read_rows(spec, connection={"wh": warehouse}.__getitem__)

    assert row.values == {"n": 2499}


def test_a_query_without_rows_gives_none(warehouse):
    assert rows_of("SELECT id FROM ticket WHERE 1 = 0", warehouse) == []


def test_a_value_that_nothing_can_store_is_a_problem_of_its_row(warehouse):
    rows = rows_of("SELECT 1 AS a, 9e999 AS b UNION ALL SELECT 2, 2.0", warehouse)

    assert [row.problem for row in rows] == ["b: is not a finite number", None]


def test_what_the_database_says_comes_with_the_query(warehouse):
    with pytest.raises(SourceError, match="no such table: tickets") as caught:
        rows_of("SELECT id\nFROM tickets", warehouse)

    assert "The query: SELECT id FROM tickets" in str(caught.value)
    assert not caught.value.retryable


def test_a_column_that_comes_twice_is_refused(warehouse):
    with pytest.raises(SourceError, match=r"gives the column 'id' more than once\. Name one with AS"):
        rows_of("SELECT a.id, b.id FROM ticket a JOIN ticket b USING (id)", warehouse)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT ';' AS a -- and; more",
        'select ";" /* ; delete */ from t;',
        "WITH x AS (SELECT 1) SELECT * FROM x ; ",
        "-- first\n(SELECT 1) UNION SELECT 2",
        "SELECT $tag$ ; $tag$",
    ],
)
def test_one_statement_that_reads_is_accepted(query):
    assert one_select(query) == query.strip().rstrip("; ")


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM ticket",
        "/* SELECT */ UPDATE ticket SET id = 1",
        "SELECT 1; DELETE FROM ticket",
        "SELECT '\\'; DELETE FROM ticket; --'",
        "SELECT 'open; DELETE FROM ticket",
        "PRAGMA journal_mode = DELETE",
        "-- nothing",
    ],
)
def test_a_statement_that_does_more_than_read_is_refused(query):
    with pytest.raises(SourceError, match=r"only reads|one statement"):
        one_select(query)


def test_a_query_that_writes_on_the_side_changes_nothing(warehouse):
    """SQLite takes WITH before DELETE, so the first word does not tell."""
    with pytest.raises(SourceError, match="attempt to write a readonly database"):
        rows_of("WITH x AS (SELECT 't0001' AS id) DELETE FROM ticket WHERE id IN (SELECT id FROM x)", warehouse)

    assert rows_of("SELECT count(*) AS n FROM ticket", warehouse)[0].values == {"n": 2500}


def test_an_unknown_connection_says_how_to_add_it():
    spec = parse_source("sql://wh/SELECT 1")

    with pytest.raises(SourceError, match="no Airflow connection 'wh'") as caught:
        list(read_rows(spec, connection={}.__getitem__))
    assert "airflow connections add wh" in str(caught.value)


def test_a_lookup_that_fails_may_work_later_and_our_own_errors_pass():
    def broken(conn_id):
        raise OSError("secrets backend is down")

    def ours(conn_id):
        raise LedgerUnavailable("no")

    spec = parse_source("sql://wh/SELECT 1")
    with pytest.raises(SourceError, match="could not be looked up: OSError: secrets backend is down") as caught:
        list(read_rows(spec, connection=broken))
    assert caught.value.retryable
    with pytest.raises(LedgerUnavailable):
        list(read_rows(spec, connection=ours))


def test_a_missing_database_file_is_told_and_not_made(tmp_path):
    with pytest.raises(SourceError, match=r"SQLite file .*no\.db' is not there"):
        rows_of("SELECT 1", Fields(host=str(tmp_path / "no.db")))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "said"), [("mysql", "apache-airflow-providers-mysql"), ("ftp", "to a database")])
def test_a_connection_that_no_driver_serves_says_what_to_install(kind, said):
    with pytest.raises(SourceError, match=said):
        rows_of("SELECT 1", Fields(conn_type=kind))


@dataclass
class WithHook(Fields):
    """A connection that has a hook, as Airflow's have when the provider is installed."""

    hook: Any = None

    def get_hook(self):
        return self.hook


class SqliteHook:
    def __init__(self, path):
        self.path = path
        self.opened = []

    def get_conn(self):
        self.opened.append(sqlite3.connect(self.path))
        return self.opened[-1]


def test_the_hook_of_the_connection_is_used_and_what_it_opened_is_closed(warehouse):
    hook = SqliteHook(warehouse.host)
    rows = read_rows(
        parse_source("sql://wh/SELECT id FROM ticket"), connection=lambda conn_id: WithHook(conn_type="any", hook=hook)
    )

    assert next(rows).values == {"id": "t0000"}
    rows.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        hook.opened[0].execute("SELECT 1")


def test_a_hook_that_opens_no_database_is_told():
    class HttpHook:
        def get_conn(self):
            return object()

    with pytest.raises(SourceError, match="of type 'http', which is no database"):
        rows_of("SELECT 1", WithHook(conn_type="http", hook=HttpHook()))


def test_an_airflow_connection_works_without_the_provider_of_its_type(warehouse, tmp_path):
    """With Airflow's own class; in a process of its own, because Airflow makes a home when it is imported."""
    code = """
        import sys
        from airflow.sdk import Connection
        from interlock.domain.data.source import parse_source
        from interlock.engine.sources.source import read_rows

        fields = Connection(conn_id="wh", conn_type="sqlite", host=sys.argv[1], extra='{"a": 1}')
        spec = parse_source("sql://wh/SELECT count(*) AS n FROM ticket")
        print([row.values for row in read_rows(spec, connection=lambda conn_id: fields)])
    """
    home = {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), warehouse.host],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | home | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert said.stdout.splitlines()[-1:] == ["[{'n': 2500}]"], said.stderr


# --- PostgreSQL ---


@pytest.fixture(scope="module")
def postgres(postgres):
    """The server's own database, as a connection."""
    return Fields(
        conn_type="postgres",
        host=postgres.host or postgres.query["host"],
        port=postgres.port,
        login=postgres.username,
        password=postgres.password,
        schema="postgres",
    )


def test_postgresql_values_come_as_the_driver_gives_them(postgres):
    (row,) = rows_of(
        "SELECT 1.50::numeric AS price, '2026-01-02T03:04:05Z'::timestamptz AS at, '{\"a\": [1]}'::jsonb AS more, "
        "'ab'::bytea AS raw, NULL AS none, '100%' AS share",
        postgres,
    )

    assert row.values == {
        "price": Decimal("1.50"),
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "more": {"a": [1]},
        "raw": b"ab",
        "none": None,
        "share": "100%",
    }


def test_postgresql_rows_are_not_all_made_before_the_first_is_taken(postgres):
    """A division by zero waits at row 5,000: whoever makes all rows first never gives the first one."""
    spec = parse_source("sql://wh/SELECT n, 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")
    rows = read_rows(spec, connection=lambda conn_id: postgres)

    assert next(rows).values == {"n": 1, "x": 0}
    with pytest.raises(SourceError, match="after 4000 rows: division by zero"):
        list(rows)


@pytest.mark.parametrize(
    "query", ["SELECT nothing FROM nowhere", "WITH x AS (SELECT 1) INSERT INTO pg_class SELECT * FROM x"]
)
def test_what_postgresql_refuses_is_a_source_error(postgres, query):
    with pytest.raises(SourceError, match="refused the query: ") as caught:
        rows_of(query, postgres)

    assert not caught.value.retryable


def test_postgresql_writes_nothing(postgres):
    with pytest.raises(SourceError, match="read-only transaction"):
        rows_of("SELECT lo_creat(-1) AS made", postgres)


def test_postgresql_that_is_away_may_be_back_later(postgres, tmp_path):
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        rows_of("SELECT 1", Fields(conn_type="postgres", host=str(tmp_path), login="ann", password="s3cret"))

    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)


def test_a_server_that_ends_the_query_is_away_and_not_wrong(postgres):
    with pytest.raises(SourceError, match="terminating connection") as caught:
        rows_of("SELECT pg_terminate_backend(pg_backend_pid()) AS x", postgres)

    assert caught.value.retryable
