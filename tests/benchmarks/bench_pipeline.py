"""
Intake, embedded classifier and branch of the shipped workflow over more and more cases: does a case's cost grow?

Each size runs in a process of its own on a new SQLite ledger; the classifier is trained once and not counted. Run:
``python tests/benchmarks/bench_pipeline.py [sizes …]`` (1000 and 10000 when left out; 100000 takes some minutes).
"""

from __future__ import annotations

import csv
import multiprocessing
import platform
import resource
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
    from interlock.domain.wiring import WiredTask, Wiring

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
    from interlock.domain.source import SourceRow

    with (PROJECT / "include/support_triage/data/train.csv").open(encoding="utf-8") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)]
    for number, text in enumerate(islice(cycle(texts), count), start=1):
        yield SourceRow(number=number, values={"ticket_id": f"B-{number:07d}", "text": text})


def measure(count: int, cache: str, pipe: Any) -> None:
    """Send seconds by stage and the peak memory in MB."""
    from interlock.agents.load import load_agent
    from interlock.engine.branch import route_cases
    from interlock.engine.intake import take_in_rows
    from interlock.engine.role import Role, run_role
    from interlock.engine.session import Session, open_session
    from interlock.ledger.book import Ledger
    from interlock.ledger.migrate import migrate
    from workflows import put_in_force

    from include.support_triage.contracts import Ticket, Triage

    include = PROJECT / "include"
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test")
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
        took = {}
        for stage, work in {
            "intake": lambda: take_in_rows(session("intake"), rows(count), contract=Ticket, source="bench"),
            "triage": lambda: run_role(triage, agent, Role("reasoning", Triage)),
            "route": lambda: route_cases(session("route")),
        }.items():
            started = time.perf_counter()
            work()
            took[stage] = time.perf_counter() - started
    pipe.send((took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    """Print the table."""
    sizes = [int(size) for size in sys.argv[1:]] or [1_000, 10_000]
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")
    print(" cases   " + "".join(f"{stage:>9}" for stage in STAGES) + "   cases/s   ms a case   ratio   peak MB")
    smallest = None
    with tempfile.TemporaryDirectory() as cache:
        for size in sizes:
            here, there = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(size, cache, there))
            process.start()
            took, memory = here.recv()
            process.join()
            seconds = sum(took.values())
            each = seconds / size * 1000
            smallest = smallest or each
            print(
                f"{size:7d}  "
                + "".join(f"{took[stage]:7.2f} s" for stage in STAGES)
                + f"  {size / seconds:8.0f}  {each:10.3f}  {each / smallest:6.2f}  {memory:8.0f}"
            )


if __name__ == "__main__":
    main()
