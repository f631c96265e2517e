from __future__ import annotations

from pathlib import Path

import pytest
from interlock.domain.cases.case import CaseState
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import move
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import authorisation, decision, handoff
from workflows import POLICY, Workflow, rows


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    return Workflow(tmp_path, ledger)


def test_a_good_automatic_draft_is_authorised_by_its_decision_for_exactly_its_digest(flow: Workflow):
    flow.up_to("validate", rows("sure=0.95"))

    assert flow.validate() == {"auto": 1}

    [granted] = flow.table(authorisation)
    row = flow.cases()["R1"]
    [routing] = flow.table(decision)
    draft = next(one for one in flow.table(handoff) if one["id"] == row["draft_id"])
    assert (granted["action"], granted["payload_digest"]) == ("payout", draft["payload_digest"])
    assert granted["basis"] == f"decision:{routing['id']}"
    assert (row["state"], row["task"]) == ("authorised", "send")
    assert verify(flow.ledger).problems == []


def test_what_is_for_people_waits_and_nothing_is_authorised(flow: Workflow):
    flow.up_to("validate", rows("not sure"))

    assert flow.validate() == {"review": 1}
    assert flow.table(authorisation) == []
    assert (flow.cases()["R1"]["state"], flow.cases()["R1"]["task"]) == ("waiting", "sign_off")


def test_a_failed_check_sends_an_automatic_case_to_people_by_a_decision_of_its_own(flow: Workflow):
    flow.up_to("validate", rows("sure=0.95 I promise"))

    assert flow.validate() == {"failed_checks": 1, "review": 1}

    assert flow.table(authorisation) == []
    row = flow.cases()["R1"]
    assert (row["state"], row["route"], row["reason"]) == ("waiting", "review", "failed check: nothing is promised")
    overruling = next(one for one in flow.table(decision) if one["task"] == "validate")
    assert (overruling["rule"], overruling["route"]) == ("failed check: nothing is promised", "review")
    assert row["decision_id"] == overruling["id"]


def test_a_check_that_stops_wins_over_one_that_asks_people(flow: Workflow):
    flow.up_to("validate", rows("sure=0.95 promise 4000123412341234", "not sure 4000123412341234"))

    assert flow.validate() == {"failed_checks": 2, "dead": 2}

    assert flow.states() == {"R1": "dead", "R2": "dead"}
    assert {row["route"] for row in flow.cases().values()} == {"stop"}
    assert {one["route"] for one in flow.table(decision) if one["task"] == "validate"} == {"stop"}
    assert flow.table(authorisation) == []


def test_a_check_that_cannot_be_evaluated_is_a_failed_check(tmp_path: Path, sqlite_ledger: Ledger):
    policy = POLICY.replace("!letter.text.contains('promise')", "case.account_id != 'x'")
    flow = Workflow(tmp_path, sqlite_ledger, policy=policy)
    flow.up_to("validate", rows("sure=0.95"))

    assert flow.validate() == {"failed_checks": 1, "review": 1}
    assert "there is no case.account_id" in flow.cases()["R1"]["reason"]
    assert flow.table(authorisation) == []


def test_a_case_that_a_person_asked_to_see_is_not_let_go(flow: Workflow):
    flow.up_to("validate", rows("sure=0.95", "sure=0.95"))
    with flow.session("draft").write() as tx:
        move(tx, [(flow.case_records()["R1"], CaseChange(review_asked_by="lea"))], kind="review.asked")

    assert flow.validate() == {"auto": 1, "review": 1}

    assert flow.states() == {"R1": "waiting", "R2": "authorised"}
    assert flow.cases()["R1"]["reason"] == "asked for by lea"
    assert len(flow.table(authorisation)) == 1


def test_a_case_without_a_draft_goes_to_people_and_nothing_is_authorised(flow: Workflow):
    flow.intake(rows("a"))
    with flow.session("intake").write() as tx:
        ready = CaseChange(task="validate", state=CaseState.ROUTED, route="auto")
        move(tx, [(flow.case_records()["R1"], ready)], kind="moved")

    assert flow.validate() == {"without_draft": 1}
    assert flow.states() == {"R1": "waiting"}
    assert flow.table(authorisation) == []


def test_validating_again_authorises_nothing_twice(flow: Workflow):
    flow.up_to("send", rows("sure=0.95"))

    assert flow.validate() == {}
    assert len(flow.table(authorisation)) == 1
