"""What waits in the ledger goes on in a resume run: exactly that, and nothing of a run that is still at work."""

from __future__ import annotations

import re

import pytest
from faults.refund_desk import inbox, write_workflow
from interlock.ledger.store.schema import workflow_run

pytestmark = pytest.mark.live

NAME = "late"
HOLD_JUDGE = """
from faults.sabotage import hold
hold(DAG, "judge", "interlock.engine.agents.role", "run_role", runs="busy")
"""


@pytest.fixture(scope="module")
def released(bench):
    """A run whose gate was released undecided."""
    rows = [
        "L1,sure=0.95,10,standard",
        *(f"L{number},sure=0.95,10,private" for number in (2, 3, 4)),
        "L5,sure=0.95,20000,standard",
        "L6,,10,standard",
    ]
    write_workflow(bench, NAME, inbox=inbox(*rows), release_after="6s", more=HOLD_JUDGE)
    bench.write(f"include/{NAME}/data/busy.csv", inbox("B1,sure=0.95,10,standard", "B2,sure=0.95,10,standard"))
    bench.airflow.trigger(NAME, run_id="first")
    bench.airflow.wait_for_run(NAME, "first")
    return bench


@pytest.fixture(scope="module")
def resumed(released):
    """What people did afterwards was taken up by ``airflow interlock resume``, while another run was at work."""
    bench = released
    bench.airflow.trigger(NAME, {"source": f"include/{NAME}/data/busy.csv"}, run_id="busy")
    held = bench.held("busy", "judge")
    bench.vote("lea", "L2", "approve")
    bench.vote("leo", "L3", "reject", "no")
    bench.act("admin", "L5", "resubmit", {"changes": {"amount": 5}})
    bench.act("admin", "L6", "resubmit", {"changes": {"text": "sure=0.99"}})
    environment = {"INTERLOCK_TOKEN": bench.airflow.token("admin"), "INTERLOCK_URL": bench.airflow.url}
    said = bench.airflow.run("resume", "airflow", "interlock", "resume", NAME, environment=environment)
    run = re.search(r"run (\S+) resumes", said)
    assert run, said
    state = bench.airflow.wait_for_run(NAME, run[1])
    seen = {"run": run[1], "state": state, "cases": bench.cases(NAME), "sent": bench.sent()}
    held.go_on()
    bench.airflow.wait_for_run(NAME, "busy")
    return seen


def test_a_gate_that_nobody_answers_is_released_and_sends_nothing(released):
    assert released.airflow.client.run_state(NAME, "first") == "success"
    assert "L1" in released.sent()
    assert released.airflow.task_states(NAME, "first")["send_signed"] == "skipped"


def test_a_resume_run_sends_exactly_what_was_approved_mended_or_corrected(resumed):
    assert resumed["state"] == "success"
    assert {key: row["state"] for key, row in resumed["cases"].items() if key.startswith("L")} == {
        **dict.fromkeys(("L1", "L2", "L5", "L6"), "executed"),
        "L3": "rejected",
        "L4": "waiting",
    }
    assert {key: n for key, n in resumed["sent"].items() if key.startswith("L")} == dict.fromkeys(
        ("L1", "L2", "L5", "L6"), 1
    )


def test_cases_of_a_run_that_is_at_work_are_not_taken_from_it(bench, resumed):
    runs = {row["id"]: row["run_id"] for row in bench.rows(workflow_run)}

    assert {key: runs[resumed["cases"][key]["run_id"]] for key in ("B1", "B2", "L2", "L5", "L6")} == {
        **dict.fromkeys(("B1", "B2"), "busy"),
        **dict.fromkeys(("L2", "L5", "L6"), resumed["run"]),
    }
    assert not {"B1", "B2"} & set(resumed["sent"])


def test_that_run_goes_on_to_its_end_and_sends_its_own_once(bench, resumed):
    assert bench.airflow.client.run_state(NAME, "busy") == "success"
    assert {key: bench.sent()[key] for key in ("B1", "B2")} == {"B1": 1, "B2": 1}
    assert bench.states(NAME)["L4"] == "waiting"
    assert not bench.problems()
