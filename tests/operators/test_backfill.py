"""
A backfill in a real Airflow: each week gets the facts of a run on its day, and what is beside Airflow hears of it.

One Airflow for the whole module, with the OpenLineage provider on and writing to a file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decision import PROJECT, Decision
from interlock.domain.facts.fact import Fact
from interlock.ledger.facts.fact import facts_of
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import workflow_run
from live_airflow import LiveAirflow, live_airflow
from sqlalchemy import select

pytestmark = pytest.mark.live
pytest.importorskip("airflow.providers.openlineage")

NAME = "executive_review"
WEEKS = ["2014-07-14", "2014-07-21", "2014-07-28"]
"""Mondays; each run reads as of six o'clock and states the week before."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file to which OpenLineage writes."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, events: Path) -> Iterator[LiveAirflow]:
    """The workflow in force, and its runs of three weeks."""
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    told = {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport), "AIRFLOW__OPENLINEAGE__NAMESPACE": "here"}
    home = tmp_path_factory.mktemp("home")
    with live_airflow(home, settings=PROJECT / "airflow_settings.yaml", environment=told) as running:
        person = {"INTERLOCK_URL": running.url, "INTERLOCK_TOKEN": running.client.token or ""}
        for step in (["policy", "publish", "company"], ["policy", "publish", NAME], ["workflow", "deploy", NAME]):
            more = ["--reason", "a test asks for it"] if step[1] == "deploy" else []
            running.run("-".join(step), "airflow", "interlock", *step, *more, environment=person)
        running.client.wait_for_dag(NAME)
        running.client.call("PATCH", f"/api/v2/dags/{NAME}", {"is_paused": False})
        running.client.call(
            "POST",
            "/api/v2/backfills",
            {
                "dag_id": NAME,
                "from_date": f"{WEEKS[0]}T06:00:00Z",
                "to_date": f"{WEEKS[-1]}T06:00:00Z",
                "max_active_runs": 3,
            },
        )
        for run in wait_for_runs(running, len(WEEKS)):
            running.wait_for_task(NAME, run["dag_run_id"], "findings", {"success"})
        yield running


def wait_for_runs(airflow: LiveAirflow, count: int) -> list[dict[str, Any]]:
    """Return the runs of the Dag as soon as there are *count*."""
    for _ in range(240):
        found = airflow.client.call("GET", f"/api/v2/dags/{NAME}/dagRuns?limit=100")["dag_runs"]
        if len(found) >= count:
            return list(found)
        time.sleep(0.5)
    raise AssertionError(f"there are {len(found)} runs, and {count} were waited for")


def facts_by_day(airflow: LiveAirflow) -> dict[str, list[Fact]]:
    """Return the facts of each run, by the day that it reads as of."""
    url = (airflow.home / "ledger_url").read_text("utf-8").strip()
    ledger = Ledger.open(url, "test")
    with ledger.read() as connection:
        runs = connection.execute(select(workflow_run.c.id, workflow_run.c.as_of)).all()
        return {f"{run.as_of:%Y-%m-%d}": facts_of(connection, run.id) for run in runs}


def test_each_week_gets_the_facts_of_a_run_on_its_day(airflow: LiveAirflow, tmp_path: Path, sqlite_ledger: Ledger):
    backfilled = facts_by_day(airflow)
    by_hand = Decision(NAME, tmp_path, sqlite_ledger)
    for day in WEEKS:
        by_hand.run(run=day, as_of=f"{day}T06:00Z", until="findings")

    assert sorted(backfilled) == WEEKS
    for day in WEEKS:
        assert {fact.id for fact in backfilled[day]} == {fact.id for fact in by_hand.facts(run=day)}
    spend = {day: next(f.value for f in facts if f.name == "spend") for day, facts in backfilled.items()}
    assert len(set(spend.values())) == len(WEEKS)


def test_nothing_but_the_backfill_was_started(airflow: LiveAirflow):
    """The schedule ended with the data, so a Dag that is unpaused years later starts nothing by itself."""
    runs = wait_for_runs(airflow, len(WEEKS))

    assert sorted(run["run_type"] for run in runs) == ["backfill"] * len(WEEKS)


def test_each_period_is_a_partition_of_the_asset(airflow: LiveAirflow):
    assets = airflow.client.call("GET", "/api/v2/assets?uri_pattern=executive_review/spend")["assets"]
    told = airflow.client.call("GET", f"/api/v2/assets/events?asset_id={assets[0]['id']}")["asset_events"]
    extra = {event["partition_key"]: event["extra"] for event in told}

    assert sorted(extra) == ["2014-07-07", "2014-07-14", "2014-07-21"]
    assert extra["2014-07-21"]["period"] == "week of 2014-07-21"
    assert extra["2014-07-21"]["as_of"] == "2014-07-28T06:00:00+00:00"
    assert extra["2014-07-21"]["facts"] > 10


def test_openlineage_hears_of_source_snapshot_and_facts(airflow: LiveAirflow, events: Path):
    told = [json.loads(line) for line in events.read_text("utf-8").splitlines() if line]
    ended = {event["job"]["name"]: event for event in told if event["eventType"] == "COMPLETE"}
    read, stated = ended[f"{NAME}.orders"], ended[f"{NAME}.spend"]
    (source,) = read["inputs"]

    assert (source["namespace"], source["name"]) == ("file", str(PROJECT / "include" / NAME / "data" / "orders.csv"))
    assert source["inputFacets"]["dataQualityMetrics"]["rowCount"] > 1000
    asserted = source["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {"assertion": "amounts are in US dollars", "success": True}.items() <= next(
        one for one in asserted if one["assertion"] == "amounts are in US dollars"
    ).items()
    assert [(one["namespace"], one["name"]) for one in read["outputs"]] == [(f"interlock://{NAME}", "datasets/orders")]
    assert [(one["namespace"], one["name"]) for one in stated["inputs"]] == [(f"interlock://{NAME}", "datasets/orders")]
    assert (f"interlock://{NAME}", "spend") in [(one["namespace"], one["name"]) for one in stated["outputs"]]
