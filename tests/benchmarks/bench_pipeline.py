"""
Intake, embedded classifier and branch of the shipped workflow over more and more cases: does a case's cost grow?

Each size runs in a process of its own on a new SQLite ledger; the classifier is trained once and not counted. The
ratios are of CPU time, which other work on the machine changes least. The peer is what the rows cost SQLite alone: the
same rows, once more, into the same tables and indexes by ``executemany``, without the updates in between. Run:
``python tests/benchmarks/bench_pipeline.py [sizes …]`` (1000 and 10000 when left out; 100000 takes some minutes).
"""

from __future__ import annotations

import csv
import multiprocessing
import platform
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

STAGES = ("intake", "triage", "route")


def wiring() -> Any:
    """Return the part of the shipped Dag that is measured."""
    from interlock.domain.cases.wiring import WiredTask, Wiring

    branches = dict.fromkeys(("auto", "review", "billing", "fallback"), "end")
    tasks = [
        WiredTask(task_id="intake", kind="intake", downstream=("triage",), contract="Ticket"),
        WiredTask(task_id="triage", kind="role", downstream=("route",), agent="intent_classifier", contract="Triage"),
        WiredTask(task_id="route", kind="branch", downstream=("end",), branches=branches),
        WiredTask(task_id="end", kind="validation", downstream=("gate", "send")),
        WiredTask(task_id="send", kind="execution", routes=("auto",), connector="outbox"),
        WiredTask(task_id="gate", kind="gate", gate="support_lead"),
    ]
    return Wiring({task.task_id: task for task in tasks})


def rows(count: int) -> Iterator[Any]:
    """Yield *count* rows, of the training texts over and over, each with a key of its own."""
    from interlock.domain.data.source import SourceRow

    with (PROJECT / "include/support_triage/data/train.csv").open(encoding="utf-8") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)]
    for number, text in enumerate(islice(cycle(texts), count), start=1):
        yield SourceRow(number=number, values={"ticket_id": f"B-{number:07d}", "text": text})


def insert_again(ledger: Path, copy: Path) -> float:
    """Write every row of *ledger* to a new file and return the CPU seconds of the inserts."""
    source, target = sqlite3.connect(ledger), sqlite3.connect(copy, isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    named = "FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    for (sql,) in source.execute(f"SELECT sql {named} ORDER BY type = 'trigger'"):
        target.execute(sql)
    seconds = 0.0
    for (table,) in source.execute(f"SELECT name {named} AND type = 'table'").fetchall():
        rows = source.execute(f'SELECT * FROM "{table}"')
        statement = f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(rows.description))})'
        while part := rows.fetchmany(500):
            started = time.process_time()
            target.execute("BEGIN IMMEDIATE")
            target.executemany(statement, part)
            target.execute("COMMIT")
            seconds += time.process_time() - started
    return seconds


def measure(count: int, cache: str, pipe: Any) -> None:
    """Send wall seconds by stage, the CPU seconds of all, those of the rows alone, and the peak memory in MB."""
    from interlock.agents.load import load_agent
    from interlock.engine.agents.role import Role, run_role
    from interlock.engine.cases.intake import take_in_rows
    from interlock.engine.routing.branch import route_cases
    from interlock.engine.runs.session import Session, open_session
    from interlock.ledger.store.ledger import Ledger
    from interlock.ledger.store.migrate import migrate
    from sealing import SEAL
    from workflows import put_in_force

    from include.support_triage.contracts import Ticket, Triage

    include = PROJECT / "include"
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test", seal=SEAL)
        migrate(ledger.engine)
        put_in_force(ledger, include, "support_triage")

        def session(task: str) -> Session:
            return open_session(
                ledger,
                workflow="support_triage",
                dag_id="bench",
                run_id="r",
                task_id=task,
                wiring=wiring(),
                include=include,
            )

        triage = session("triage")
        declared = triage.version.bundle.agents["intent_classifier"]
        agent = load_agent("intent_classifier", declared, triage.files, cache=Path(cache))
        agent.prepare()
        took, busy = {}, time.process_time()
        for stage, work in {
            "intake": lambda: take_in_rows(session("intake"), rows(count), contract=Ticket, source="bench"),
            "triage": lambda: run_role(triage, agent, Role("reasoning", Triage)),
            "route": lambda: route_cases(session("route")),
        }.items():
            started = time.perf_counter()
            work()
            took[stage] = time.perf_counter() - started
        busy = time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        raw = insert_again(Path(folder) / "ledger.db", Path(folder) / "raw.db")
    pipe.send((took, busy, raw, peak))


def main() -> None:
    """Print the table."""
    sizes = [int(size) for size in sys.argv[1:]] or [1_000, 10_000]
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")
    stages = "".join(f"{stage:>9}" for stage in STAGES)
    print(f" cases {stages}   cases/s  CPU ms a case  ratio  rows alone  times  peak MB")
    smallest = None
    with tempfile.TemporaryDirectory() as cache:
        for size in sizes:
            here, there = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(size, cache, there))
            process.start()
            took, busy, raw, peak = here.recv()
            process.join()
            each = busy / size * 1000
            smallest = smallest or each
            print(
                f"{size:7d}"
                + "".join(f"{took[stage]:7.2f} s" for stage in STAGES)
                + f"{size / sum(took.values()):10.0f}{each:15.3f}{each / smallest:7.2f}"
                + f"{raw / size * 1000:12.3f}{busy / raw:7.1f}{peak:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
