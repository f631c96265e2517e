"""What people do through the API, end to end: from the request to what is in the outbox."""

from __future__ import annotations

import json

import pytest
from interlock.commands.review import read_votes
from interlock.engine.policy.bundle import read_bundle
from interlock.errors import InputError
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import authorisation, vote
from workflows import NAME, POLICY, WIRING, rows

pytestmark = pytest.mark.airflow


@pytest.fixture
def parked(workflow):
    """Three refunds that wait at the gate, and one that a rule lets go."""
    workflow.up_to("send", rows("one", "two", "three", "four sure=0.95"))
    workflow.gate()
    assert workflow.states() == {"R1": "waiting", "R2": "waiting", "R3": "waiting", "R4": "authorised"}
    return workflow


def cast(person, key, answer="approve", **more):
    digest = more.pop("digest", None) or person.get(f"/api/reviews/{key}").json()["digest"]
    return person.post(f"/api/cases/{key}/vote", json={"answer": answer, "digest": digest, **more})


def test_an_approved_case_is_sent_as_it_was_seen(parked, client):
    lea = client("lea")
    seen = lea.get("/api/reviews/R1").json()

    response = cast(lea, "R1")
    parked.execute("send_signed")

    assert response.json() == {
        "case": "R1",
        "state": "approved",
        "lacking": [],
        "gate": {"dag_id": NAME, "run_id": "r1", "task_id": "sign_off"},
        "gate_is_done": False,
    }
    assert parked.states()["R1"] == "executed"
    (sent,) = [json.loads(path.read_text()) for path in parked.sent()]
    assert sent["payload"] == seen["execute"]
    (row,) = parked.table(vote)
    assert (row["person"], row["way"]) == ("lea", "api")


def test_who_votes_is_who_asks_whatever_the_body_says(parked, client):
    response = client("lea").post("/api/cases/R1/vote", json={"answer": "approve", "digest": "0" * 64, "person": "leo"})

    assert response.status_code == 422
    assert parked.table(vote) == []


def test_a_rejected_case_is_never_sent_and_says_why(parked, client):
    assert cast(client("lea"), "R1", "reject", reason="not ours").status_code == 200
    parked.execute("send_signed")

    assert parked.states()["R1"] == "rejected"
    assert parked.cases()["R1"]["reason"] == "not ours"
    assert parked.sent() == []


def test_a_rejection_without_a_reason_is_refused(parked, client):
    response = cast(client("lea"), "R1", "reject", reason="  ")

    assert (response.status_code, parked.states()["R1"]) == (409, "waiting")
    assert "needs a reason" in response.json()["detail"]


def test_of_many_votes_each_counts_or_is_refused_by_itself(parked, client):
    lea = client("lea")
    digests = {row["business_key"]: row["digest"] for row in lea.get("/api/reviews").json()["reviews"]}
    votes = [
        {"case": "R1", "answer": "approve", "digest": digests["R1"]},
        {"case": "R2", "answer": "approve", "digest": "0" * 64},
        {"case": "R3", "answer": "reject", "digest": digests["R3"], "reason": "not ours"},
        {"case": "R9", "answer": "approve", "digest": "0" * 64},
        {"case": "R1", "answer": "approve", "digest": digests["R1"]},
    ]

    response = lea.post("/api/votes", json={"votes": votes}).json()["votes"]

    assert sorted((one["case"], one["counts"]) for one in response) == [
        ("R1", False),
        ("R1", True),
        ("R2", False),
        ("R3", True),
        ("R9", False),
    ]
    states = parked.states()
    assert (states["R1"], states["R2"], states["R3"]) == ("authorised", "waiting", "rejected")
    assert sorted((row["person"], row["answer"]) for row in parked.table(vote)) == [
        ("lea", "approve"),
        ("lea", "reject"),
    ]


def test_many_votes_of_a_person_who_may_not_answer_count_not_at_all(parked, client):
    digests = {row["business_key"]: row["digest"] for row in client("vera").get("/api/reviews").json()["reviews"]}
    votes = [{"case": key, "answer": "approve", "digest": digest} for key, digest in digests.items()]

    assert client("vera").post("/api/votes", json={"votes": votes}).status_code == 403
    assert parked.table(vote) == []


def test_a_file_of_votes_says_which_line_cannot_be_taken(tmp_path):
    file = tmp_path / "votes.csv"
    file.write_text("case,answer,digest,reason\nR1,approve,abc,\nR2,reject,,not ours\n")
    with pytest.raises(InputError, match=r"line 3 .* lacks digest"):
        read_votes(file)
    file.write_text("case,answer,digest,reason\nR1,approve,abc,\nR2,reject,def,not ours\n")

    assert read_votes(file) == [
        {"case": "R1", "answer": "approve", "digest": "abc", "reason": None},
        {"case": "R2", "answer": "reject", "digest": "def", "reason": "not ours"},
    ]


def test_a_vote_on_something_else_than_what_is_there_is_refused(parked, client):
    lea = client("lea")

    response = cast(lea, "R1", digest="0" * 64)

    assert (response.status_code, parked.states()["R1"]) == (409, "waiting")
    assert "look at it again" in response.json()["detail"]


def test_a_digest_of_another_case_does_not_count(parked, client):
    lea = client("lea")
    other = lea.get("/api/reviews/R2").json()["digest"]

    assert cast(lea, "R1", digest=other).status_code == 409


def test_who_is_no_voter_of_the_gate_cannot_vote(parked, client):
    response = cast(client("otto"), "R1")

    assert response.status_code == 403
    assert "lea, leo" in response.json()["detail"]
    assert parked.states()["R1"] == "waiting"


def test_a_second_vote_finds_the_case_decided(parked, client):
    digest = client("lea").get("/api/reviews/R1").json()["digest"]
    assert cast(client("lea"), "R1").status_code == 200

    response = cast(client("leo"), "R1", digest=digest)

    assert response.status_code == 409
    assert len(parked.table(vote)) == 1


def test_an_edit_changes_what_is_asked_about_and_old_votes_do_not_fit_it(parked, client):
    lea = client("lea")
    before = lea.get("/api/reviews/R1").json()

    response = lea.post(
        "/api/cases/R1/edit", json={"changes": {"text": "Dear customer, no."}, "digest": before["digest"]}
    )

    assert response.json() == {"case": "R1", "state": "open", "warnings": []}
    assert cast(client("leo"), "R1", digest=before["digest"]).status_code == 409
    after = lea.get("/api/reviews/R1").json()
    assert after["execute"] == {**before["execute"], "text": "Dear customer, no."}
    refused = cast(lea, "R1")
    assert (refused.status_code, parked.states()["R1"]) == (403, "waiting")
    assert "'lea' edited the draft and may not approve it at gate 'leads'" in refused.json()["detail"]
    assert cast(client("leo"), "R1").status_code == 200
    parked.execute("send_signed")
    assert json.loads(parked.sent()[0].read_text())["payload"]["text"] == "Dear customer, no."


def test_an_edit_must_satisfy_the_contract(parked, client):
    lea = client("lea")
    digest = lea.get("/api/reviews/R1").json()["digest"]

    response = lea.post("/api/cases/R1/edit", json={"changes": {"amount": "much", "colour": "red"}, "digest": digest})

    assert response.status_code == 409
    assert "amount" in response.json()["detail"]
    assert "colour" in response.json()["detail"]


def test_an_edit_that_the_policy_stops_is_refused(parked, client):
    lea = client("lea")
    digest = lea.get("/api/reviews/R1").json()["digest"]

    response = lea.post("/api/cases/R1/edit", json={"changes": {"text": "card 4111111111111111"}, "digest": digest})

    assert response.status_code == 409
    assert "no card number leaves" in response.json()["detail"]


def test_a_case_pulled_back_loses_its_authorisation_and_waits(parked, client):
    response = client("otto").post("/api/cases/R4/review-request", json={"reason": "looks odd"})
    parked.execute("send")

    assert response.json()["state"] == "waiting"
    assert parked.states()["R4"] == "waiting"
    assert parked.sent() == []
    assert [row["withdrawn_by"] for row in parked.table(authorisation)] == ["person:otto"]
    mine = client("lea").get("/api/reviews").json()["reviews"]
    assert {row["business_key"] for row in mine if row["mine"]} == {"R1", "R2", "R3", "R4"}


def test_a_case_that_was_sent_cannot_be_pulled_back(parked, client):
    parked.execute("send")

    response = client("lea").post("/api/cases/R4/review-request", json={"reason": "oh"})

    assert response.status_code == 409
    assert "too late" in response.json()["detail"]


def test_the_last_vote_says_that_the_gate_is_done(parked, client):
    lea = client("lea")

    assert [cast(lea, key).json()["gate_is_done"] for key in ("R1", "R2", "R3")] == [False, False, True]


def test_a_dead_letter_goes_back_to_work_with_a_corrected_field(workflow, client):
    workflow.up_to("draft", rows("too much", amount=20_000.0))
    assert workflow.states() == {"R1": "dead"}

    response = client("otto").post("/api/cases/R1/resubmit", json={"changes": {"amount": 20.0}})

    assert (response.status_code, workflow.states()) == (200, {"R1": "open"})
    assert client("otto").get("/api/cases/R1").json()["case"]["content"]["amount"] == 20.0


def test_a_case_is_closed_with_a_reason_and_its_vote_is_asked_for_no_more(parked, client):
    otto = client("otto")

    assert otto.post("/api/cases/R1/close", json={"reason": ""}).status_code == 409
    assert otto.post("/api/cases/R1/close", json={"reason": "duplicate"}).status_code == 200

    assert parked.states()["R1"] == "closed"
    assert {row["business_key"] for row in otto.get("/api/reviews").json()["reviews"]} == {"R2", "R3"}


def test_an_unknown_case_is_told_with_the_nearest_name(parked, client):
    response = client("lea").get("/api/cases/R11")

    assert response.status_code == 404
    assert "Did you mean 'R1'?" in response.json()["detail"]


def test_a_broken_policy_is_refused_with_every_problem(workflow, client):
    broken = POLICY.replace("case.amount >", "case.ammount >").replace("route: auto", "route: the_moon")
    workflow.write("policy.yaml", broken.replace("voters: leads", "voters: nobodies"))
    bundle = read_bundle(workflow.include, NAME).to_json()

    response = client("otto").post(
        "/api/versions", json={"bundle": bundle, "reason": "why not", "wiring": WIRING.to_json()}
    )

    assert response.status_code == 422
    assert all(word in response.json()["detail"] for word in ("ammount", "the_moon", "nobodies"))


def test_a_policy_is_published_by_whoever_asks(workflow, client):
    workflow.write("policy.yaml", POLICY.replace("threshold: 0.8", "threshold: 0.5"))
    bundle = read_bundle(workflow.include, NAME).to_json()

    response = client("otto").post("/api/versions", json={"bundle": bundle, "reason": "more of them"})

    assert response.status_code == 200, response.text
    assert (response.json()["number"], response.json()["author"]) == (2, "person:otto")


def test_the_ledger_verifies_after_all_that_people_did(parked, client):
    lea = client("lea")
    digest = lea.get("/api/reviews/R2").json()["digest"]
    lea.post("/api/cases/R2/edit", json={"changes": {"text": "No, sorry."}, "digest": digest})
    cast(lea, "R1")
    cast(lea, "R2", "reject", reason="no")
    lea.post("/api/cases/R4/review-request", json={"reason": "odd"})
    lea.post("/api/cases/R3/close", json={"reason": "double"})

    assert not verify(parked.ledger).problems
