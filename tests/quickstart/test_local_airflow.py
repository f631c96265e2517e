"""One real Airflow for the whole module: about ten seconds to start. See ``tests/live_airflow.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from interlock.commands.airflow_client import ApiRefused
from interlock.quickstart.environment import free_port, local_environment
from interlock.quickstart.server import ComponentFailed, LocalAirflow
from live_airflow import live_airflow, processes_mentioning

pytestmark = pytest.mark.live

DAGS = """
import time
from airflow.sdk import dag, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

@dag(schedule=None)
def two_steps():
    @task
    def first(params):
        return params.get("number", 1)

    @task
    def second(number):
        print("the number is", number)
        if number < 0:
            raise ValueError("a negative number")

    second(first())

@dag(schedule=None)
def signed():
    @task
    def after():
        pass

    ApprovalOperator(task_id="gate", subject="May it?") >> after()

@dag(schedule=None)
def endless():
    @task
    def sleeper():
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)

    sleeper()

two_steps()
signed()
endless()
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    (folder / "dags").mkdir()
    (folder / "dags" / "small.py").write_text(DAGS)
    with live_airflow(folder / "home", dags_folder=folder / "dags") as running:
        yield running


def test_a_run_goes_through_a_real_executor_with_its_configuration(airflow):
    run = airflow.trigger("two_steps", {"number": 42})

    assert airflow.wait_for_run("two_steps", run) == "success"
    assert airflow.task_states("two_steps", run) == {"first": "success", "second": "success"}
    assert any("the number is 42" in line for line in airflow.client.task_log("two_steps", run, "second"))


def test_a_failed_task_says_why_in_its_log(airflow):
    run = airflow.trigger("two_steps", {"number": -1})

    assert airflow.wait_for_run("two_steps", run) == "failed"
    assert any("a negative number" in line for line in airflow.client.task_log("two_steps", run, "second"))


def test_a_gate_parks_without_a_triggerer_and_goes_on_when_a_user_answers(airflow):
    run = airflow.trigger("signed")

    assert airflow.wait_until_parked("signed", run) == ["gate"]
    time.sleep(3)  # Airflow 3.3 may fail a task that is answered at once
    with pytest.raises(ApiRefused, match="403"):
        airflow.answer_gate("signed", run, "gate", "Approve", person="vera")
    airflow.answer_gate("signed", run, "gate", "Approve", person="alice")

    assert airflow.wait_for_run("signed", run) == "success"


def test_airflow_shows_the_plugin_once_with_its_entry_and_its_tab(airflow):
    plugins = airflow.client.call("GET", "/api/v2/plugins?limit=100")["plugins"]

    ours = [plugin for plugin in plugins if plugin["name"] == "interlock"]
    assert len(ours) == 1
    assert [view["destination"] for view in ours[0]["external_views"]] == ["nav", "task_instance"]
    assert airflow.client.call("GET", "/api/v2/plugins/importErrors")["import_errors"] == []


def test_a_run_is_triggered_once_when_it_is_asked_for_twice(airflow):
    run = airflow.trigger("two_steps", {"number": 7}, run_id="the_one")

    assert airflow.trigger("two_steps", {"number": 7}, run_id="the_one") == run
    runs = airflow.client.call("GET", "/api/v2/dags/two_steps/dagRuns")["dag_runs"]
    assert [one["dag_run_id"] for one in runs].count("the_one") == 1


def test_a_second_start_takes_another_port(airflow):
    taken = int(airflow.environment["AIRFLOW__API__PORT"])

    assert free_port(taken) not in (0, taken)


def test_stopping_ends_every_process_even_a_task_that_ignores_it(tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "small.py").write_text(DAGS)
    with live_airflow(tmp_path / "home", dags_folder=tmp_path / "dags") as airflow:
        run = airflow.trigger("endless")
        airflow.wait_for_task("endless", run, "sleeper", {"running"})
        sessions = {process.pid for process in airflow._running.values()}
        time.sleep(2)  # until the task itself ignores the signal

        airflow.stop(grace_seconds=3)

        assert not [pid for pid in _pids() if _session(pid) in sessions]
        assert not processes_mentioning(str(tmp_path))


def test_a_component_that_cannot_start_is_named_with_its_log(tmp_path):
    home = tmp_path / "home"
    variables = local_environment(home, port=free_port(), dags_folder=tmp_path, plugins_folder=tmp_path)
    airflow = LocalAirflow(home, variables)  # nobody migrated the database
    try:
        airflow.start(["scheduler"])
        with pytest.raises(ComponentFailed, match="scheduler ended with exit code 1") as failed:
            airflow.wait_until_healthy()
    finally:
        airflow.stop()

    assert "airflow db migrate" in failed.value.log.read_text()


def test_what_a_killed_run_left_behind_is_ended_by_the_next(tmp_path):
    code = f"""
import sys, time
from pathlib import Path
from interlock.quickstart.environment import *
from interlock.quickstart.server import *
home = Path({str(tmp_path / "home")!r})
airflow = LocalAirflow(home, local_environment(home, port=free_port(), dags_folder=home, plugins_folder=home))
airflow.run("db-migrate", "airflow", "db", "migrate")
airflow.start(["scheduler"])
print("started", flush=True)
time.sleep(600)
"""
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=_environment())
    assert starter.stdout.readline() == "started\n"
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    session = int((tmp_path / "home" / "sessions").read_text())
    assert [pid for pid in _pids() if _session(pid) == session]

    variables = local_environment(tmp_path / "home", port=0, dags_folder=tmp_path, plugins_folder=tmp_path)
    ended = LocalAirflow(tmp_path / "home", variables).end_leftovers()

    assert ended >= 1
    assert not [pid for pid in _pids() if _session(pid) == session]


def _environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def _pids():
    import psutil

    return [one.pid for one in psutil.process_iter(["status"]) if one.info["status"] != psutil.STATUS_ZOMBIE]


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
