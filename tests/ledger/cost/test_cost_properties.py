"""The parts of the cost report are the ledger's rows, each once, over histories of any kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.domain.reports.cost import FATES, KINDS
from interlock.engine.reports.value import cost_report
from interlock.ledger.cost.usage_row import CONNECTOR, LOCAL, MACHINE, MODEL, PEOPLE
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import case, outcome, usage, workflow_run
from interlock.ledger.store.transaction import new_id
from sqlalchemy import delete, insert
from workflows import NAME, WORKFLOW, Clock, Workflow

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 4, 1, tzinfo=UTC)
AMOUNTS = st.decimals(0, 1000, places=12) | st.just(Decimal("0.1")) | st.just(Decimal("0.000000000001"))
DAYS = st.integers(0, 89)
A_COST = st.fixed_dictionaries(
    {
        "case": st.none() | st.integers(0, 4),
        "run": st.integers(0, 2),
        "kind": st.sampled_from([None, MODEL, LOCAL, MACHINE, PEOPLE, CONNECTOR]),
        "agent": st.sampled_from(["", "judge", "leads"]),
        "cost": st.none() | AMOUNTS,
        "day": DAYS,
        "attempt": st.integers(1, 3),
        "outcome": st.sampled_from(["ok", "lost", "MalformedOutput"]),
    }
)
STATES = st.lists(
    st.sampled_from([s for s in FATES if s not in ("completed", "undone", "shared")]), min_size=5, max_size=5
)
AN_OUTCOME = st.tuples(st.integers(0, 4), st.sampled_from(["paid", "disputed"]), DAYS)


@pytest.fixture(params=["sqlite", "postgresql"])
def flow(request, tmp_path, open_ledger) -> Workflow:
    """A workflow with a version for production and one for the pilot, and nothing that happened."""
    flow = Workflow(tmp_path, Ledger(open_ledger(request.param).engine, "test", Clock(NOW)))
    flow.production = flow.version.id
    flow.write("workflow.yaml", WORKFLOW.replace("phase: production", "phase: pilot"))
    flow.pilot = flow.publish().id
    return flow


def write(flow: Workflow, states: list[str], costs: list[dict[str, Any]], told: list[tuple[int, str, int]]) -> None:
    runs, cases = [new_id() for _ in range(3)], [new_id() for _ in range(5)]
    named = {"environment": "test", "workflow": NAME}
    with flow.ledger.engine.begin() as connection:
        for table in (usage, outcome, case, workflow_run):
            connection.execute(delete(table))
        began = {**named, "dag_id": NAME, "wiring": {}, "is_resume": False, "started_at": START, "revision": 1}
        versions = [flow.production, flow.pilot, flow.pilot]
        given_runs = zip(runs, versions, strict=True)
        connection.execute(
            insert(workflow_run), [{"id": r, "run_id": r, "version_id": v, **began} for r, v in given_runs]
        )
        kept = {"attempt": 0, "contract": "R@1", "payload_digest": "", "context": {}, "source": "", "revision": 1}
        instants = {"opened_at": START, "changed_at": START}
        for number, (case_id, state) in enumerate(zip(cases, states, strict=True)):
            row = {"id": case_id, "business_key": case_id, "state": state, "run_id": runs[number % 3]}
            connection.execute(insert(case), [{**named, **kept, **instants, **row}])
        for one in costs:
            tokens = {"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0}
            row = {name: one[name] for name in ("kind", "agent", "cost", "attempt", "outcome")}
            place = {"case_id": None if one["case"] is None else cases[one["case"]], "run_id": runs[one["run"]]}
            at = {"created_at": START + timedelta(days=one["day"], hours=7), "seconds": 0.5, "task": "t", "model": "m"}
            connection.execute(insert(usage), [{"id": new_id(), **tokens, **row, **place, **at}])
        for number, name, day in dict.fromkeys(told):
            at_ = START + timedelta(days=day)
            final = at_ + timedelta(days=14) if name == "paid" else None
            row = {"case_id": cases[number], "outcome": name, "happened_at": at_, "final_at": final}
            said = {"recorded_by": "t", "source": "s", "created_at": at_}
            connection.execute(insert(outcome), [{"id": new_id(), **row, **said}])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(states=STATES, costs=st.lists(A_COST, max_size=25), told=st.lists(AN_OUTCOME, max_size=6))
def test_every_breakdown_adds_up_to_the_rows_and_periods_to_the_whole(flow, states, costs, told):
    write(flow, states, costs, told)
    whole = sum((row["cost"] for row in costs if row["cost"] is not None), Decimal(0))

    def total(report: dict[str, Any]) -> Decimal:
        return sum((Decimal(phase["usd"]) for phase in report["phases"]), Decimal(0))

    report = cost_report(flow.ledger, NAME, "all")
    assert total(report) == whole
    assert sum(total(cost_report(flow.ledger, NAME, f"2026-0{month}")) for month in (1, 2, 3)) == whole
    for phase in report["phases"]:
        usd = Decimal(phase["usd"])
        for part in ("by_kind", "by_fate"):
            assert sum(map(Decimal, phase[part].values())) == usd, part
        assert sum(Decimal(row["usd"]) for row in phase["by_agent"]) == usd
        assert set(phase["by_kind"]) <= set(KINDS)
        assert set(phase["by_fate"]) <= set(FATES)
        if phase["usd_per_outcome"] is not None:
            assert abs(Decimal(phase["usd_per_outcome"]) * phase["outcomes"]["completed"] - usd) < Decimal("1e-9")
    assert sum(phase["unpriced_calls"] for phase in report["phases"]) == sum(row["cost"] is None for row in costs)
    shared = sum((row["cost"] or 0 for row in costs if row["case"] is None), Decimal(0))
    assert sum(Decimal(phase["by_fate"].get("shared", "0")) for phase in report["phases"]) == shared
    retried = sum((row["cost"] or 0 for row in costs if row["attempt"] > 1), Decimal(0))
    assert sum(Decimal(phase["repeated_usd"]) for phase in report["phases"]) == retried
    standing = {
        number
        for number, name, day in told
        if name == "paid" and not any((n, w) == (number, "disputed") and day <= d <= day + 14 for n, w, d in told)
    }
    assert sum(phase["outcomes"]["completed"] for phase in report["phases"]) == len(standing)
