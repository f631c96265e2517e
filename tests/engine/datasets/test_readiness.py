"""What is proposed for a file holds for it, whether data is ready is told, and snapshots go when their time is over."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from interlock.analysis.profile import propose
from interlock.domain.base.contract import Contract
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.data.dataset import parse_datasets
from interlock.domain.data.quality import parse_suite
from interlock.domain.data.source import RowsSource, SourceRow, parse_source
from interlock.domain.policy.version import Bundle
from interlock.domain.policy.workflow import Intake
from interlock.engine.datasets.dataset_check import check_dataset
from interlock.engine.datasets.dataset_source import Reach
from interlock.engine.datasets.readiness import look_at_datasets, look_at_source
from interlock.engine.datasets.reading import read_dataset
from interlock.engine.datasets.retention import expired_snapshots
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.sources.source import read_rows
from interlock.engine.upkeep.upkeep import keep_up
from interlock.errors import SourceError
from interlock.ledger.store.ledger import Ledger
from workflows import Clock, Workflow

NOW = datetime(2026, 3, 20, tzinfo=UTC)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def orders(days: int = 14, *, without: int = -1) -> list[dict[str, Any]]:
    return [
        {
            "order": f"PO-{day * 10 + n:05}",
            "ordered": f"2026-03-{day + 1:02}",
            "kind": ["office", "travel"][n % 2],
            "postcode": f"0{1000 + n}",
            "amount": f"{n}.25",
            "remark": "" if n % 3 else "late",
        }
        for day in range(days)
        for n in range(10)
        if day != without
    ]


def proposed(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = read_rows(parse_source(str(path)), connection=lambda c: None)
    return propose(rows, name="orders", source=str(path))


def a_bundle(dataset: dict[str, Any], suite: dict[str, Any]) -> Bundle:
    texts = {"datasets.yaml": yaml.safe_dump(dataset), "expectations/orders.yaml": yaml.safe_dump(suite)}
    return Bundle("orders", texts)


def looked(bundle: Bundle, folder: Path, **more: Any) -> dict[str, Any]:
    [found] = look_at_datasets(bundle, Reach(connection=lambda c: None, base=folder), now=NOW, **more)
    return found


def test_what_is_proposed_parses_and_holds_for_the_same_file(tmp_path: Path):
    path = write(tmp_path / "orders.csv", orders())
    dataset, suite = proposed(path)

    declared = parse_datasets(dataset)["orders"]
    assert dict(declared.columns) == {
        "order": "string",
        "ordered": "date",
        "kind": "string",
        "postcode": "string",
        "amount": "decimal",
        "remark": "string",
    }
    assert (declared.time, declared.key) == ("ordered", ("order",))
    names = [item.title for item in parse_suite(suite).expectations]
    assert {"order has its form", "kind is one of those known", "amount is in its range"} <= set(names)
    found = looked(a_bundle(dataset, suite), tmp_path)
    assert (found["state"], found["rows"], found["put_aside"]) == ("fit", 140, 0)
    assert found["reasons"] == {"critical": [], "warning": [], "info": []}


def test_what_is_proposed_tells_a_file_that_is_not_like_it(tmp_path: Path):
    path = write(tmp_path / "orders.csv", orders())
    dataset, suite = proposed(path)
    write(path, [{**row, "kind": "ofice", "amount": "900000"} for row in orders()])

    found = looked(a_bundle(dataset, suite), tmp_path)

    assert found["state"] == "warned"
    assert len(found["reasons"]["warning"]) == 2


def test_a_file_without_a_time_is_told_and_nothing_is_guessed():
    with pytest.raises(SourceError, match="no column holds a date or a time"):
        propose([SourceRow(number=2, values={"a": "1", "b": "x"})], name="x", source="x.csv")


def test_readiness_tells_periods_and_gaps_and_what_is_not_fit(tmp_path: Path):
    path = write(tmp_path / "orders.csv", orders(14, without=9))
    dataset, suite = proposed(path)
    bundle = a_bundle(dataset, suite)

    found = looked(bundle, tmp_path)
    assert found["state"] == "warned"
    assert found["periods"]["grain"] == "day"
    assert found["periods"]["empty"] == ["2026-03-10"]
    path.unlink()
    gone = looked(bundle, tmp_path)
    assert gone["state"] == "withheld"
    assert "there is no file" in " ".join(gone["reasons"]["critical"])


def test_a_source_of_cases_is_held_against_the_contract():
    class Refund(Contract):
        refund_id: str
        amount: float

    rows = [{"refund_id": "1", "amount": 1}, {"refund_id": "1", "amount": 2}, {"refund_id": "2", "amount": "much"}]
    settings = Intake(contract="Refund", key="refund_id")
    reach = Reach(connection=lambda c: None, base=Path())

    found = look_at_source(RowsSource(rows=rows), reach, contract=Refund, settings=settings)

    assert (found["state"], found["rows"], found["fit"]) == ("warned", 3, 2)
    assert any("amount" in problem for problem in found["problems"])
    assert any("comes again" in problem for problem in found["problems"])


def test_snapshots_go_when_their_time_is_over_and_no_younger_reading_names_them(tmp_path: Path, sqlite_ledger: Ledger):
    clocked = Ledger(sqlite_ledger.engine, "test", Clock(NOW))
    flow = Workflow(tmp_path, clocked)
    flow.wiring = Wiring({"read": WiredTask(task_id="read", kind="data", dataset="orders")})
    path = tmp_path / "orders.csv"
    flow.write(
        "datasets.yaml",
        f"orders: {{source: {path}, time: ordered, columns: {{order: string, ordered: date}}, drift: info, kept: 30d}}",
    )
    flow.publish()
    snapshots = Snapshots(tmp_path / "snapshots")

    def read(run: str, days: int) -> str:
        write(path, orders(days))
        session = flow.session("read", run=run)
        read_dataset(session, "orders", connection=lambda c: None, snapshots=snapshots, check=check_dataset)
        return str(_snapshot_of(flow, run))

    old, shared = read("a", 3), read("b", 4)
    clocked.clock.now += timedelta(days=20)
    assert read("c", 4) == shared, "the same rows are the same snapshot"
    clocked.clock.now += timedelta(days=11)

    assert expired_snapshots(clocked) == {old}
    assert keep_up(clocked, snapshots=snapshots) == {"snapshots_deleted": 1}
    assert [file.stem for file in (tmp_path / "snapshots").iterdir()] == [shared]
    assert keep_up(clocked, snapshots=snapshots) == {}


def _snapshot_of(flow: Workflow, run: str) -> str:
    from interlock.ledger.facts.fact import readings_of
    from interlock.ledger.runs.run import find_run

    found = find_run(flow.ledger, "refunds", run)
    assert found is not None
    with flow.ledger.read() as connection:
        return str(readings_of(connection, found.id)["orders"].snapshot)
