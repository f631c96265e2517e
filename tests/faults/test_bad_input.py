"""
What somebody got wrong, on a live Airflow: the task fails once and its log says what to do, and no case is lost.

All runs are started together; after each is repaired, its cases go on.
"""

from __future__ import annotations

import json

import pytest
import workflows
from faults.refund_desk import inbox, write_workflow

pytestmark = pytest.mark.live

ROWS = ("sure=0.95,10,standard", "sure=0.95,20,standard")
OTHER_FIELD = "class Letter(Contract):\n    signature: str = ''\n"
NO_CONNECTION = "connectors: {payout: {kind: outbox, conn_id: nowhere, undo: withdraw, timeout_seconds: 1.0}}\n"
SOURCES = {"missing": "nothing.csv", "encoding": "latin.csv", "empty": "empty.csv", "header": "header.csv"}
BROKEN = {"wrong_contract": "draft", "wrong_agent": "intake", "no_policy": "intake", "no_connection": "send"}
"""Workflow to the task that must fail."""


def keyed(name: str) -> list[str]:
    """Return two rows whose keys are this workflow's own."""
    return [f"{name}-{number},{row}" for number, row in enumerate(ROWS)]


@pytest.fixture(scope="module")
def broken(bench):
    """Every mistake, each in a run of its own that is over."""
    write_workflow(bench, "sources")
    data = bench.include / "sources" / "data"
    (data / "latin.csv").write_bytes(inbox("E1,caf\xe9,10,standard").encode("latin-1"))
    (data / "empty.csv").write_bytes(b"")
    (data / "header.csv").write_text(inbox())
    write_workflow(bench, "wrong_contract", inbox=inbox(*keyed("wrong_contract")))
    contracts = workflows.CONTRACTS.replace("class Letter(Contract):\n", OTHER_FIELD)
    assert contracts != workflows.CONTRACTS
    bench.write("include/wrong_contract/contracts.py", contracts)
    write_workflow(bench, "wrong_agent", inbox=inbox(*keyed("wrong_agent")), agent="jugde")
    write_workflow(bench, "no_policy", inbox=inbox(*keyed("no_policy")), publish=False)
    write_workflow(bench, "no_connection", inbox=inbox(*keyed("no_connection")), ecosystem=NO_CONNECTION)
    for run, file in SOURCES.items():
        bench.airflow.trigger("sources", {"source": f"include/sources/data/{file}"}, run_id=run)
    for name in BROKEN:
        bench.airflow.trigger(name, run_id="broken")
    for run in SOURCES:
        bench.airflow.wait_for_run("sources", run)
    for name in BROKEN:
        bench.airflow.wait_for_run(name, "broken")
    return bench


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("missing", ("SourceError: there is no file", "nothing.csv", "'inbox.csv'")),
        ("encoding", ("SourceError:", "latin.csv", "encoding")),
        ("empty", ("SourceError:", "empty.csv", "is empty: not even a header")),
    ],
)
def test_a_source_that_cannot_be_read_fails_the_run_once_with_a_sentence(broken, run, said):
    told = broken.last_error("sources", run, "intake")

    assert all(part in told for part in said), told
    assert broken.tries("sources", run, "intake") == 1
    assert broken.airflow.client.run_state("sources", run) == "failed"
    assert "'intake' is failed" in broken.last_error("sources", run, "report")
    assert not broken.cases("sources")


def test_a_source_with_a_header_alone_is_a_quiet_run(broken):
    states = broken.airflow.task_states("sources", "header")

    assert broken.airflow.client.run_state("sources", "header") == "success"
    assert {task for task, state in states.items() if state == "success"} == {"intake", "report"}
    assert {state for task, state in states.items() if task not in ("intake", "report")} == {"skipped"}
    log = broken.airflow.client.task_log("sources", "header", "intake")
    assert any("holds no rows" in line for line in log)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong_contract", ("ContractChanged: contract Letter@1 is not the one that was published", "policy publish")),
        ("wrong_agent", ("PolicyError:", "'jugde'", "judge")),
        ("no_policy", ("ConfigurationError:", "airflow interlock policy publish no_policy")),
        ("no_connection", ("ConfigurationError:", "'nowhere'", "airflow connections add")),
    ],
)
def test_a_mistake_fails_its_task_once_and_the_run_with_a_sentence_that_says_what_to_do(broken, name, said):
    told = broken.last_error(name, "broken", BROKEN[name])

    assert all(part in told for part in said), told
    assert broken.tries(name, "broken", BROKEN[name]) == 1
    assert broken.airflow.client.run_state(name, "broken") == "failed"
    assert not {key for key in broken.sent() if key.startswith(name)}


@pytest.mark.parametrize(("name", "state"), [("wrong_contract", "routed"), ("no_connection", "authorised")])
def test_cases_stand_where_the_mistake_stopped_them_and_the_report_names_them(broken, name, state):
    assert broken.states(name) == {f"{name}-0": state, f"{name}-1": state}
    assert {row["task"] for row in broken.cases(name).values()} == {BROKEN[name]}
    assert f"{name}-0, {name}-1" in broken.last_error(name, "broken", "report")


@pytest.fixture(scope="module")
def repaired(broken):
    """The same workflows, each mended as its error said, after another run."""
    outbox = {"path": str(broken.airflow.home / "outbox")}
    connection = {"connection_id": "nowhere", "conn_type": "fs", "extra": json.dumps(outbox)}
    broken.airflow.client.call("POST", "/api/v2/connections", connection)
    broken.publish("wrong_contract")
    broken.publish("no_policy")
    broken.write(
        "dags/wrong_agent.py", (broken.project / "dags" / "wrong_agent.py").read_text().replace("jugde", "judge")
    )
    for name in BROKEN:
        if name != "wrong_agent":
            resumes = {"interlock_resume": True} if BROKEN[name] != "intake" else {}
            broken.airflow.trigger(name, resumes, run_id="mended")
    for name in BROKEN:
        if name != "wrong_agent":
            broken.airflow.wait_for_run(name, "mended")
    broken.airflow.trigger("wrong_agent", run_id="mended")
    broken.airflow.wait_for_run("wrong_agent", "mended")
    return broken


@pytest.mark.parametrize("name", BROKEN)
def test_after_the_repair_every_case_goes_on_and_is_sent_once(repaired, name):
    assert repaired.airflow.client.run_state(name, "mended") == "success"
    assert repaired.states(name) == {f"{name}-0": "executed", f"{name}-1": "executed"}
    assert [repaired.sent()[f"{name}-{number}"] for number in range(2)] == [1, 1]
    assert not repaired.problems()
