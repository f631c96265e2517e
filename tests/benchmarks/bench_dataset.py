"""
A dataset of five million rows from CSV and from Parquet: seconds and peak memory, beside pandas and Great Expectations.

Each run has a process of its own, so that its peak memory is its own. Ours does more: it casts with checks, puts rows
aside, keeps the last row of a key, holds the dataset against its declaration and writes the snapshot.

    python tests/benchmarks/bench_dataset.py --rows 5000000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SUITE = {
    "suite": "orders",
    "expectations": [
        {"expect": "column_values_to_not_be_null", "column": "vendor"},
        {"expect": "column_values_to_be_unique", "column": "order_id"},
        {"expect": "column_values_to_be_in_set", "column": "currency", "value_set": ["USD"]},
        {"expect": "column_values_to_be_between", "column": "amount", "min_value": 0, "max_value": 100_000},
        {"expect": "column_values_to_match_regex", "column": "vendor", "regex": "^V-[0-9]{4}$"},
        {"expect": "column_sum_to_be_between", "column": "amount", "min_value": 0},
    ],
}
COLUMNS = {
    "order_id": "integer",
    "ordered_on": "date",
    "vendor": "string",
    "category": "string",
    "quantity": "integer",
    "price": "decimal",
    "amount": "decimal",
    "currency": "string",
}

PATIENCE = 300
"""Seconds after which a run is given up."""


def make(folder: Path, rows: int) -> None:
    import duckdb

    database = duckdb.connect()
    database.execute(
        "CREATE VIEW orders AS SELECT i AS order_id, "
        f"DATE '2024-01-01' + CAST(i * 700 // {rows} AS INTEGER) AS ordered_on, "
        "printf('V-%04d', i * 7919 % 5000) AS vendor, "
        "['office', 'travel', 'software', 'parts'][1 + i * 31 % 4] AS category, "
        "CAST(1 + i % 9 AS INTEGER) AS quantity, "
        "CAST(5 + i * 104729 % 39500 / 100.0 AS DECIMAL(18, 2)) AS price, "
        f"quantity * price AS amount, 'USD' AS currency FROM range({rows}) AS numbers(i)"
    )
    database.execute(f"COPY orders TO '{folder}/orders.csv' (HEADER)")
    database.execute(f"COPY orders TO '{folder}/orders.parquet'")


def ours(path: Path) -> dict[str, Any]:
    from interlock.analysis.staging import staging
    from interlock.domain.data.dataset import Dataset
    from interlock.domain.data.quality import parse_suite
    from interlock.engine.datasets.dataset_check import check_staged
    from interlock.engine.datasets.dataset_source import Reach, take_in
    from interlock.engine.datasets.reading import Beside
    from interlock.engine.datasets.snapshot import Snapshots

    dataset = Dataset(source=str(path), time="ordered_on", columns=COLUMNS, key=("order_id",))
    steps, since = {}, time.perf_counter()

    def step(name: str) -> None:
        nonlocal since
        steps[name] = round(time.perf_counter() - since, 1)
        since = time.perf_counter()

    with staging(dataset) as staged:
        take_in(staged, str(path), Reach(connection=lambda conn_id: None, base=path.parent))
        step("read")
        staged.type_rows()
        step("type")
        staged.read_as_of(datetime(2030, 1, 1, tzinfo=UTC))
        step("as of, key")
        beside = Beside(lambda source: iter(()), None, Snapshots(path.parent))
        results = check_staged("orders", staged, datetime(2030, 1, 1, tzinfo=UTC), parse_suite(SUITE), beside)
        assert all(result.passed for result in results), results
        step("check")
        staged.write_rows(path.parent / "snapshot.parquet")
        step("snapshot")
    return steps


def peer(path: Path) -> dict[str, Any]:
    import pandas
    from interlock.domain.data.quality import parse_suite
    from interlock.quality.check import check_frame

    since = time.perf_counter()
    frame = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
    read = time.perf_counter()
    assert check_frame(parse_suite(SUITE), frame).passed
    return {"read": round(read - since, 1), "check": round(time.perf_counter() - read, 1)}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", type=int, default=5_000_000)
    asked.add_argument("--run", nargs=2)
    given = asked.parse_args()
    if given.run:
        since = time.perf_counter()
        steps = {"ours": ours, "peer": peer}[given.run[0]](Path(given.run[1]))
        seconds, peak = time.perf_counter() - since, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": round(seconds, 1), "peak MB": round(peak), **steps}))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.rows)
        for name in ("orders.csv", "orders.parquet"):
            size = (Path(folder) / name).stat().st_size / 1e6
            print(f"{name}: {given.rows:,} rows, {size:.0f} MB")
            for which in ("ours", "peer"):
                command = [sys.executable, __file__, "--run", which, f"{folder}/{name}"]
                try:
                    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
                    told = done.stdout.strip() or done.stderr.strip().splitlines()[-1:]
                except subprocess.TimeoutExpired:
                    told = f"not done after {PATIENCE} s"
                print(f"  {which}: {told}", flush=True)


if __name__ == "__main__":
    main()
