"""The command itself, as ``make run`` starts it, on a project with one small Dag."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from live_airflow import PROJECT, as_installed, processes_mentioning

pytestmark = pytest.mark.live

DAG = """
from airflow.sdk import Param, dag, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

@dag(schedule=None, params={"source": Param("example.csv", type="string")})
def small():
    @task
    def read(params):
        print("reading", params["source"])
        if params["source"].endswith("broken.csv"):
            raise ValueError("the source is broken")

    read() >> ApprovalOperator(task_id="sign_off", subject="May it?")

small()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "dags").mkdir()
    (folder / "dags" / "small.py").write_text(DAG)
    shutil.copy(PROJECT / "airflow_settings.yaml", folder)
    return folder


def command(project, *arguments):
    return [sys.executable, "-m", "interlock.quickstart", "--workflow", "small", *arguments]


def environment(project):
    paths = as_installed(project / "installed")
    return os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])}


def quickstart(project, *arguments):
    return subprocess.run(
        command(project, *arguments),
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def start_in_background(project, *arguments):
    return subprocess.Popen(
        command(project, *arguments),
        cwd=project,
        env=environment(project),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_of(project):
    return [line for line in processes_mentioning(str(project)) if "pytest" not in line]


def test_once_goes_up_to_the_gate_and_leaves_no_process_and_the_second_time_prepares_nothing(project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        first = quickstart(project, "--once", "--port", str(port))

    assert first.returncode == 0, first.stdout + first.stderr
    assert f"port {port} is in use, using " in first.stdout
    assert "creating the databases" in first.stdout
    assert "sign_off             waits for people" in first.stdout
    assert "the run waits for people" in first.stdout
    assert not left_of(project)
    assert not (project / ".airflow" / "sessions").exists()

    second = quickstart(project, "--once", "--port", "0")

    assert second.returncode == 0, second.stdout + second.stderr
    assert "creating the databases" not in second.stdout
    assert "the run waits for people" in second.stdout


def test_a_failed_run_shows_the_end_of_the_tasks_log(project):
    (project / "broken.csv").touch()

    done = quickstart(project, "--once", "--port", "0", "--source", "broken.csv")

    assert done.returncode == 1
    assert "Failed: task 'read', try 1" in done.stdout
    assert "the source is broken" in done.stdout
    assert not left_of(project)


def test_ctrl_c_ends_everything_and_a_second_start_meanwhile_is_refused(project):
    running = start_in_background(project, "--port", "0")
    seen = []
    for line in running.stdout:
        seen.append(line)
        if "Ctrl-C stops it" in line:
            break
    assert any("admin (admin), alice (user)" in line for line in seen), "".join(seen)

    other = quickstart(project, "--once")
    assert other.returncode == 1
    assert "already runs on" in other.stdout

    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert not left_of(project)


def test_a_signal_while_it_starts_leaves_no_process(project):
    running = start_in_background(project, "--port", "0")
    for line in running.stdout:
        if "starting Airflow" in line:
            break
    time.sleep(2)

    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)

    assert running.returncode == 130
    assert not left_of(project)


def test_a_reader_that_goes_away_ends_it_like_ctrl_c(project):
    running = start_in_background(project, "--port", "0")
    for line in running.stdout:
        if "starting Airflow" in line:
            break
    running.stdout.close()

    assert running.wait(timeout=120) == 130
    assert not left_of(project)


def test_a_home_that_cannot_be_prepared_says_why_and_where(project, tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "airflow_settings.yaml").write_text("airflow:\n  pools: [{pool_slot: 3}]\n")

    done = subprocess.run(
        command(project, "--once", "--project", str(tmp_path), "--port", "0"),
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 1
    assert "Failed: prepare ended with exit code 1" in done.stdout
    assert "pools, entry 1 has no pool_name" in done.stdout
    assert str(tmp_path / ".airflow" / "logs" / "prepare.log") in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--project", "nowhere"], "has no folder dags/"),
        (["--source", "nowhere.csv"], "there is no file"),
        (["--source", '{"path": "nowhere.csv", "delimiter": ";"}'], "there is no file"),
        (["--source", '{"path": "nowhere.csv", "delimitr": ";"}'], "Did you mean 'delimiter'"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_starts(project, arguments, told):
    done = quickstart(project, *arguments)

    assert done.returncode == 2
    assert told in done.stderr
