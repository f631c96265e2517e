"""
The supervisor of an execution is killed and the task's process lives on: Airflow starts another beside it.

The target detects no repeats, so what both sent would be there twice.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

import psutil
import pytest
from faults.bench import wait_for
from faults.refund_desk import inbox, write_workflow
from faults.sabotage import marks
from servers.effect_target import EffectTarget

pytestmark = pytest.mark.live

NAME = "supervised"
ECOSYSTEM = """
connectors:
  payout:
    kind: http
    conn_id: supervised_target
    path: /effects
    look_path: /effects/{key}
    undo_path: /effects/{key}
    timeout_seconds: 1.0
"""
HOLD_SEND = """
from faults.sabotage import hold
hold(DAG, "send", "interlock.connectors.http.HttpTarget", "send", runs="orphaned", nth=3, after=True)
"""
KEYS = [f"S{number}" for number in range(8)]


@pytest.fixture(scope="module")
def target():
    with EffectTarget(on_repeat="store") as running:
        yield running


@pytest.fixture(scope="module")
def orphan(bench, target):
    """The first process of the execution, after its run is over."""
    connection = {"connection_id": "supervised_target", "conn_type": "http", "host": target.base_url}
    bench.airflow.client.call("POST", "/api/v2/connections", connection)
    rows = [f"{key},sure=0.95,10,standard" for key in KEYS]
    write_workflow(bench, NAME, inbox=inbox(*rows), ecosystem=ECOSYSTEM, more=HOLD_SEND)
    bench.airflow.trigger(NAME, run_id="orphaned")
    held = bench.held("orphaned", "send")
    os.kill(held.supervisor, signal.SIGKILL)
    wait_for("a second attempt", lambda: bench.attempts(NAME, "orphaned", "send") == 2)
    both_lived = psutil.pid_exists(held.pid) and psutil.Process(held.pid).status() != psutil.STATUS_ZOMBIE
    stored_before = len(target.stored)
    held.go_on()
    wait_for("the end of the first process", lambda: marks(bench.airflow.home, "orphaned", "send", "ended"))
    bench.airflow.wait_for_run(NAME, "orphaned")
    ended = marks(bench.airflow.home, "orphaned", "send", "ended")[0]
    return {"both_lived": both_lived, "stored_before": stored_before, **ended, "held": held.pid}


def test_the_first_process_lived_on_without_its_supervisor_and_was_superseded(orphan):
    assert orphan["both_lived"]
    assert orphan["pid"] == orphan["held"]
    assert orphan["error"] == "Superseded"


def test_airflow_tried_the_task_again_and_the_run_succeeded(bench, orphan):
    assert bench.tries(NAME, "orphaned", "send") == 2
    assert bench.airflow.client.run_state(NAME, "orphaned") == "success"


def test_nothing_was_sent_twice_and_everything_once(bench, orphan, target):
    assert orphan["stored_before"] == 3
    assert Counter(target.keys()) == Counter(row["key"] for row in bench.effects(NAME))
    assert set(Counter(target.keys()).values()) == {1}
    assert len(target.stored) == len(KEYS)
    assert target.looked >= 3


def test_every_case_was_executed_and_the_ledger_is_sound(bench, orphan):
    assert bench.states(NAME) == dict.fromkeys(KEYS, "executed")
    assert {row["state"] for row in bench.effects(NAME)} == {"committed"}
    assert not bench.problems()
