"""
Sending effects to a server that takes a fixed time for each, against what the latency allows and a plain loop.

A server in a process of its own answers each request after a fixed time; the limit is in flight / latency. The plain
loop is ``httpx.Client`` with as many threads, which sends the same bodies and keeps no record; the rounds of both take
turns, and the median of each counts. Ours is all that the execution does: look at what is allowed, claim, send, commit,
record the calls. Run: ``python tests/benchmarks/bench_send.py [cases] [in_flight] [latency] [--rounds N]``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

ANSWER = b'{"id": "e-1"}'
REPLY = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)


def serve(latency: float, pipe: Any) -> None:
    """Answer every request after *latency* seconds until the process is ended."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
                await reader.readexactly(int(fields.get(b"content-length", 0)))
                await asyncio.sleep(latency)
                writer.write(REPLY)

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def slow_target(latency: float) -> Iterator[str]:
    """Yield the address of the server."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, theirs), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        server.terminate()
        server.join(10)


def measure(base_url: str, cases: int, in_flight: int) -> dict[str, float]:
    """Return seconds and CPU seconds of the execution of *cases*."""
    from interlock.connectors.http import HttpTarget
    from interlock.domain.effects.connector import ConnectionFields, HttpConnector
    from interlock.ledger.store.ledger import Ledger
    from interlock.ledger.store.migrate import migrate
    from workflows import Workflow, rows

    declared = HttpConnector(
        kind="http", conn_id="payout", path="/effects", look_path="/effects/{key}", in_flight=in_flight
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "test")
        migrate(ledger.engine)
        workflow = Workflow(Path(folder), ledger)
        workflow.up_to("send", rows(*[f"sure=0.95 message {number}" for number in range(cases)]))
        session = workflow.session("send")
        connector = HttpTarget("payout", declared, ConnectionFields(conn_id="payout", host=base_url))
        started, cpu = time.perf_counter(), time.process_time()
        counts = workflow.execute(connector=connector, session=session)
        took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
        connector.close()
    assert counts == {"sent": cases}, counts
    return took


def measure_plain(base_url: str, cases: int, in_flight: int) -> dict[str, float]:
    """Return seconds and CPU seconds of a loop that only sends."""
    import httpx

    with httpx.Client(base_url=base_url) as client, ThreadPoolExecutor(in_flight) as pool:

        def send(number: int) -> int:
            content = json.dumps({"text": f"About your refund: sure=0.95 message {number}"}).encode()
            headers = {"Idempotency-Key": str(number), "Content-Type": "application/json"}
            return client.post("/effects", content=content, headers=headers).status_code

        started, cpu = time.perf_counter(), time.process_time()
        statuses = set(pool.map(send, range(cases)))
        took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    assert statuses == {201}, statuses
    return took


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="?", type=int, default=2000)
    parser.add_argument("in_flight", nargs="?", type=int, default=16)
    parser.add_argument("latency", nargs="?", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cases, in_flight, latency = given.cases, given.in_flight, given.latency
    load = os.getloadavg()[0]
    found: dict[str, list[dict[str, float]]] = {"ours": [], "plain httpx": []}
    with slow_target(latency) as base_url:
        for _ in range(given.rounds):
            found["ours"].append(measure(base_url, cases, in_flight))
            found["plain httpx"].append(measure_plain(base_url, cases, in_flight))
    limit = in_flight / latency
    print(f"{platform.machine()}, {multiprocessing.cpu_count()} cores, load {load:.1f}, {datetime.now(UTC):%Y-%m-%d}")
    print(f"{cases} effects, {in_flight} in flight, {latency * 1000:g} ms each: {limit:.0f} a second at most")
    print("              effects a second   of the limit   CPU ms an effect")
    rates = {}
    for name, rounds in found.items():
        rates[name] = cases / statistics.median(each["seconds"] for each in rounds)
        cpu = statistics.median(each["cpu"] for each in rounds) / cases * 1000
        print(f"{name:12s}  {rates[name]:16.0f}  {rates[name] / limit:12.0%}  {cpu:17.2f}")
    print(f"ours / plain httpx: {rates['ours'] / rates['plain httpx']:.2f}")


if __name__ == "__main__":
    main()
