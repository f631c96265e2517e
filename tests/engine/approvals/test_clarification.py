"""Asking back and handing over: said on record, told to whom it is for, and never a vote."""

from __future__ import annotations

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.clarification import ask_back, hand_over, reply
from interlock.engine.approvals.review_action import see, vote
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.audit.verify import verify
from interlock.ledger.incidents.notice import list_notices
from interlock.ledger.store.schema import decision
from interlock.ledger.store.schema import vote as votes
from workflows import WORKFLOW, Workflow, rows

LEA, LEO, OTTO = (Identity(name) for name in ("lea", "leo", "otto"))


@pytest.fixture(params=["sqlite", "postgresql"])
def flow(request, tmp_path, open_ledger):
    owned = WORKFLOW + "case_owner: [{owner: others}]\n"
    flow = Workflow(tmp_path, open_ledger(request.param), workflow=owned)
    flow.up_to("send_signed", rows("one"))
    return flow


def test_a_question_goes_to_the_owner_and_the_answer_to_those_who_vote(flow):
    before = see(flow.ledger, "R1")["digest"]

    asked = ask_back(flow.ledger, "R1", person=LEA, text="did ann@example.com call?")
    assert (asked["told"], asked["said"]) == (["otto"], "lea asks: did [EMAIL] call?")
    answered = reply(flow.ledger, "R1", person=OTTO, text="yes, today")
    assert answered["told"] == ["lea", "leo"]

    seen = see(flow.ledger, "R1")
    assert (seen["why"], seen["digest"]) == ("otto says: yes, today", before)
    assert flow.table(votes) == []
    rules = {row["rule"] for row in flow.table(decision)}
    assert {"lea asks: did [EMAIL] call?", "otto says: yes, today"} <= rules
    assert [row.recipients for row in reversed(list_notices(flow.ledger))] == [["otto"], ["lea", "leo"]]
    vote(flow.ledger, "R1", person=LEA, answer="approve", seen_digest=before)
    assert flow.execute("send_signed") == {"sent": 1}
    assert verify(flow.ledger).problems == []


def test_a_case_is_handed_over_to_one_who_may_vote(flow):
    assert hand_over(flow.ledger, "R1", person=LEA, to="leo", text="you know them")["told"] == ["leo"]
    with pytest.raises(NotAuthorised, match=r"'otto' may not vote.*review delegate"):
        hand_over(flow.ledger, "R1", person=LEA, to="otto", text="you know them")

    vote(flow.ledger, "R1", person=LEO, answer="approve", seen_digest=see(flow.ledger, "R1")["digest"])
    assert flow.states() == {"R1": "authorised"}


def test_who_may_not_vote_neither_asks_nor_hands_over(flow):
    with pytest.raises(NotAuthorised, match="'otto' may not vote"):
        ask_back(flow.ledger, "R1", person=OTTO, text="why?")
    with pytest.raises(NotAuthorised, match="'otto' may not vote"):
        hand_over(flow.ledger, "R1", person=OTTO, to="lea", text="yours")
    assert list_notices(flow.ledger) == []


@pytest.mark.parametrize("text", [" ", "x" * 251])
def test_something_is_said_and_not_too_much(flow, text):
    with pytest.raises(InputError, match="250 characters at most"):
        ask_back(flow.ledger, "R1", person=LEA, text=text)


def test_nothing_is_said_about_a_case_that_waits_for_nobody(flow):
    digest = see(flow.ledger, "R1")["digest"]
    vote(flow.ledger, "R1", person=LEA, answer="approve", seen_digest=digest)

    with pytest.raises(InputError, match="nobody is asked about it"):
        reply(flow.ledger, "R1", person=OTTO, text="too late")
