"""
Opening the ledger's database: SQLite in WAL mode, or PostgreSQL.

A write transaction on SQLite begins with ``BEGIN IMMEDIATE``: with the plain ``BEGIN`` two tasks that read and then
write would meet as "database is locked" without waiting. No connection is kept between transactions on SQLite, because
the LocalExecutor forks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from interlock.errors import ConfigurationError, LedgerError, LedgerUnavailable, UnfitValue

BUSY_SECONDS = 60
"""How long a writer waits for another on SQLite."""
MOUNTS = Path("/proc/self/mounts")
"""Where Linux says which file system is where."""
_NETWORK = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ceph", "ceph-fuse", "glusterfs", "lustre", "gpfs"),
    *("sshfs", "s3fs", "gcsfuse", "blobfuse", "blobfuse2", "rclone", "davfs", "davfs2", "beegfs", "ncpfs", "coda"),
}


def open_database(url: str | URL) -> Engine:
    """
    Return an engine for *url*: ``sqlite:////absolute/path.db`` or ``postgresql://user@host/name``.

    :raises ConfigurationError: another database, or a path that cannot hold one.
    """
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(parsed)
    if backend == "postgresql":
        driver = parsed if "+" in parsed.drivername else parsed.set(drivername="postgresql+psycopg")
        return create_engine(driver, pool_size=2, max_overflow=4, pool_pre_ping=True)
    raise ConfigurationError(f"the ledger cannot live in {backend!r}; use sqlite or postgresql")


def _open_sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        folder = Path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the ledger's folder {str(folder)!r} cannot be made: {error.strerror}") from error
        if (disk := network_disk(folder)) is not None:
            raise ConfigurationError(
                f"the ledger's folder {str(folder)!r} is on a network disk ({disk}), where SQLite's locks and its "
                "write-ahead log do not hold, so cases could be lost or sent twice. Move the file to a local disk, or "
                "give the ledger a PostgreSQL database"
            )
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("interlock_read_only", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def sqlite_file(url: str) -> str:
    """Return the file of the SQLite database at *url*; empty: it is another one, or none."""
    try:
        parsed = make_url(url)
    except ArgumentError:  # who opens it will say so
        return ""
    return str(parsed.database or "") if parsed.get_backend_name() == "sqlite" else ""


def network_disk(folder: Path) -> str | None:
    """Return the kind of the network file system that *folder* is on; None: it is local, or the system does not say."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    real, kind, longest = folder.resolve(), "", -1
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = Path(fields[1].replace("\\040", " ").replace("\\011", "\t"))
        if (real == place or place in real.parents) and len(place.parts) >= longest:  # the last mount of a place counts
            kind, longest = fields[2], len(place.parts)
    return kind if kind.removeprefix("fuse.") in _NETWORK else None


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the database's errors into the ledger's, saying whether another attempt can help."""
    try:
        yield
    except OperationalError as error:
        message = str(error.orig).split("\n")[0]
        if "no such table" in message or "no such column" in message:
            raise _not_migrated(message) from error
        raise LedgerUnavailable(f"the ledger did not answer: {message}. Nothing was recorded; try again.") from error
    except (DataError, OverflowError, UnicodeEncodeError) as error:  # the driver names the value: we do not
        raise UnfitValue("", f"the ledger cannot hold a value that it was given ({type(error).__name__})") from error
    except DBAPIError as error:
        message = str(error.orig).split("\n")[0]
        if "does not exist" in message and ("relation" in message or "column" in message):
            raise _not_migrated(message) from error
        raise LedgerError(f"the ledger refused: {message}") from error


def _not_migrated(message: str) -> LedgerError:
    return LedgerError(f"the ledger's tables are missing or old ({message}). Run: airflow interlock ledger migrate")
