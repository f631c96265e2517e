"""
A role over many cases behind a slow model, ledger on, against what the latency allows and against one task a case.

A server in a process of its own answers each call after a fixed time; the ideal is cases / in flight × latency. The
peer is common-ai's ``LLMOperator``, mapped over its own cases in a real Airflow with LocalExecutor and SQLite, against
the same server. Ours is the role's own time, without process start and imports; "with one task's start" adds what a
task of the peer takes beyond its call. The peer's CPU is all that its Airflow used from the run's start to its end.
Run: ``python tests/benchmarks/bench_model.py [cases] [in_flight] [latency] [--ours]``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

PEER_CASES = 100
PARALLELISM = 8
"""Tasks of the peer at once."""
PEER_DAG = """
from airflow.providers.common.ai.operators.llm import LLMOperator
from airflow.sdk import dag


@dag(dag_id="peer", schedule=None)
def peer():
    LLMOperator.partial(task_id="judge", llm_conn_id="slow_model").expand(
        prompt=[f"What is this about? message {{number}}" for number in range({cases})]
    )


peer()
"""


def serve(latency: float, pipe: Any) -> None:
    """Answer every call after *latency* seconds until the process is ended, and tell how many came."""
    from servers.openai_like import OpenAILike

    with OpenAILike({"kind": "refund"}) as server:
        server.before_answer = lambda body: time.sleep(latency)
        pipe.send(server.base_url)
        while pipe.recv() != "end":
            pipe.send(server.total)


@contextmanager
def slow_model(latency: float) -> Iterator[tuple[str, Any]]:
    """Yield the address of the server and a pipe to it."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, there), daemon=True)
    server.start()
    yield here.recv(), here
    here.send("end")
    server.join(10)


def measure(base_url: str, cases: int, in_flight: int) -> dict[str, float]:
    """Return seconds and CPU seconds of one role over *cases*."""
    from interlock.agents.load import load_agent
    from interlock.ledger.store.ledger import Ledger
    from interlock.ledger.store.migrate import migrate
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from sealing import SEAL
    from workflows import AGENTS, Workflow, rows

    declared = (
        "judge: {kind: model, conn_id: llm, model: 'openai-chat:gpt-4o-mini', prompt: prompts/judge.md.j2, "
        f"timeout_seconds: 30, concurrency: {in_flight}}}"
    )
    agents = AGENTS.replace('judge: {kind: function, function: "workflows:judge"}', declared, 1)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test", seal=SEAL)
        migrate(ledger.engine)
        workflow = Workflow(Path(folder), ledger, agents=agents)
        workflow.write("prompts/judge.md.j2", "What is this about? {{ case.text }}")
        workflow.publish()
        workflow.intake(rows(*[f"message {number}" for number in range(cases)]))
        session = workflow.session("judge")
        agent = load_agent(
            "judge",
            session.version.bundle.agents["judge"],
            session.files,
            cache=Path(folder),
            resolve_model=lambda conn_id, model: OpenAIChatModel(
                "gpt-4o-mini", provider=OpenAIProvider(base_url=base_url, api_key="none")
            ),
        )
        started, cpu = time.perf_counter(), time.process_time()
        done = workflow.role("judge", agent=agent, session=session)["done"]
        took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    assert done == cases, done
    return took


def cpu_of_children() -> float:
    """Return the CPU seconds of all processes below this one, and of those that they have waited for."""
    seconds = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])  # its own and its children's, user and system
    return seconds


def measure_peer(base_url: str, cases: int) -> dict[str, float]:
    """
    Return the seconds of a run of the peer over *cases*, from its start to its end, and of the median task; and the CPU
    seconds of that Airflow meanwhile.
    """
    from live_airflow import live_airflow

    connection = {
        "conn_type": "pydanticai",
        "host": base_url,
        "password": "none",
        "extra": {"model": "openai-chat:gpt-4o-mini"},
    }
    with tempfile.TemporaryDirectory() as folder:
        dags = Path(folder) / "dags"
        dags.mkdir()
        (dags / "peer.py").write_text(PEER_DAG.format(cases=cases))
        with live_airflow(
            Path(folder) / "home",
            dags_folder=dags,
            parallelism=PARALLELISM,
            environment={"AIRFLOW_CONN_SLOW_MODEL": json.dumps(connection)},
        ) as airflow:
            airflow.client.wait_for_dag("peer")
            before = cpu_of_children()
            run_id = airflow.trigger("peer")
            state = airflow.wait_for_run("peer", run_id, timeout_seconds=60 + 20 * cases)
            cpu = cpu_of_children() - before
            run = airflow.client.call("GET", f"/api/v2/dags/peer/dagRuns/{run_id}")
            tasks = airflow.task_instances("peer", run_id)
    assert state == "success", state
    assert [task["state"] for task in tasks] == ["success"] * cases
    seconds = (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])).total_seconds()
    return {"seconds": seconds, "task": statistics.median(task["duration"] for task in tasks), "cpu": cpu}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="?", type=int, default=1000)
    parser.add_argument("in_flight", nargs="?", type=int, default=64)
    parser.add_argument("latency", nargs="?", type=float, default=1.0)
    parser.add_argument("--ours", action="store_true", help="leave the peer out")
    given = parser.parse_args()
    cases, in_flight, latency = given.cases, given.in_flight, given.latency
    load = os.getloadavg()[0]
    with slow_model(latency) as (base_url, server):
        ours = measure(base_url, cases, in_flight)
        peer = None if given.ours else measure_peer(base_url, PEER_CASES)
        server.send("how many")
        assert server.recv() == cases + (PEER_CASES if peer else 0)
    ideal = cases / in_flight * latency
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, load {load:.1f}, {datetime.now(UTC):%Y-%m-%d}")
    print("cases  in flight  latency   seconds     ideal   ratio   CPU ms a case   cases a second")
    print(
        f"{cases:5d}  {in_flight:9d}  {latency:5.1f} s  {ours['seconds']:8.2f}  {ideal:8.2f}  "
        f"{ours['seconds'] / ideal:6.3f}  {ours['cpu'] / cases * 1000:14.2f}  {cases / ours['seconds']:15.2f}"
    )
    if peer:
        rate = PEER_CASES / peer["seconds"]
        # In an Airflow our role is one task, which starts as slowly as each of the peer's.
        start = max(peer["task"] - latency, 0.0)
        print(f"\nLLMOperator mapped over {PEER_CASES} cases, LocalExecutor, SQLite, parallelism {PARALLELISM}")
        print(
            "seconds   median task   cases a second   ours / peer   with one task's start   CPU ms a case   peer / ours"
        )
        print(
            f"{peer['seconds']:7.1f}  {peer['task']:10.1f} s  {rate:15.2f}  {cases / ours['seconds'] / rate:12.1f}"
            f"  {cases / (ours['seconds'] + start) / rate:22.1f}  {peer['cpu'] / PEER_CASES * 1000:14.0f}"
            f"  {peer['cpu'] / PEER_CASES / (ours['cpu'] / cases):12.0f}"
        )


if __name__ == "__main__":
    main()
