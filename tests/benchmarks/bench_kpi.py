"""
How long the figures of a workflow take: ``python tests/benchmarks/bench_kpi.py [--cases N ...] [--postgresql]``.

The rows are those that 100,000 cases in ten runs leave, which are some million events: each case with a handoff, a
decision, a model's call of its own price, and an effect; every seventh with a vote, every second with an outcome. They
are written without their events, which no figure reads. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))
sys.path.insert(0, str(Path(__file__).parent))

from bench_ledger import new_ledger
from interlock.domain.base.canonical import digest
from interlock.engine.reports.value import cost_report, kpi_report
from interlock.ledger.store import schema
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import new_id
from sqlalchemy import insert, text

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WORKFLOW = """
workflow: bench
title: Bench
owner: {name: a, email: a@example.com}
maintainer: {name: a, email: a@example.com}
approver: {name: a, email: a@example.com}
intake: {contract: Ticket, key: id}
contracts: [Ticket]
kpis: {straight_through_rate: {baseline: 0.5}}
"""
NAMED = {"environment": "bench", "workflow": "bench"}
AT_ONCE = 2000


def start(ledger: Ledger, runs: int) -> tuple[str, list[str]]:
    """Write a version in force and *runs* runs; return their ids."""
    version, bundle = new_id(), {"workflow": "bench", "files": {"workflow.yaml": WORKFLOW}, "data": {}, "contracts": {}}
    said = {"number": 1, "digest": digest(bundle), "author": "person:b", "reason": "bench", "bundle": bundle}
    ids = [new_id() for _ in range(runs)]
    with ledger.engine.begin() as connection:
        connection.execute(insert(schema.workflow_version), [{"id": version, **NAMED, **said, "published_at": NOW}])
        force = {"version_id": version, "since": NOW - timedelta(days=30), "set_by": "person:b"}
        connection.execute(insert(schema.version_in_force), [{"id": new_id(), **NAMED, **force}])
        began = {"dag_id": "bench", "version_id": version, "wiring": {}, "is_resume": False, "revision": 1}
        connection.execute(
            insert(schema.workflow_run),
            [{"id": run, **NAMED, **began, "run_id": run, "started_at": NOW - timedelta(days=9)} for run in ids],
        )
    return version, ids


def write(ledger: Ledger, cases: int) -> None:
    """Write what *cases* cases leave."""
    version, runs = start(ledger, 10)
    for first in range(0, cases, AT_ONCE):
        tables: dict[str, list[dict[str, Any]]] = {}
        for number in range(first, min(first + AT_ONCE, cases)):
            write_case(tables, number, version, runs[number * len(runs) // cases])
        with ledger.engine.begin() as connection:
            for name, rows in tables.items():
                connection.execute(insert(schema.metadata.tables[name]), rows)
    with ledger.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()


def write_case(tables: dict[str, list[dict[str, Any]]], number: int, version: str, run: str) -> None:
    """Add the rows of one case."""

    def add(table: str, **row: Any) -> str:
        row_id = str(row.setdefault("id", new_id()))
        tables.setdefault(table, []).append(row)
        return row_id

    of_run = {"run_id": run, "created_at": NOW - timedelta(days=1)}
    reviewed = number % 7 == 0
    case = add(
        "case",
        **NAMED,
        business_key=f"T-{number:08}",
        state="executed",
        route="review" if reviewed else "auto",
        run_id=run,
        attempt=0,
        contract="Ticket@1",
        payload_digest=digest(number),
        context={},
        source=f"inbox.csv, row {number}",
        due_at=NOW + timedelta(days=1),
        opened_at=NOW - timedelta(days=2, seconds=number % 5000),
        changed_at=NOW,
        revision=1,
    )
    body = digest([number, "said"])
    tables.setdefault("payload", []).append(
        {"case_id": case, "digest": body, "body": {"intent": f"i{number % 20}", "text": "what was said of it " * 10}}
    )
    tables.setdefault("label", []).append(
        {"case_id": case, "field": "intent", "value": f"i{number % 21}", "source": "inbox.csv"}
    )
    fixed = dict.fromkeys(("contract_digest", "agent_digest", "input_digest", "key", "payload_digest"), body)
    handoff = add(
        "handoff",
        case_id=case,
        task="triage",
        contract="Triage@1",
        contract_name="Triage",
        agent="sorter",
        confidence=0.9,
        provenance={},
        **fixed,
        **of_run,
    )
    decision = add(
        "decision",
        case_id=case,
        task="route",
        attempt=1,
        rule="certain enough",
        route="fallback" if number % 9 == 0 else "auto",
        version_id=version,
        inputs_digest=body,
        handoff_id=handoff,
        decided_by="policy",
        **of_run,
    )
    request = ""
    if reviewed:
        request = add(
            "gate_request",
            case_id=case,
            gate="leads",
            run_id=run,
            task="sign_off",
            action="outbox",
            payload_digest=body,
            seen_digest=body,
            votes_needed=1,
            voters=["alice"],
            version_id=version,
            state="approved",
            opened_at=NOW - timedelta(days=1),
            decided_at=NOW - timedelta(hours=number % 20),
            revision=1,
        )
        add(
            "vote",
            request_id=request,
            case_id=case,
            person="alice",
            answer="approve",
            seen_digest=body,
            way="api",
            created_at=NOW - timedelta(hours=number % 20),
            stage_order=1,
        )
    grant = add(
        "authorisation",
        case_id=case,
        action="outbox",
        payload_digest=body,
        basis=f"gate_request:{request}" if reviewed else f"decision:{decision}",
        version_id=version,
        created_at=NOW,
        revision=1,
    )
    tables.setdefault("effect", []).append(
        {
            "key": digest([number, "effect"]),
            "case_id": case,
            "run_id": run,
            "task": "send",
            "action": "outbox",
            "payload_digest": body,
            "authorisation_id": grant,
            "state": "committed",
            "attempts": 1,
            "intended_at": NOW - timedelta(hours=1),
            "committed_at": NOW - timedelta(hours=1, seconds=number % 3000),
            "revision": 1,
        }
    )
    for kind, cost in (("model", Decimal(number) / 10**7), ("local", Decimal(0)), ("connector", Decimal("0.001"))):
        add(
            "usage",
            case_id=case,
            task="triage",
            agent="sorter",
            model="m",
            attempt=1 + (number % 50 == 0),
            input_tokens=800 + number % 300,
            output_tokens=90,
            cached_tokens=0,
            cost=cost,
            seconds=0.25,
            outcome="ok",
            kind=kind,
            **of_run,
        )
    if number % 2:
        told = {"recorded_by": "task:t", "source": "paid.csv", "created_at": NOW, "value": None}
        add("outcome", case_id=case, outcome="paid", happened_at=NOW, final_at=NOW + timedelta(days=14), **told)
        if number % 10 == 1:
            add("outcome", case_id=case, outcome="disputed", happened_at=NOW, final_at=None, **told)


def measure(backend: str, cases: int) -> dict[str, Any]:
    """Return one line of the table."""
    with new_ledger(backend) as made:
        ledger = Ledger(made.engine, "bench", lambda: NOW + timedelta(hours=1))
        write(ledger, cases)
        began, cpu = time.perf_counter(), time.process_time()
        (phase,) = kpi_report(ledger, "bench")["phases"]
        seconds, busy = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        cost_report(ledger, "bench")
        costs = time.perf_counter() - began
    known = [row for row in phase["kpis"] if row["value"] is not None]
    assert len(known) >= 15, "a figure without data takes no time"
    return {
        "database": backend,
        "cases": cases,
        "kpi s": f"{seconds:.2f}",
        "CPU s": f"{busy:.2f}",
        "cost s": f"{costs:.2f}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--postgresql", action="store_true", help="also on a PostgreSQL that is started for it")
    given = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, load {load}")
    lines = [
        measure(backend, cases)
        for backend in ("sqlite", *(["postgresql"] if given.postgresql else []))
        for cases in given.cases
    ]
    print("| " + " | ".join(lines[0]) + " |")
    print("| " + " | ".join("---" for _ in lines[0]) + " |")
    for line in lines:
        print("| " + " | ".join(map(str, line.values())) + " |")


if __name__ == "__main__":
    main()
