"""A person's decision against a rule's: on record, to people or to a stop, and never past a vote."""

from __future__ import annotations

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.override import override
from interlock.engine.approvals.review_action import see, vote
from interlock.errors import InputError, UnknownName
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import authorisation, decision, gate_request
from workflows import POLICY, Workflow, rows

STOPS = POLICY.replace("on_failure: review", "on_failure: stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, open_ledger):
    return open_ledger(request.param)


def send(ledger, key: str, route: str, reason: str = "seen on the phone"):
    return override(ledger, key, person="otto", route=route, reason=reason)


def test_what_a_rule_let_go_waits_for_people_and_its_authorisation_is_withdrawn(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send", rows("sure=0.95"))

    assert send(ledger, "R1", "review") == {"case": "R1", "state": "waiting", "route": "review"}

    assert [row["withdrawn_by"] for row in flow.table(authorisation)] == ["person:otto"]
    decided = {row["decided_by"]: row for row in flow.table(decision)}
    assert decided["person:otto"]["rule"] == "overridden by otto: seen on the phone"
    flow.execute()
    assert flow.sent() == []
    lea = Identity("lea")
    vote(ledger, "R1", person=lea, answer="approve", seen_digest=see(ledger, "R1", person=lea)["digest"])
    assert flow.execute("send_signed") == {"sent": 1}
    assert verify(ledger).problems == []


def test_nobody_overrides_a_gate_into_automatic(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send_signed", rows("unsure"))

    with pytest.raises(InputError, match="no one person sends"):
        send(ledger, "R1", "auto")

    assert flow.states() == {"R1": "waiting"}


def test_a_waiting_case_is_stopped_and_what_was_asked_is_void(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send_signed", rows("unsure"))

    send(ledger, "R1", "stop", "reported by bob@example.com")

    assert flow.states() == {"R1": "dead"}
    assert flow.cases()["R1"]["reason"] == "overridden by otto: reported by [EMAIL]"
    assert [row["state"] for row in flow.table(gate_request)] == ["void"]
    with pytest.raises(InputError, match="nothing to decide"):
        vote(
            ledger,
            "R1",
            person=Identity("lea"),
            answer="approve",
            seen_digest=flow.table(gate_request)[0]["seen_digest"],
        )
    assert verify(ledger).problems == []


def test_a_dead_letter_with_a_draft_comes_back_to_people(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send_signed", rows("unsure"))
    send(ledger, "R1", "stop")

    assert send(ledger, "R1", "review")["state"] == "waiting"

    lea = Identity("lea")
    vote(ledger, "R1", person=lea, answer="approve", seen_digest=see(ledger, "R1", person=lea)["digest"])
    assert flow.execute("send_signed") == {"sent": 1}


def test_what_a_check_stops_stays_stopped(tmp_path, ledger):
    assert STOPS != POLICY
    flow = Workflow(tmp_path, ledger, policy=STOPS)
    flow.up_to("send", rows("sure=0.95 promise"))
    assert flow.states() == {"R1": "dead"}

    with pytest.raises(InputError, match="must not be sent"):
        send(ledger, "R1", "review")

    assert flow.states() == {"R1": "dead"}


def test_a_route_that_no_gate_serves_is_told_with_those_that_are(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send_signed", rows("unsure"))

    with pytest.raises(UnknownName, match="review"):
        send(ledger, "R1", "fallback")
    with pytest.raises(InputError, match="needs a reason"):
        send(ledger, "R1", "stop", " ")
    assert flow.states() == {"R1": "waiting"}


def test_what_was_sent_and_what_is_under_way_is_not_overridden(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("draft", rows("sure=0.95"))
    with pytest.raises(InputError, match="ask for a review"):
        send(ledger, "R1", "review")
    flow.role("draft")
    flow.validate()
    flow.execute()

    with pytest.raises(InputError, match="'executed'"):
        send(ledger, "R1", "review")
