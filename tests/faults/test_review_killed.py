"""
``kill -9`` in the middle of the tasks of the weekly review, under a real LocalExecutor: each dataset is read once, each
fact stated once, each case opened once, and the review sent once, after it was signed off.
"""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from faults.bench import Bench, python_path, settled
from faults.sabotage import Kill, marks
from interlock.domain.facts.fact import Fact
from interlock.engine.datasets.snapshot import Snapshots
from interlock.engine.facts.provenance import trace
from interlock.ledger.facts.fact import facts_of, readings_of
from interlock.ledger.runs.run import find_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import reading
from live_airflow import PROJECT, live_airflow

pytestmark = pytest.mark.live

NAME, KILLED, CALM = "executive_review", "killed", "calm"
AS_OF = {"as_of": "2014-07-28"}
PLAN: dict[str, list[Kill]] = {
    "orders": [Kill("before commit", 1, "reading"), Kill("after commit", 1, "reading")],
    "spend": [Kill("before commit", 1, "fact")],
    "quality": [Kill("after commit", 1, "fact")],
    "unusual_receipts": [Kill("before commit", 1, "fact")],
    "findings": [Kill("after commit", 1)],
    "write": [Kill("before commit", 1)],
    "send": [Kill("after send", 1)],
}
SABOTAGE = f"""
from datetime import timedelta
from faults.sabotage import Kill, sabotage

for task in DAG.tasks:
    task.retries, task.retry_delay = 4, timedelta(seconds=1)
sabotage(DAG, {PLAN!r})
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A run of which these tasks were killed, signed off by Alice, at its end; then a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("review")
    for part in (NAME, "company"):
        target = folder / "include" / part
        shutil.copytree(PROJECT / "include" / part, target, ignore=shutil.ignore_patterns("__pycache__"))
    body, call, _ = (PROJECT / "dags" / f"{NAME}.py").read_text().rpartition(f"{NAME}()\n")
    (folder / "dags").mkdir()
    (folder / "dags" / f"{NAME}.py").write_text(f"{body}DAG = {call}{SABOTAGE}")
    ledger = Ledger.open(f"sqlite:///{folder / 'home' / 'interlock.db'}", "test")
    with live_airflow(
        folder / "home",
        dags_folder=folder / "dags",
        settings=PROJECT / "airflow_settings.yaml",
        environment={
            "PYTHONPATH": python_path(folder),
            "AIRFLOW__INTERLOCK__INCLUDE_PATH": str(folder / "include"),
        },
        before_start=lambda airflow: Bench(airflow, folder, ledger).publish(NAME),
    ) as airflow:
        bench = Bench(airflow, folder, ledger)
        airflow.trigger(NAME, AS_OF, run_id=KILLED)
        airflow.wait_for_task(NAME, KILLED, "approve", {"awaiting_input"})
        settled(airflow, NAME, KILLED, "approve")
        settled(airflow, NAME, KILLED, "look_at")
        airflow.answer_gate(NAME, KILLED, "approve", "Approve", person="alice")
        airflow.answer_gate(NAME, KILLED, "look_at", "Approve", person="bob")
        airflow.wait_for_run(NAME, KILLED)
        airflow.trigger(NAME, AS_OF, run_id=CALM)
        airflow.wait_for_run(NAME, CALM)
        yield bench


def facts(bench: Bench, run_id: str) -> list[Fact]:
    run = find_run(bench.ledger, NAME, run_id)
    assert run is not None
    with bench.ledger.read() as connection:
        return facts_of(connection, run.id)


def test_every_kill_took_place(bench):
    killed = {task: len(marks(bench.airflow.home, KILLED, task, "killed")) for task in PLAN}

    assert killed == {task: len(kills) for task, kills in PLAN.items()}


def test_each_dataset_was_read_once(bench):
    run = find_run(bench.ledger, NAME, KILLED)
    assert run is not None
    with bench.ledger.read() as connection:
        assert sorted(readings_of(connection, run.id)) == ["orders", "receipts"]
    rows = Counter((row["run_id"], row["dataset"]) for row in bench.rows(reading))
    assert set(rows.values()) == {1}


def test_the_facts_are_those_of_an_undisturbed_run(bench):
    killed, calm = facts(bench, KILLED), facts(bench, CALM)

    assert len(killed) > 50
    assert sorted(fact.id for fact in killed) == sorted(fact.id for fact in calm)


def test_each_fact_comes_out_the_same_from_its_rows(bench):
    snapshots = Snapshots(bench.airflow.home / "interlock_snapshots")
    wrong = [
        fact.name for fact in facts(bench, KILLED) if not trace(bench.ledger, fact.id, snapshots, limit=1).is_confirmed
    ]

    assert wrong == []


def test_the_review_and_the_insights_are_there_once_and_sent_once_after_they_were_signed_off(bench):
    states = bench.states(NAME)

    assert sorted(states) == [
        "2014-07-21/anomaly/on_time",
        "2014-07-21/late/on_time",
        "2014-07-21/off_target/rejected",
        "2014-07-21/review",
    ]
    assert set(states.values()) == {"executed"}
    assert bench.sent() == Counter(states.keys())


def test_the_ledger_verifies(bench):
    assert bench.problems() == []
