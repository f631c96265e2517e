from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.cases.case import CaseState
from interlock.errors import ConfigurationError, LedgerError
from interlock.ledger.cases.case import cases_at, count_at, lock_cases, move, take_up_waiting
from interlock.ledger.runs.run import end_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import audit_event
from workflows import Workflow, rows, together


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    flow = Workflow(tmp_path, ledger)
    flow.intake(rows("a", "b", "c"))
    return flow


def test_a_case_is_moved_with_its_revision_and_an_event(flow: Workflow):
    session = flow.session("judge")
    with session.write() as tx:
        after = move(
            tx, [(flow.case_records()["R1"], CaseChange(state=CaseState.ROUTED, route="auto"))], kind="case.routed"
        )

    assert flow.case_records()["R1"] == after[0]
    assert (after[0].state, after[0].revision) == ("routed", 2)
    assert [e["subject"] for e in flow.table(audit_event) if e["kind"] == "case.routed"] == [f"case:{after[0].id}"]


@pytest.mark.parametrize("others", [[], ["R2"], ["R2", "R3"]], ids=["alone", "with one", "with two"])
def test_a_case_that_was_changed_since_it_was_read_is_not_moved_and_neither_is_any_beside_it(flow: Workflow, others):
    stale = flow.case_records()
    session = flow.session("judge")
    with session.write() as tx:
        move(tx, [(stale["R1"], CaseChange(route="first"))], kind="case.routed")

    with pytest.raises(LedgerError, match="1 rows of 'case' were changed by somebody else"), session.write() as tx:
        move(tx, [(stale[key], CaseChange(route="second")) for key in [*others, "R1"]], kind="case.routed")

    routes = {key: row["route"] for key, row in flow.cases().items()}
    assert routes == {"R1": "first", "R2": None, "R3": None}


def test_an_arrow_that_there_is_not_is_refused_and_nothing_is_written(flow: Workflow):
    session = flow.session("judge")
    before = flow.case_records()

    with pytest.raises(ConfigurationError, match="'open' cannot become 'executed'"), session.write() as tx:
        move(tx, [(before["R1"], CaseChange(state=CaseState.EXECUTED))], kind="case.executed")

    assert flow.case_records() == before


def test_locking_leaves_out_what_somebody_changed(flow: Workflow):
    stale = flow.case_records()
    session = flow.session("judge")
    with session.write() as tx:
        move(tx, [(stale["R2"], CaseChange(route="x"))], kind="case.routed")

    with session.write() as tx:
        assert [row.business_key for row in lock_cases(tx, [stale[key] for key in ("R1", "R2")])] == ["R1"]


def test_of_two_writers_at_the_same_instant_one_moves_the_case(flow: Workflow):
    session = flow.session("judge")
    for _ in range(20):
        read = flow.case_records()["R1"]

        def move_to(route: str, read=read):
            with session.write() as tx:
                here = lock_cases(tx, [read])
                move(tx, [(row, CaseChange(route=route)) for row in here], kind="case.routed")
                return len(here)

        assert sorted(together(lambda: move_to("x"), lambda: move_to("y"))) == [0, 1]
        assert flow.cases()["R1"]["revision"] == read.revision + 1


def test_cases_are_paged_by_id_without_a_gap(flow: Workflow):
    session = flow.session("judge")
    found, after = [], ""
    with flow.ledger.read() as connection:
        assert count_at(connection, session.run, "judge") == 3
        assert count_at(connection, session.run, "route") == 0
        while group := cases_at(connection, session.run, "judge", limit=1, after=after):
            found += [row.business_key for row in group]
            after = group[-1].id
    assert sorted(found) == ["R1", "R2", "R3"]


def take_up(flow: Workflow, run: str, finished: tuple[str, ...] = ()) -> int:
    session = flow.session("intake", run=run)
    with session.write() as tx:
        return take_up_waiting(tx, session.run, finished=finished, tasks=flow.wiring.tasks)


def test_a_resume_run_takes_up_what_stands_in_a_run_that_is_over_and_leaves_the_rest(flow: Workflow):
    assert take_up(flow, "r2") == 0, "the first run is not over"

    session = flow.session("report")
    with session.write() as tx:
        cases = flow.case_records()
        move(tx, [(cases["R1"], CaseChange(state=CaseState.DEAD))], kind="case.dead")
        move(tx, [(cases["R2"], CaseChange(state=CaseState.WAITING, task="sign_off"))], kind="case.waits")
        move(tx, [(cases["R3"], CaseChange(task="a task of an older Dag"))], kind="case.left")
        end_run(tx, session.run)

    assert take_up(flow, "r2") == 1
    assert take_up(flow, "r2") == 0, "they are its own now"
    second = flow.session("intake", run="r2").run.id
    assert {key for key, row in flow.cases().items() if row["run_id"] == second} == {"R2"}
    assert flow.cases()["R2"]["task"] == "sign_off"


def test_a_run_that_was_not_recorded_as_ended_counts_as_over_when_airflow_says_so(flow: Workflow):
    first = flow.session("intake").run.id

    assert take_up(flow, "r2", finished=(first,)) == 3


def test_a_case_of_no_run_is_taken_up(flow: Workflow):
    session = flow.session("report")
    with session.write() as tx:
        move(tx, [(flow.case_records()["R1"], CaseChange(run_id=None))], kind="case.resubmitted")

    assert take_up(flow, "r2") == 1


def test_two_resume_runs_at_the_same_instant_share_the_cases_without_taking_one_twice(flow: Workflow):
    session = flow.session("report")
    with session.write() as tx:
        end_run(tx, session.run)
    flow.session("intake", run="r2")
    flow.session("intake", run="r3")

    said = together(lambda: take_up(flow, "r2"), lambda: take_up(flow, "r3"))

    assert sum(said) == 3
