"""What a person can do to tasks in Airflow's UI: nothing of it sends a case that nobody allowed."""

from __future__ import annotations

import sqlite3
import uuid

import pytest
from faults.bench import settled
from faults.refund_desk import inbox, write_workflow

pytestmark = pytest.mark.live

HOLD_DRAFT = """
from faults.sabotage import hold
hold(DAG, "draft", "interlock.engine.agents.role", "run_role", runs="by_hand")
"""


@pytest.fixture(scope="module")
def gate_marked(bench):
    """A run of which somebody marked the gate as success while its cases waited."""
    name = "gate_marked"
    rows = ["G1,sure=0.95,10,standard", *(f"G{number},sure=0.95,10,private" for number in range(2, 6))]
    write_workflow(bench, name, inbox=inbox(*rows))
    bench.airflow.trigger(name, run_id="first")
    settled(bench.airflow, name, "first", "sign_off")
    bench.set_state(name, "first", "sign_off", "success", person="otto")  # who may change the Dag, and not vote
    bench.airflow.wait_for_run(name, "first")
    return name


def test_a_gate_marked_as_success_sends_nothing_that_waits_and_the_report_passes(bench, gate_marked):
    assert bench.airflow.task_states(gate_marked, "first") | {"sign_off": "success"} == {
        **dict.fromkeys(("intake", "judge", "route", "draft", "validate", "send", "sign_off", "report"), "success"),
        "send_signed": "skipped",
    }
    assert bench.states(gate_marked) == {"G1": "executed", **dict.fromkeys(("G2", "G3", "G4", "G5"), "waiting")}
    assert [key for key in bench.sent() if key.startswith("G")] == ["G1"]


def test_an_execution_that_is_cleared_alone_sends_nothing_that_waits(bench, gate_marked):
    before = bench.tries(gate_marked, "first", "send_signed")

    bench.clear(gate_marked, "first", "send_signed", person="otto")
    bench.airflow.wait_for_run(gate_marked, "first", {"queued", "running"})
    bench.airflow.wait_for_run(gate_marked, "first")

    assert bench.tries(gate_marked, "first", "send_signed") > before
    assert bench.states(gate_marked) == {"G1": "executed", **dict.fromkeys(("G2", "G3", "G4", "G5"), "waiting")}
    assert [key for key in bench.sent() if key.startswith("G")] == ["G1"]


def test_late_votes_are_carried_out_by_a_resume_run_and_once(bench, gate_marked):
    bench.vote("lea", "G2", "approve")
    bench.vote("leo", "G3", "approve")
    bench.vote("lea", "G4", "reject", "no")
    assert not {"G2", "G3"} & set(bench.sent())

    for run in ("late", "later"):
        bench.airflow.trigger(gate_marked, {"interlock_resume": True}, run_id=run)
        settled(bench.airflow, gate_marked, run, "sign_off")
        bench.set_state(gate_marked, run, "sign_off", "success")
        assert bench.airflow.wait_for_run(gate_marked, run) == "success"

    assert bench.states(gate_marked) == {
        **dict.fromkeys(("G1", "G2", "G3"), "executed"),
        "G4": "rejected",
        "G5": "waiting",
    }
    assert {key: number for key, number in bench.sent().items() if key.startswith("G")} == {"G1": 1, "G2": 1, "G3": 1}
    assert not bench.problems()


def test_a_validation_marked_as_success_before_it_ran_sends_nothing_and_the_report_names_the_cases(bench):
    name = "validation_marked"
    write_workflow(bench, name, inbox=inbox("V1,sure=0.95,10,standard", "V2,sure=0.95,10,private"), more=HOLD_DRAFT)
    bench.airflow.trigger(name, run_id="by_hand")
    held = bench.held("by_hand", "draft")
    bench.set_state(name, "by_hand", "validate", "success")
    bench.airflow.wait_for_task(name, "by_hand", "report", {"failed", "success"})
    told = bench.last_error(name, "by_hand", "report")
    held.go_on()

    assert bench.airflow.wait_for_run(name, "by_hand") == "failed"
    assert "V1, V2" in told
    assert "'draft' is running" in told
    assert f"airflow interlock resume {name}" in told
    assert bench.tries(name, "by_hand", "report") == 1
    assert not {"V1", "V2"} & set(bench.sent())
    assert set(bench.states(name).values()) == {"routed"}

    bench.airflow.trigger(name, {"interlock_resume": True}, run_id="mended")
    settled(bench.airflow, name, "mended", "sign_off")

    assert bench.states(name) == {"V1": "executed", "V2": "waiting"}
    assert bench.sent()["V1"] == 1


def in_the_database(bench, *statements):
    """Write into the ledger's tables past all of Interlock."""
    database = sqlite3.connect(bench.airflow.home / "interlock.db", timeout=60)
    try:
        with database:
            for statement, values in statements:
                database.execute(statement, values)
    finally:
        database.close()


@pytest.fixture
def forged(bench):
    """A waiting case that somebody authorised in the database, for content that is not its draft."""
    name = "tampered"
    write_workflow(bench, name, inbox=inbox("T1,sure=0.95,10,private", "T2,sure=0.95,10,private"))
    bench.airflow.trigger(name, run_id="first")
    settled(bench.airflow, name, "first", "sign_off")
    row = {"id": uuid.uuid4().hex, "case": bench.cases(name)["T1"]["id"], "digest": "f" * 64}
    in_the_database(
        bench,
        (
            "INSERT INTO authorisation (id, case_id, action, payload_digest, basis, version_id, created_at, revision) "
            "SELECT :id, :case, 'payout', :digest, 'gate_request:forged', version_id, opened_at, 1 "
            "FROM gate_request WHERE case_id = :case",
            row,
        ),
        ("UPDATE \"case\" SET state = 'authorised', task = 'send_signed' WHERE id = :case", row),
    )
    yield row["id"]
    in_the_database(bench, ("DELETE FROM authorisation WHERE id = :id", row))  # other tests share this ledger


def test_an_authorisation_written_into_the_database_for_something_else_is_refused_and_found(bench, forged):
    told = f"authorisation:{forged}: no event tells of this row"
    assert told in bench.problems()

    bench.set_state("tampered", "first", "sign_off", "success")
    bench.airflow.wait_for_run("tampered", "first")

    refused = bench.cases("tampered")["T1"]
    assert (refused["state"], "T1" in bench.sent()) == ("dead", False)
    assert refused["reason"].startswith("NotAuthorised at send_signed")
    assert bench.states("tampered")["T2"] == "waiting"
    assert bench.problems() == [told]
