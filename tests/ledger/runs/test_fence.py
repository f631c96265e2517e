from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.cases.case import CaseState
from interlock.errors import Superseded
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import move
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.runs.run import find_run, start_run, unfinished_runs
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import task_attempt, workflow_run
from interlock.ledger.store.transaction import Actor
from workflows import NAME, WIRING, Workflow, rows, together


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, ledger)


def test_a_later_attempt_of_a_task_ends_the_earlier_ones_writing(flow: Workflow):
    flow.intake(rows("a"))
    old = flow.session("judge")
    new = flow.session("judge")
    before = flow.case_records()

    with pytest.raises(Superseded, match="attempt 1 of task 'judge' was superseded by attempt 2"), old.write() as tx:
        move(tx, [(before["R1"], CaseChange(state=CaseState.DEAD))], kind="case.dead")

    assert flow.case_records() == before
    with new.write() as tx:
        move(tx, [(before["R1"], CaseChange(state=CaseState.DEAD))], kind="case.dead")
    assert flow.states() == {"R1": "dead"}


def test_attempts_of_other_tasks_and_runs_do_not_matter(flow: Workflow):
    mine = flow.session("judge")
    flow.session("route")
    flow.session("judge", run="r2")

    with mine.write() as tx:
        tx.tell("noted", "still here", {})


def test_attempts_that_begin_at_the_same_instant_leave_one_that_may_write(flow: Workflow):
    flow.session("judge")
    for _ in range(10):
        sessions = together(lambda: flow.session("judge"), lambda: flow.session("judge"))
        allowed = 0
        for session in sessions:
            try:
                with session.write() as tx:
                    tx.tell("noted", "here", {})
                allowed += 1
            except Superseded:
                pass
        assert allowed == 1
    assert verify(flow.ledger).problems == []


def test_an_ended_attempt_keeps_its_counts(flow: Workflow):
    session = flow.session("judge")
    session.count("done", 3)
    session.finish()

    [row] = flow.table(task_attempt)
    assert (row["counts"], row["number"]) == ({"done": 3}, 1)
    assert row["ended_at"] >= row["started_at"]


def test_two_tasks_that_begin_a_run_at_the_same_instant_record_it_once(flow: Workflow):
    for turn in range(10):
        said = together(
            *[
                lambda task=task, turn=turn: start_run(
                    flow.ledger,
                    version=flow.version,
                    company=company_in_force(flow.ledger),
                    dag_id=NAME,
                    run_id=f"r{turn}",
                    wiring=WIRING,
                    triggered_by=None,
                    is_resume=False,
                    actor=Actor("task", task),
                )
                for task in ("intake", "judge", "report")
            ]
        )
        assert len({run.id for run in said}) == 1, said
    assert len(flow.table(workflow_run)) == 10
    assert verify(flow.ledger).problems == []


def test_a_run_keeps_the_version_and_wiring_that_it_began_with(flow: Workflow):
    first = flow.session("intake").run
    flow.write("policy.yaml", "policy: refunds\ncontract: Refund\ndefault: stop\n")
    assert flow.publish().number == 2

    found = find_run(flow.ledger, NAME, "r1")

    assert found == first
    assert found is not None
    assert (found.version.number, found.wiring) == (1, WIRING)
    assert find_run(flow.ledger, NAME, "r9") is None
    assert find_run(Ledger(flow.ledger.engine, "production"), NAME, "r1") is None


def test_a_run_is_unfinished_until_it_is_reported(flow: Workflow):
    run = flow.session("intake").run
    assert unfinished_runs(flow.ledger, NAME) == [(run.id, NAME, "r1")]

    flow.report()

    assert unfinished_runs(flow.ledger, NAME) == []
