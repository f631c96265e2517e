"""
``kill -9`` in the middle of every task of a run, under a real LocalExecutor: it ends as if nothing had happened.

The help desk stores whatever it is sent and detects no repeats, so an effect that is sent twice is there twice.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

import pytest
from faults.bench import Bench, python_path, settled, wait_for
from faults.sabotage import Kill, marks
from faults.support_desk import NAME, UndisturbedRun, dag_text, states, wiring, write_project
from interlock.ledger.reports.summary import unplaced
from interlock.ledger.runs.run import find_run
from interlock.ledger.store.database import open_database
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.migrate import migrate
from live_airflow import PROJECT, live_airflow
from servers.effect_target import FAIL_AFTER, LOSE_ANSWER, OK, EffectTarget

pytestmark = pytest.mark.live

RUN = "killed"
MIDDLE, END = Kill("before commit"), Kill("after commit")
PLAN: dict[str, list[Kill | None]] = {
    "intake": [MIDDLE],
    "check": [Kill("before commit", 1), Kill("after commit", 1)],
    "triage": [MIDDLE],
    "route": [END],
    "second_opinion": [Kill("trained"), MIDDLE],
    "route_again": [MIDDLE],
    "context": [END],
    "draft": [MIDDLE],
    "validate": [MIDDLE],
    "send": [Kill("after send", 8), Kill("before send", 2)],
    "sign_off": [
        Kill("before commit", 2, "gate_request"),
        Kill("parking"),
        None,  # it waits
        Kill("before commit", 5, "vote"),  # it was answered
        None,  # it waits again, because the answer died with the process and the votes did not
        Kill("after commit", 3, "vote"),
        None,
    ],
    "send_signed": [Kill("after send", 8), Kill("before commit", 1)],
    "report": [Kill("before commit", 1, "workflow_run")],
}
"""By task, how each of its processes dies; the next one lives."""
IN_THE_MIDDLE = {
    "triage",
    "route",
    "second_opinion",
    "route_again",
    "context",
    "draft",
    "validate",
    "send",
    "send_signed",
}
"""Tasks of which, when they first died while they moved cases, some cases had gone on and others had not."""

SABOTAGE = f"""
from datetime import timedelta
from faults.sabotage import Kill, sabotage

for task in DAG.tasks:
    task.retries, task.retry_delay = 8, timedelta(seconds=1)
sabotage(DAG, {PLAN!r})
"""


def answers(waiting):
    """People reject the first three of the cases that wait and approve the others."""
    return {key: "reject" if number < 3 else "approve" for number, key in enumerate(sorted(waiting))}


def processes_of_gate(home, number):
    """Tell whether so many processes of the gate began."""
    return len(marks(home, RUN, "sign_off", "began")) == number


@pytest.fixture(scope="module")
def helpdesk():
    with EffectTarget(on_repeat="store") as target:
        target.script(OK, LOSE_ANSWER, OK, OK, FAIL_AFTER, LOSE_ANSWER)
        yield target


@pytest.fixture(scope="module")
def bench(tmp_path_factory, helpdesk):
    """A run of which every task was killed, at its end."""
    folder = tmp_path_factory.mktemp("killed")
    write_project(folder)
    (folder / "dags").mkdir()
    (folder / "dags" / f"{NAME}.py").write_text(dag_text(SABOTAGE))
    ledger = Ledger.open(f"sqlite:///{folder / 'home' / 'interlock.db'}", "test")
    connection = {"conn_type": "http", "host": helpdesk.base_url}
    with live_airflow(
        folder / "home",
        dags_folder=folder / "dags",
        settings=PROJECT / "airflow_settings.yaml",
        environment={
            "PYTHONPATH": python_path(folder),
            "AIRFLOW__INTERLOCK__INCLUDE_PATH": str(folder / "include"),
            "AIRFLOW_CONN_INTERLOCK_HELPDESK": json.dumps(connection),
        },
        before_start=lambda airflow: Bench(airflow, folder, ledger).publish(NAME),
    ) as airflow:
        bench = Bench(airflow, folder, ledger)
        airflow.trigger(NAME, run_id=RUN)
        settled(airflow, NAME, RUN, "sign_off")
        assert [len(marks(airflow.home, RUN, "sign_off", what)) for what in ("began", "killed")] == [3, 2]
        waiting = [key for key, state in bench.states(NAME).items() if state == "waiting"]
        for key, answer in answers(waiting).items():
            if answer == "reject":
                bench.vote("bob", key, "reject", "because")
        for next_that_waits in (5, 7, None):
            airflow.answer_gate(NAME, RUN, "sign_off", "Approve", person="alice")
            if next_that_waits:
                begun = partial(processes_of_gate, airflow.home, next_that_waits)
                wait_for(f"process {next_that_waits} of the gate", begun)
                settled(airflow, NAME, RUN, "sign_off")
        airflow.wait_for_run(NAME, RUN)
        yield bench


@pytest.fixture(scope="module")
def control(bench, tmp_path_factory):
    """The same work, undisturbed: its final states, and what reached the help desk and the outbox."""
    folder = tmp_path_factory.mktemp("control")
    ledger = Ledger.open(f"sqlite:///{folder / 'interlock.db'}", "test")
    migrate(open_database(f"sqlite:///{folder / 'interlock.db'}"))
    with EffectTarget(on_repeat="store") as target:
        wired = wiring(bench.project / "dags" / f"{NAME}.py")
        run = UndisturbedRun(folder, bench.include, ledger, wired, target.base_url)
        run.go(answers)
    outbox = [json.loads(file.read_text()) for file in (folder / "outbox").glob("*.json")]
    return {
        "states": states(ledger),
        "outbox": {said["business_key"]: said["payload"] for said in outbox},
        "helpdesk": sorted(effect.body["subject"] for effect in target.stored),
    }


def test_every_task_was_killed_as_planned_and_the_run_succeeded(bench):
    killed = {task: [mark["at"] for mark in marks(bench.airflow.home, RUN, task, "killed")] for task in PLAN}

    assert killed == {task: [kill.at for kill in kills if kill] for task, kills in PLAN.items()}
    assert bench.airflow.client.run_state(NAME, RUN) == "success"


def test_tasks_died_with_some_of_their_cases_moved_and_others_not(bench):
    taken_in = marks(bench.airflow.home, RUN, "intake", "killed")[0]["known"]
    standing = {task: in_the_middle(bench, task)["here"] for task in IN_THE_MIDDLE}
    through = Counter(task for _, task in bench.handoffs(NAME))

    assert 0 < taken_in < len(bench.states(NAME))
    for task in ("triage", "second_opinion", "context", "draft", "validate"):
        assert 0 < standing[task] < through[task], task
    for task in ("send", "send_signed"):
        assert 0 < standing[task] < sum(row["task"] == task for row in bench.effects(NAME)), task
    assert min(standing.values()) > 0


def in_the_middle(bench, task):
    """Return what was so when *task* was first killed while it moved cases."""
    return next(mark for mark in marks(bench.airflow.home, RUN, task, "killed") if mark["at"] != "trained")


def test_every_case_ends_where_an_undisturbed_run_leaves_it(bench, control):
    assert states(bench.ledger) == control["states"]
    assert {"executed", "rejected", "quarantined", "dead"} == {state for state, _ in control["states"].values()}


def test_every_case_is_accounted_for(bench):
    run = find_run(bench.ledger, NAME, RUN)

    with bench.ledger.read() as connection:
        assert not unplaced(connection, run)
    source = (bench.include / NAME / "data" / "inbox.csv").read_text().splitlines()
    assert len(bench.states(NAME)) == len(source) - 1


def test_what_was_sent_is_there_exactly_once_and_is_what_the_undisturbed_run_sent(bench, control, helpdesk):
    executed = {key for key, state in bench.states(NAME).items() if state == "executed"}
    outbox = bench.sent()
    committed = [row for row in bench.effects(NAME) if row["state"] == "committed"]

    assert len(committed) == len(executed) == len(outbox) + len(helpdesk.stored)
    assert set(outbox.values()) == {1}
    assert set(Counter(helpdesk.keys()).values()) == {1}
    assert {row["key"] for row in committed if row["task"] == "send_signed"} == set(helpdesk.keys())
    files = [json.loads(file.read_text()) for file in (bench.airflow.home / "outbox").glob("*.json")]
    assert {said["business_key"]: said["payload"] for said in files} == control["outbox"]
    assert sorted(effect.body["subject"] for effect in helpdesk.stored) == control["helpdesk"]


def test_effects_that_a_dead_process_may_have_sent_were_looked_for(bench, helpdesk):
    repeated = [row for row in bench.effects(NAME) if row["attempts"] > 1]

    assert {row["task"] for row in repeated} == {"send", "send_signed"}
    assert helpdesk.looked > 0


def test_there_is_one_handoff_of_each_case_and_task(bench):
    handoffs = bench.handoffs(NAME)

    assert set(handoffs.values()) == {1}
    assert {task for _, task in handoffs} == {"triage", "second_opinion", "context", "draft", "validate"}


def test_the_ledger_is_sound(bench):
    assert not bench.problems()


def test_retries_were_the_executors_and_not_more_than_the_kills(bench):
    tries = {task["task_id"]: task["try_number"] for task in bench.airflow.task_instances(NAME, RUN)}

    assert tries == {task: 1 + sum(kill is not None for kill in kills) for task, kills in PLAN.items()}
