"""Signing off alone: on record, told to those who should have, and reviewed before it is done again."""

from __future__ import annotations

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.break_glass import break_glass, confirm, unreviewed
from interlock.engine.approvals.review_action import see
from interlock.errors import InputError, NotAuthorised
from interlock.ledger.audit.verify import verify
from interlock.ledger.incidents.notice import list_notices
from interlock.ledger.store.schema import authorisation, vote
from workflows import Workflow, rows

LEA, LEO, OTTO, CLEO = (Identity(name) for name in ("lea", "leo", "otto", "cleo"))


@pytest.fixture(params=["sqlite", "postgresql"])
def flow(request, tmp_path, open_ledger):
    flow = Workflow(tmp_path, open_ledger(request.param))
    flow.up_to("send_signed", rows("one", "two"))
    assert set(flow.states().values()) == {"waiting"}
    return flow


def digest(flow: Workflow, key: str) -> str:
    return str(see(flow.ledger, key)["digest"])


def breaks(flow: Workflow, key: str, person: Identity = OTTO, reason: str = "all are ill") -> None:
    break_glass(flow.ledger, key, person=person, reason=reason, seen_digest=digest(flow, key))


def test_one_person_signs_off_what_was_seen_and_those_who_should_have_are_told(flow):
    seen = digest(flow, "R1")
    breaks(flow, "R1")

    assert flow.states() == {"R1": "authorised", "R2": "waiting"}
    assert flow.execute("send_signed") == {"sent": 1}
    (cast,) = flow.table(vote)
    assert (cast["person"], cast["way"], cast["reason"], cast["seen_digest"]) == (
        "otto",
        "break_glass",
        "all are ill",
        seen,
    )
    (notice,) = list_notices(flow.ledger)
    assert {"lea", "leo"} <= set(notice.recipients)
    assert verify(flow.ledger).problems == []


def test_until_it_is_reviewed_the_same_person_breaks_no_other_glass(flow):
    breaks(flow, "R1")
    (pending,) = unreviewed(flow.ledger)
    assert (pending["business_key"], pending["person"]) == ("R1", "otto")
    with pytest.raises(NotAuthorised, match="'R1', and nobody has reviewed that yet"):
        breaks(flow, "R2")
    assert flow.states()["R2"] == "waiting"

    confirm(flow.ledger, "R1", person=LEA, answer="reject", reason="leo was there", seen_digest=pending["seen_digest"])

    assert unreviewed(flow.ledger) == []
    breaks(flow, "R2")
    assert flow.states()["R2"] == "authorised"
    assert verify(flow.ledger).problems == []


def test_it_is_reviewed_by_one_who_may_vote_there_and_not_by_oneself(flow):
    breaks(flow, "R1")
    (pending,) = unreviewed(flow.ledger)
    seen = pending["seen_digest"]

    for person in (OTTO, CLEO):
        with pytest.raises(NotAuthorised, match="may not review this"):
            confirm(flow.ledger, "R1", person=person, answer="approve", reason=None, seen_digest=seen)
    with pytest.raises(InputError, match="not what was signed off"):
        confirm(flow.ledger, "R1", person=LEA, answer="approve", reason=None, seen_digest="0" * 64)
    with pytest.raises(InputError, match="needs a reason"):
        confirm(flow.ledger, "R1", person=LEA, answer="reject", reason="", seen_digest=seen)
    confirm(flow.ledger, "R1", person=LEA, answer="approve", reason=None, seen_digest=seen)
    with pytest.raises(InputError, match="no break-glass to review"):
        confirm(flow.ledger, "R1", person=LEO, answer="approve", reason=None, seen_digest=seen)


def test_it_needs_a_reason_and_what_was_seen_and_is_void_for_a_closed_gate(flow):
    with pytest.raises(InputError, match="needs a reason"):
        breaks(flow, "R1", reason=" ")
    with pytest.raises(InputError, match="no longer what would be sent"):
        break_glass(flow.ledger, "R1", person=OTTO, reason="x", seen_digest="0" * 64)
    assert flow.table(authorisation) == []
    seen = digest(flow, "R1")
    breaks(flow, "R1")
    with pytest.raises(InputError, match="no gate waits for it"):
        break_glass(flow.ledger, "R1", person=CLEO, reason="x", seen_digest=seen)


def test_who_is_barred_from_approving_does_not_break_the_glass(tmp_path, open_ledger):
    from interlock.engine.approvals.review_action import edit

    flow = Workflow(tmp_path, open_ledger("sqlite"))
    flow.up_to("send_signed", rows("one"))
    edit(
        flow.ledger,
        "R1",
        person=LEA,
        changes={"text": "another text"},
        seen_digest=digest(flow, "R1"),
        include=flow.include,
    )

    with pytest.raises(NotAuthorised, match="not by breaking the glass either"):
        breaks(flow, "R1", person=LEA)
    assert flow.states() == {"R1": "waiting"}
