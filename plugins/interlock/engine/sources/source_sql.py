"""
A query through an Airflow connection as a source of rows.

The query may come from whoever starts a run, so it may only read: one statement that selects, in a read-only
transaction where the driver has one, and never committed. On PostgreSQL the rows come through a server-side cursor;
an ordinary one would bring the whole result into memory before the first row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from interlock.domain.data.source import ReadSummary, SqlSource
from interlock.engine.sources.source_access import SourceAccess
from interlock.engine.sources.source_connection import extra_of, look_up, unavailable
from interlock.engine.sources.source_format import Rows, row_of
from interlock.errors import SourceError

_BATCH = 1_000
_CONNECT_SECONDS = 30
_QUERY_SHOWN = 500

_PLAIN = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`"""
_BACKSLASH = r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`[^`]*`"""
"""As MySQL has texts, and PostgreSQL with an E before: a backslash takes what follows into the text."""
_COMMENTS = r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$"
_QUOTED, _ESCAPED = (re.compile(f"{texts}|{_COMMENTS}", re.DOTALL) for texts in (_PLAIN, _BACKSLASH))
_TEXTS = tuple(re.compile(texts, re.DOTALL) for texts in (_PLAIN, _BACKSLASH))
_READS = {"select", "with", "values", "table"}
_WRITES = {
    *("insert", "update", "delete", "merge", "into", "outfile", "dumpfile", "create", "drop", "alter", "truncate"),
    *(
        "grant",
        "revoke",
        "call",
        "exec",
        "execute",
        "copy",
        "attach",
        "load",
        "lock",
        "set",
        "begin",
        "commit",
        "upsert",
    ),
    *("load_file", "xp_cmdshell", "openrowset", "opendatasource", "openquery"),
}
_PACKAGES = {
    "postgres": "apache-airflow-providers-postgres, or psycopg",
    "sqlite": "apache-airflow-providers-sqlite",
    "mysql": "apache-airflow-providers-mysql",
    "mssql": "apache-airflow-providers-microsoft-mssql",
    "snowflake": "apache-airflow-providers-snowflake",
    "oracle": "apache-airflow-providers-oracle",
}


def read_sql(spec: SqlSource, connection: Callable[[str], Any], *, access: SourceAccess) -> Rows:
    """
    Yield the rows of the query, as the driver gives their values.

    :raises SourceError: the query does more than read, the database refuses it, or the connection does not work.
    """
    query = one_select(spec.sql)
    database = open_database(look_up(connection, spec.conn_id), spec.conn_id)
    number = 0
    try:
        try:
            cursor = _reading_cursor(database, query)
            cursor.execute(query)
            rows = cursor.fetchmany(_BATCH)
            names = [str(column[0]) for column in cursor.description or ()]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise SourceError(
                    f"the query gives the column {', '.join(map(repr, twice))} more than once. Name one with AS: "
                    f"{_shown(query)}"
                )
            while rows:
                for row in rows:
                    number += 1
                    access.check_rows(number, "the query")
                    yield row_of(number, dict(zip(names, map(_plain, row), strict=True)))
                rows = cursor.fetchmany(_BATCH)
        except SourceError:
            raise
        except Exception as error:  # each driver has an error class of its own
            after = f" after {number} rows" if number else ""
            failed = SourceError(
                f"the database of connection {spec.conn_id!r} refused the query{after}: "
                f"{str(error).strip() or type(error).__name__}. The query: {_shown(query)}"
            )
            failed.retryable = _is_outage(database, error)
            raise failed from error
    finally:
        with suppress(Exception):  # what matters has been raised already
            database.rollback()
        with suppress(Exception):
            database.close()
    return ReadSummary(columns=tuple(names))


def one_select(sql: str) -> str:
    """
    Return *sql* without a closing semicolon, once it is one statement that reads.

    :raises SourceError: it is another kind of statement, or several.
    """
    query = sql.strip().rstrip("; \n\t\r")
    bare = _QUOTED.sub(" ", query)
    words = re.findall(r"\w+", bare)
    if ";" in bare or ";" in _ESCAPED.sub(" ", query):
        raise SourceError(f"a source is one statement, and these are several: {_shown(query)}")
    if not words or words[0].lower() not in _READS:
        raise SourceError(
            f"a source only reads, so its query begins with SELECT or WITH. This one does not: {_shown(query)}"
        )
    return query


def refuse_writing(query: str, kind: str) -> None:
    """
    Refuse a query that could do more than read, by its words, for a database that is not told to let nothing else pass.

    Texts in quotes are none of its words, whichever way the database escapes a quote; comments are, because what is a
    comment to one database is run by another.

    :raises SourceError: it has such a word, or several statements.
    """
    for pattern in _TEXTS:
        bare = pattern.sub(" ", query)
        words = {word.lower() for word in re.findall(r"\w+", bare)} & _WRITES
        if ";" in bare or words:
            what = f"the word {', '.join(sorted(word.upper() for word in words))}" if words else "a semicolon"
            raise SourceError(
                f"a source only reads, and {kind or 'this database'} is not set to refuse the rest, so a query with "
                f"{what} outside of quotes is refused, in a comment too (put a name like it in quotes): {_shown(query)}"
            )


def open_database(fields: Any, conn_id: str) -> Any:
    """
    Return a DB-API connection: by the hook that Airflow has for the type, else directly for SQLite and PostgreSQL.

    :raises SourceError: no hook or driver is installed, it is no database, or it cannot be reached (retryable).
    """
    hook, why = None, "this kind has no hook"
    if callable(getattr(fields, "get_hook", None)):
        try:
            hook = fields.get_hook()
        except Exception as error:  # Airflow says so with its general exception, or the provider fails to import
            why = str(error)
    kind = str(getattr(fields, "conn_type", None) or "")
    try:
        if hook is not None and hasattr(hook, "get_conn"):
            database = hook.get_conn()
        elif kind == "sqlite":
            database = _open_sqlite(fields)
        elif kind in ("postgres", "postgresql"):
            database = _open_postgres(fields)
        else:
            package = _PACKAGES.get(kind)
            raise SourceError(
                f"connection {conn_id!r} is of type {kind!r}, and no database hook can be made of it: {why}. "
                + (f"Install {package}." if package else "Give a connection to a database.")
            )
    except (SourceError, ImportError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"connection {conn_id!r} needs {_PACKAGES.get(kind, error.name)}: {error}.") from error
    except Exception as error:  # each driver has an error class of its own
        raise unavailable(f"the database of connection {conn_id!r} cannot be opened: {str(error).strip()}") from error
    if not hasattr(database, "cursor"):
        raise SourceError(f"connection {conn_id!r} is of type {kind!r}, which is no database that takes SQL.")
    return database


def _open_sqlite(fields: Any) -> Any:
    import sqlite3

    path = Path(fields.host or fields.schema or "").expanduser().absolute()
    if not path.is_file():
        raise SourceError(f"the connection's SQLite file {str(path)!r} is not there. Its host is the path of the file.")
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def _open_postgres(fields: Any) -> Any:
    import psycopg

    options = {key: value for key, value in extra_of(fields).items() if key.startswith("ssl") or key == "options"}
    return psycopg.connect(
        host=fields.host or None,
        port=fields.port or None,
        user=fields.login or None,
        password=fields.password or None,
        dbname=fields.schema or None,
        connect_timeout=_CONNECT_SECONDS,
        **options,
    )


def _reading_cursor(database: Any, query: str) -> Any:
    """Return a cursor that can only read, by the database's own means; where we know none, *query* must look so."""
    driver = type(database).__module__.partition(".")[0]
    if driver == "sqlite3":
        database.execute("PRAGMA query_only = ON")
    elif driver == "psycopg":
        database.autocommit = False
        database.read_only = True
        return database.cursor(name="interlock_source")
    elif driver == "psycopg2":
        database.set_session(readonly=True, autocommit=False)
        return database.cursor("interlock_source")
    else:
        refuse_writing(query, driver)
    return database.cursor()


def _is_outage(database: Any, error: Exception) -> bool:
    """Return whether the server went away. Only PostgreSQL's drivers keep that apart from a query that is wrong."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return type(database).__module__.startswith("psycopg") and bool(names & {"OperationalError", "InterfaceError"})


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _shown(query: str) -> str:
    flat = " ".join(query.split())
    return flat if len(flat) <= _QUERY_SHOWN else flat[:_QUERY_SHOWN] + " …"
