from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.cases.case import ACTIVE, CaseState
from interlock.errors import Stopped
from interlock.ledger.cases.case import move
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import workflow_run
from workflows import WORKFLOW, Workflow, rows


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, ledger)


def test_a_run_whose_cases_all_rest_ends_with_its_figures(flow: Workflow):
    flow.up_to("report", rows("sure=0.95", "not sure", "sure=0.95 4000123412341234"))

    said = flow.report()

    assert said["cases_total"] == 3 == sum(said["by_state"].values())
    assert said["by_state"] == {"executed": 1, "waiting": 1, "dead": 1}
    assert (said["automatic"], said["automatic_share"], said["effects_sent"]) == (1, 0.3333, 1)
    assert said["waiting"] == [{"task": "sign_off", "route": "review", "cases": 1, "people": ["lea", "leo"]}]
    assert said["unplaced"] == []
    assert [row["ended_at"] is None for row in flow.table(workflow_run)] == [False]


@pytest.mark.parametrize("stop", ["judge", "route", "again", "draft", "validate", "send"])
def test_a_run_with_a_case_that_no_task_took_on_fails_and_says_where_it_stands(
    tmp_path: Path, sqlite_ledger: Ledger, stop: str
):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.up_to(stop, rows("sure=0.5" if stop == "again" else "sure=0.95"))

    with pytest.raises(Stopped, match=rf"1 case is in no resting place: .*at '{stop}'"):
        flow.report()
    assert [row["ended_at"] for row in flow.table(workflow_run)] == [None]


@pytest.mark.parametrize("state", sorted(CaseState))
def test_a_run_may_end_exactly_with_cases_in_the_resting_states(
    tmp_path: Path, sqlite_ledger: Ledger, state: CaseState
):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows("a"))
    with sqlite_ledger.engine.begin() as connection:
        connection.exec_driver_sql('UPDATE "case" SET state = ?', (state.value,))

    if state not in ACTIVE:
        assert flow.report()["by_state"] == {state.value: 1}
    else:
        with pytest.raises(Stopped):
            flow.report()


def test_a_case_that_people_approved_after_the_gates_end_does_not_fail_the_run(flow: Workflow):
    from interlock.engine.approvals import review_action

    flow.up_to("report", rows("not sure"))
    review_action.vote(
        flow.ledger,
        "R1",
        person=Identity("lea"),
        answer="approve",
        seen_digest=review_action.see(flow.ledger, "R1")["digest"],
    )

    assert flow.report()["by_state"] == {"authorised": 1}


def test_the_automatic_are_held_against_the_known_answers(tmp_path: Path, sqlite_ledger: Ledger):
    settings = WORKFLOW.replace("key: refund_id}", "key: refund_id, label: {columns: [truth], field: kind}}")
    flow = Workflow(tmp_path, sqlite_ledger, workflow=settings)
    given = rows("sure=0.95", "sure=0.95", "sure=0.95", "not sure")
    for row, truth in zip(given, ("refund", "complaint", None, "complaint"), strict=True):
        assert row.values is not None
        row.values["truth"] = truth
    flow.up_to("report", given)

    said = flow.report()

    assert (said["automatic"], said["automatic_labelled"], said["automatic_right"]) == (3, 2, 1)
    assert said["automatic_accuracy"] == 0.5


def test_every_case_is_in_one_place_and_the_sum_is_what_was_taken_in(flow: Workflow):
    texts = ["sure=0.95", "not sure", "sure=0.95 promise", "sure=0.95 4000123412341234", "sure=0.5 surer=0.9"] * 6
    flow.up_to("report", [*rows(*texts), *rows("sure=0.95")])

    said = flow.report()

    assert sum(said["by_state"].values()) == said["cases_total"] == len(flow.cases()) == 30


def test_reporting_twice_says_the_same(flow: Workflow):
    flow.up_to("report", rows("sure=0.95"))
    first = flow.report()
    second = flow.report()

    assert first["ended_at"] == second["ended_at"] is not None
    assert {k: v for k, v in first.items() if k != "stages"} == {k: v for k, v in second.items() if k != "stages"}


def test_the_reasons_of_dead_letters_are_counted(tmp_path: Path, sqlite_ledger: Ledger):
    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows("a"))
    with flow.session("judge").write() as tx:
        move(tx, [(flow.case_records()["R1"], CaseChange(state=CaseState.DEAD, reason="because"))], kind="case.dead")

    assert flow.report()["reasons"] == {"because": 1}
