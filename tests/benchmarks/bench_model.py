"""
A role over many cases behind a slow model, ledger on, against what the model's latency allows.

A server in a process of its own answers each call after a fixed time; the ideal is cases / in flight × latency. Process
start and imports are not counted. Run: ``python tests/benchmarks/bench_model.py [cases] [in_flight] [latency]``.
"""

from __future__ import annotations

import multiprocessing
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]


def serve(latency: float, pipe: Any) -> None:
    """Answer every call after *latency* seconds until the process is ended."""
    from servers.openai_like import OpenAILike

    with OpenAILike({"kind": "refund"}) as server:
        server.before_answer = lambda body: time.sleep(latency)
        pipe.send(server.base_url)
        pipe.recv()


def measure(cases: int, in_flight: int, latency: float) -> dict[str, float]:
    """Return seconds and CPU seconds of one role over *cases*, and the ideal."""
    from interlock.agents.load import load_agent
    from interlock.ledger.book import Ledger
    from interlock.ledger.migrate import migrate
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from workflows import AGENTS, Workflow, rows

    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, there), daemon=True)
    server.start()
    base_url = here.recv()
    declared = (
        "judge: {kind: model, conn_id: llm, model: 'openai-chat:gpt-4o-mini', prompt: prompts/judge.md.j2, "
        f"timeout_seconds: 30, concurrency: {in_flight}}}"
    )
    agents = AGENTS.replace('judge: {kind: function, function: "workflows:judge"}', declared, 1)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test")
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
    here.send("end")
    assert done == cases, done
    return took | {"ideal": cases / in_flight * latency}


def main() -> None:
    """Print the table."""
    given = sys.argv[1:]
    cases = int(given[0]) if given else 1000
    in_flight = int(given[1]) if len(given) > 1 else 64
    latency = float(given[2]) if len(given) > 2 else 1.0
    took = measure(cases, in_flight, latency)
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}")
    print("cases  in flight  latency   seconds     ideal   ratio   CPU ms a case")
    print(
        f"{cases:5d}  {in_flight:9d}  {latency:5.1f} s  {took['seconds']:8.2f}  {took['ideal']:8.2f}  "
        f"{took['seconds'] / took['ideal']:6.3f}  {took['cpu'] / cases * 1000:13.2f}"
    )


if __name__ == "__main__":
    main()
