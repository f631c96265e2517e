from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from interlock.domain.approvals.access import Identity
from interlock.domain.approvals.request_state import GateState
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.approvals.gate import Answer, cast_vote, open_requests_of, void_requests
from interlock.ledger.audit.verify import verify
from interlock.ledger.policy.company import company_at
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.schema import authorisation, gate_request, vote
from interlock.ledger.store.transaction import Actor
from workflows import POLICY, Workflow, rows, together


def waiting(tmp_path: Path, ledger: Ledger, cases: int = 1, votes: int = 1) -> Workflow:
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace("votes: 1", f"votes: {votes}"))
    flow.up_to("send", rows(*["not sure"] * cases))
    flow.gate()
    return flow


def cast(flow: Workflow, request: dict[str, Any], person: str, answer: str = "approve", **more: Any) -> GateState:
    with flow.ledger.write(actor=Actor("person", person), chain=f"case:{request['case_id']}") as tx:
        said = {"seen_digest": request["seen_digest"], "reason": "because", "way": "api", **more}
        given = Answer(person=Identity(person), answer=answer, **said)
        access = company_at(tx.connection, flow.ledger).access
        return cast_vote(tx, request["id"], given, access=access, next_task="send_signed").state


def only_request(flow: Workflow) -> dict[str, Any]:
    [request] = flow.table(gate_request)
    return request


def test_one_approval_of_one_authorises_exactly_what_was_seen(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger)
    request = only_request(flow)

    assert cast(flow, request, "lea") is GateState.APPROVED

    [granted] = flow.table(authorisation)
    assert (granted["action"], granted["payload_digest"]) == ("payout", request["payload_digest"])
    assert granted["basis"] == f"gate_request:{request['id']}"
    assert (flow.cases()["R1"]["state"], flow.cases()["R1"]["task"]) == ("authorised", "send_signed")
    assert verify(ledger).problems == []


def test_two_votes_must_come_from_two_people(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger, votes=2)
    request = only_request(flow)

    assert cast(flow, request, "lea") is GateState.OPEN
    assert cast(flow, request, "lea") is GateState.OPEN
    assert len(flow.table(vote)) == 1
    assert flow.table(authorisation) == []
    assert cast(flow, request, "leo") is GateState.APPROVED


def test_a_vote_is_not_changed(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger, votes=2)
    cast(flow, only_request(flow), "lea")

    with pytest.raises(NotAuthorised, match="'lea' has voted 'approve' on this already"):
        cast(flow, only_request(flow), "lea", "reject")
    assert flow.states() == {"R1": "waiting"}


def test_one_rejection_rejects_and_keeps_the_reason(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger, votes=2)
    cast(flow, only_request(flow), "lea")

    assert cast(flow, only_request(flow), "leo", "reject", reason="far too late") is GateState.REJECTED

    assert (flow.cases()["R1"]["state"], flow.cases()["R1"]["reason"]) == ("rejected", "far too late")
    assert flow.table(authorisation) == []


@pytest.mark.parametrize(
    ("person", "answer", "more", "error", "match"),
    [
        ("otto", "approve", {}, NotAuthorised, "'otto' may not vote at gate 'leads'; it asks now: leads .lea, leo"),
        ("LEA", "approve", {}, NotAuthorised, "'LEA' may not vote"),
        ("", "approve", {}, NotAuthorised, "may not vote"),
        ("lea", "approve", {"seen_digest": "0" * 64}, InputError, "what you saw is no longer what would be sent"),
        ("lea", "reject", {"reason": None}, InputError, "a rejection needs a reason"),
        ("lea", "reject", {"reason": "  "}, InputError, "a rejection needs a reason"),
    ],
)
def test_a_vote_that_may_not_count_changes_nothing(
    tmp_path: Path, ledger: Ledger, person: str, answer: str, more: dict[str, Any], error: type, match: str
):
    flow = waiting(tmp_path, ledger)

    with pytest.raises(error, match=match):
        cast(flow, only_request(flow), person, answer, **more)

    assert flow.table(vote) == []
    assert only_request(flow)["state"] == "open"
    assert flow.states() == {"R1": "waiting"}


def test_a_decided_gate_takes_no_more_votes(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger)
    cast(flow, only_request(flow), "lea")

    with pytest.raises(InputError, match="the gate is approved for this case already"):
        cast(flow, only_request(flow), "leo", "reject")


def test_a_void_request_takes_no_votes(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger)
    request = only_request(flow)
    with ledger.write(actor=Actor("person", "lea"), chain="case:x") as tx:
        void_requests(tx, request["case_id"])

    with pytest.raises(InputError, match="the gate is void for this case already"):
        cast(flow, request, "lea")


@pytest.mark.parametrize(
    ("races", "votes", "answers", "decisions"),
    [
        (200, 1, ("approve", "approve"), {GateState.APPROVED}),
        (50, 2, ("approve", "approve"), {GateState.APPROVED}),
        (50, 1, ("approve", "reject"), {GateState.APPROVED, GateState.REJECTED}),
    ],
    ids=["one of two yes", "two of two yes", "yes against no"],
)
def test_two_people_who_vote_at_the_same_instant_make_one_decision(
    tmp_path: Path, ledger: Ledger, races: int, votes: int, answers: tuple[str, str], decisions: set[GateState]
):
    flow = waiting(tmp_path, ledger, cases=races, votes=votes)
    requests = flow.table(gate_request)
    assert len(requests) == races

    for request in requests:
        said = together(
            lambda request=request: cast(flow, request, "lea", answers[0]),
            lambda request=request: cast(flow, request, "leo", answers[1]),
        )
        deciding = [one for one in said if isinstance(one, GateState) and one is not GateState.OPEN]
        late = [one for one in said if isinstance(one, InputError)]
        first = [one for one in said if one is GateState.OPEN]
        assert len(deciding) == 1, said
        assert deciding[0] in decisions
        assert (len(late), len(first)) == ((1, 0) if votes == 1 else (0, 1)), said

    granted = Counter(row["case_id"] for row in flow.table(authorisation))
    states = Counter(flow.states().values())
    assert set(granted.values()) <= {1}
    assert states["authorised"] == len(granted)
    assert states["authorised"] + states["rejected"] == races
    assert len(flow.table(vote)) == races * votes
    assert verify(ledger).problems == []


def test_open_requests_are_listed_with_their_cases(tmp_path: Path, ledger: Ledger):
    flow = waiting(tmp_path, ledger, cases=2)

    listed = open_requests_of(ledger, workflow="refunds")

    assert {row.business_key for row in listed} == {"R1", "R2"}
    assert open_requests_of(ledger, workflow="another") == []
    assert open_requests_of(Ledger(ledger.engine, "production")) == []
    cast(flow, flow.table(gate_request)[0], "lea")
    assert len(open_requests_of(ledger)) == 1
