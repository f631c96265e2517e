"""That a stored event stays as it is: the database refuses to change it, and a change past the database is found."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.errors import LedgerError
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import audit_event
from interlock.ledger.store.transaction import Actor
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from workflows import Workflow, rows

COLUMNS = ("chain", "number", "at", "kind", "subject", "body", "previous", "digest")


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    with ledger.write(actor=Actor("person", "ann"), chain="a") as tx:
        tx.tell("noted", "one", {})
        tx.tell("noted", "two", {})
    return ledger


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET kind = 'denied' WHERE number = 1",
        "UPDATE audit_event SET kind = kind",
        "DELETE FROM audit_event WHERE number = 2",
        "DELETE FROM audit_event",
    ],
)
def test_the_database_refuses_to_change_or_delete_an_event(told: Ledger, statement: str):
    with pytest.raises(DBAPIError, match="audit_event is append-only"), told.engine.begin() as connection:
        connection.execute(text(statement))

    assert verify(told).problems == []


@pytest.mark.postgres
def test_postgresql_refuses_to_empty_the_table(open_ledger):
    ledger = open_ledger("postgresql")

    with pytest.raises(DBAPIError, match="append-only"), ledger.engine.begin() as connection:
        connection.execute(text("TRUNCATE audit_event"))


def test_sqlite_refuses_to_replace_an_event(sqlite_ledger: Ledger):
    """INSERT OR REPLACE deletes the row that is in its way, and tells no delete trigger."""
    with sqlite_ledger.write(actor=Actor("person", "ann"), chain="a") as tx:
        tx.tell("noted", "one", {})

    replacing = "INSERT OR REPLACE INTO audit_event SELECT chain, number, at, 'x', subject, body, previous, digest"
    with pytest.raises(DBAPIError, match="append-only"), sqlite_ledger.engine.begin() as connection:
        connection.execute(text(f"{replacing} FROM audit_event"))


def test_the_ledger_says_so_in_its_own_words(told: Ledger):
    with pytest.raises(LedgerError, match="append-only"), told.write(actor=Actor("person", "x"), chain="b") as tx:
        tx.connection.execute(audit_event.delete())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """The file of a small ledger: a whole run, closed, without the triggers that would be in the way."""
    folder = tmp_path_factory.mktemp("small")
    path = folder / "ledger.db"
    shutil.copy(migrated_file, path)
    ledger = Ledger.open(f"sqlite:///{path}", "test")
    flow = Workflow(folder, ledger)
    flow.up_to("report", rows("sure=0.95 naïve 🚂", "not sure"))
    flow.report()
    assert verify(ledger).problems == []
    with sqlite3.connect(path) as raw:
        for trigger in ("no_update", "no_delete", "no_replace"):
            raw.execute(f"DROP TRIGGER audit_event_{trigger}")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    raw.close()
    return path


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_change_of_any_single_byte_of_any_column_of_an_event_is_found(small: Path, data: Any):
    copy = small.with_name("copy.db")
    for old in small.parent.glob("copy.db*"):
        old.unlink()
    shutil.copy(small, copy)
    raw = sqlite3.connect(copy, isolation_level=None)
    raw.text_factory = bytes
    column = data.draw(st.sampled_from(COLUMNS))
    places = [row for (row,) in raw.execute("SELECT rowid FROM audit_event ORDER BY rowid")]
    place = data.draw(st.sampled_from(places))
    [(before,)] = raw.execute(f"SELECT CAST({column} AS BLOB) FROM audit_event WHERE rowid = ?", (place,))
    index = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != before[index]))
    after = before[:index] + bytes([byte]) + before[index + 1 :]
    try:
        # as text: what the column makes of it is SQLite's own rule, and a number stays one where it looks like one
        raw.execute(f"UPDATE audit_event SET {column} = CAST(? AS TEXT) WHERE rowid = ?", (after, place))
    except sqlite3.IntegrityError:
        return  # there is such an event already, so the database itself refused
    finally:
        [(stored,)] = raw.execute(f"SELECT CAST({column} AS BLOB) FROM audit_event WHERE rowid = ?", (place,))
        raw.close()
    if stored == before:
        return  # "07" is 7: nothing was changed

    ledger = Ledger.open(f"sqlite:///{copy}", "test")
    assert verify(ledger).problems
