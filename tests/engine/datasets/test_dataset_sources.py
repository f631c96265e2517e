"""Where datasets come from, and sources that are not whole."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from interlock.analysis.staging import staging
from interlock.domain.data.dataset import Dataset
from interlock.domain.data.source import SourceRow, parse_source
from interlock.engine.datasets.dataset_source import Reach, take_in
from interlock.engine.sources.source import read_rows
from interlock.errors import SourceError, UnknownName
from interlock.hooks.storage import object_path
from workflows import Workflow, rows

COLUMNS = {"id": "integer", "day": "date", "amount": "decimal"}
GOOD = [{"id": n, "day": f"2026-03-{n:02}", "amount": f"{n}.50"} for n in range(1, 21)]


def dataset(source: Any) -> Dataset:
    return Dataset(source=source, time="day", columns=COLUMNS)


def taken(source: Any, *, base: Path = Path(), **reach: Any) -> list[tuple[Any, ...]]:
    with staging(dataset(source)) as staged:
        take_in(staged, source, Reach(connection=reach.pop("connection", lambda c: None), base=base, **reach))
        staged.type_rows()
        assert staged.count_aside() == 0
        return staged.rows_of("SELECT id, amount FROM rows ORDER BY id")


def write_csv(path: Path) -> Path:
    path.write_text("id,day,amount\n" + "".join(f"{r['id']},{r['day']},{r['amount']}\n" for r in GOOD))
    return path


def write_parquet(path: Path) -> Path:
    import pandas

    pandas.DataFrame(GOOD).to_parquet(path)
    return path


def write_json_lines(path: Path) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in GOOD))
    return path


WRITERS = {"csv": write_csv, "parquet": write_parquet, "jsonl": write_json_lines}


def bucket(folder: Path) -> Callable[[str, str | None], Any]:
    """Return what opens ``s3://bucket/…`` in *folder*, all the way through Airflow's object storage."""
    return lambda address, conn_id: object_path(address.replace("s3://bucket", f"file://{folder}"))


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_and_an_object_give_the_same_rows(tmp_path: Path, ending: str):
    path = WRITERS[ending](tmp_path / f"lines.{ending}")

    by_path = taken(str(path))
    by_store = taken({"path": f"s3://bucket/{path.name}"}, storage=bucket(tmp_path))

    assert by_path == by_store
    assert len(by_path) == 20
    assert str(by_path[0][1]) == "1.5000"


def test_an_intake_reads_an_object(tmp_path: Path):
    write_csv(tmp_path / "lines.csv")
    spec = parse_source("s3://bucket/lines.csv")

    found = list(read_rows(spec, connection=lambda c: None, storage=bucket(tmp_path)))

    assert [row.values["id"] for row in found if row.values] == [str(n) for n in range(1, 21)]


def test_an_object_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SourceError, match=r"there is no object 's3://bucket/nothing.csv'"):
        taken("s3://bucket/nothing.csv", storage=bucket(tmp_path))


def test_an_address_may_name_its_connection():
    spec = parse_source("s3://warehouse@bucket/a/lines.csv")

    assert (spec.path, spec.conn_id) == ("s3://bucket/a/lines.csv", "warehouse")


def test_rows_and_a_query_are_sources(tmp_path: Path):
    database = tmp_path / "lines.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE lines (id INTEGER, day TEXT, amount TEXT)")
        connection.executemany("INSERT INTO lines VALUES (:id, :day, :amount)", GOOD)
    warehouse = SimpleNamespace(conn_type="sqlite", host=str(database), extra="", schema=None, login=None)

    by_query = taken("sql://warehouse/SELECT * FROM lines", connection=lambda conn_id: warehouse)

    assert by_query == taken({"rows": GOOD})
    assert len(by_query) == 20


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("csv", "ends in the middle of line 21: 2 of 3 fields"),
        ("parquet", "Was it written to its end"),
        ("jsonl", "ends in the middle of line 20: no whole object"),
    ],
)
def test_a_file_that_is_cut_is_not_read_as_if_it_were_whole(tmp_path: Path, ending: str, said: str):
    path = WRITERS[ending](tmp_path / f"lines.{ending}")
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(SourceError, match=said):
        taken(str(path))


def test_a_file_that_is_cut_within_quotes_is_told(tmp_path: Path):
    path = tmp_path / "lines.csv"
    path.write_text('id,day,amount\n1,2026-03-01,2\n2,2026-03-02,"3')

    with pytest.raises(SourceError, match="ends in the middle of line 3: a quote is open"):
        taken(str(path))


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch):
    """The writer is still at work: it touches the file after the reader has looked at it."""
    path = WRITERS[ending](tmp_path / f"lines.{ending}")
    from interlock.engine.sources import source_file

    looked = source_file._look

    def write_on(place: Any) -> Any:
        found = looked(place)
        os.utime(path, ns=(found[1] + 1, found[1] + 1))
        return found

    monkeypatch.setattr(source_file, "_look", write_on)
    with pytest.raises(SourceError, match="changed while it was read"):
        taken(str(path))


def test_the_ledgers_own_cases_are_a_dataset_without_what_they_say(tmp_path: Path, sqlite_ledger: Any):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to("draft", rows("please sure=0.95", "perhaps sure=0.1"))
    declared = Dataset(
        source="ledger://cases",
        time="opened_at",
        columns={
            "case_id": "string",
            "workflow": "string",
            "state": "string",
            "route": "string",
            "opened_at": "datetime",
            "confidence": "number",
            "minutes_open": "number",
            "minutes_waiting": "number",
            "is_done": "boolean",
            "is_late": "boolean",
        },
        key=("case_id",),
    )
    with staging(declared) as staged:
        take_in(staged, declared.source, Reach(connection=lambda c: None, base=tmp_path, ledger=sqlite_ledger))
        staged.type_rows()
        found = staged.rows_of("SELECT workflow, route, confidence FROM rows ORDER BY confidence DESC")
        assert staged.rows_of("SELECT is_done, is_late, minutes_waiting >= 0 FROM rows") == [(False, False, True)] * 2
        assert staged.count_aside() == 0
        assert staged.newest_at() <= datetime.now(UTC)
        columns = staged.found

    assert found[0] == ("refunds", "auto", 0.95)
    assert len(found) == 2
    assert not {"text", "payload", "business_key"} & set(columns)


def test_a_view_that_the_ledger_has_not_is_told(sqlite_ledger: Any, tmp_path: Path):
    with pytest.raises(UnknownName, match="Did you mean 'cases'"):
        taken("ledger://case", ledger=sqlite_ledger)


def test_calls_of_agents_are_rows_too(sqlite_ledger: Any):
    from interlock.engine.sources.ledger_source import own_rows

    found: list[SourceRow] = list(own_rows(sqlite_ledger, "ledger://usage"))

    assert found == []
