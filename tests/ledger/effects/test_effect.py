from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from interlock.engine.runs.session import Session
from interlock.errors import LedgerError, Superseded
from interlock.ledger.audit.verify import verify
from interlock.ledger.cases.case import cases_at, load_files, move
from interlock.ledger.cases.handoff import draft_of, load_handoffs
from interlock.ledger.effects.authorisation import authorise, standing, withdraw
from interlock.ledger.effects.effect import Claimed, claim, commit, give_back, is_under_way
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import authorisation, effect
from workflows import Clock, Workflow, rows, together

LEASE = timedelta(seconds=20)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger, clock: Clock) -> Workflow:
    """One case that policy authorised, at the task that sends it."""
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", clock))
    flow.up_to("send", rows("sure=0.95"))
    assert flow.states() == {"R1": "authorised"}
    return flow


def claim_all(session: Session, **changed: Any) -> Claimed:
    with session.read() as connection:
        found = cases_at(connection, session.run, "send", limit=10)
        files = load_files(connection, found)
        drafts = load_handoffs(connection, [row.draft_id for row in found])
    with session.write() as tx:
        return claim(
            tx,
            session.run,
            session.attempt,
            files,
            action="payout",
            payloads={file.id: {**draft_of(file, drafts)[0], **changed} for file in files},
            key_of=lambda file, payload_digest: f"{file.id}-{payload_digest}"[:64],
            lease=LEASE,
        )


def settle(session: Session, claimed: Claimed) -> None:
    with session.write() as tx:
        commit(tx, [(one, "ref-1", {"status": 201}) for one in claimed.claims], next_task=None)


def only_effect(flow: Workflow) -> dict[str, Any]:
    [row] = flow.table(effect)
    return row


def test_an_authorised_effect_is_claimed_then_committed_with_its_case(flow: Workflow):
    session = flow.session("send")
    claimed = claim_all(session)

    assert [one.look_first for one in claimed.claims] == [False]
    assert (only_effect(flow)["state"], only_effect(flow)["attempts"]) == ("intended", 1)
    settle(session, claimed)
    assert (only_effect(flow)["state"], only_effect(flow)["receipt"]) == (
        "committed",
        {"reference": "ref-1", "status": 201},
    )
    assert flow.states() == {"R1": "executed"}
    assert claim_all(session) == Claimed([], [], None)
    assert verify(flow.ledger).problems == []


def test_while_a_lease_lasts_nobody_else_gets_the_effect(flow: Workflow, clock: Clock):
    claim_all(flow.session("send"))
    clock.forward(seconds=19.9)

    other = claim_all(flow.session("send"))

    assert (other.claims, other.unauthorised) == ([], [])
    assert other.leased_until == only_effect(flow)["lease_until"]


def test_after_the_lease_whoever_takes_over_must_look_first(flow: Workflow, clock: Clock):
    claim_all(flow.session("send"))
    clock.forward(seconds=20)

    other = claim_all(flow.session("send"))

    assert [one.look_first for one in other.claims] == [True]
    assert only_effect(flow)["attempts"] == 2


def test_what_was_given_back_is_taken_at_once_and_looked_for(flow: Workflow):
    first = flow.session("send")
    claimed = claim_all(first)
    with first.write() as tx:
        give_back(tx, claimed.claims)

    assert [one.look_first for one in claim_all(flow.session("send")).claims] == [True]


def test_who_was_taken_over_cannot_commit(flow: Workflow, clock: Clock):
    slow = flow.session("send")
    claimed = claim_all(slow)
    clock.forward(seconds=60)
    quick = flow.session("send")
    settle(quick, claim_all(quick))

    with pytest.raises(Superseded, match="attempt 1 of task 'send' was superseded by attempt 2"):
        settle(slow, claimed)
    with pytest.raises(LedgerError, match="changed by somebody else"):
        settle(quick, claimed)
    assert only_effect(flow)["attempts"] == 2


def test_of_two_attempts_at_the_same_instant_one_claims(flow: Workflow):
    first, second = flow.session("send"), flow.session("send")
    # the fence is told aside: this is about the claim itself
    first.attempt = second.attempt

    said = together(lambda: claim_all(first), lambda: claim_all(second))

    assert [one for one in said if isinstance(one, Exception)] == []
    assert sum(not claim.look_first for claimed in said for claim in claimed.claims) == 1, "one alone may send unseen"
    assert len(flow.table(effect)) == 1


def test_nothing_is_claimed_for_another_content_than_the_authorised(flow: Workflow):
    claimed = claim_all(flow.session("send"), amount=1_000_000.0)

    assert (claimed.claims, claimed.unauthorised) == ([], [])
    [(file, tampering)] = claimed.tampered
    assert file.case.business_key == "R1"
    assert "its content was changed" in str(tampering)
    assert flow.table(effect) == []


def test_nothing_is_claimed_after_the_authorisation_was_withdrawn(flow: Workflow):
    session = flow.session("send")
    case_id = flow.cases()["R1"]["id"]
    with session.write() as tx:
        assert withdraw(tx, case_id) == 1
        assert withdraw(tx, case_id) == 0

    claimed = claim_all(session)

    assert (claimed.claims, len(claimed.unauthorised)) == ([], 1)
    [row] = flow.table(authorisation)
    assert (row["withdrawn_by"], row["withdrawn_at"]) == ("task:send", flow.ledger.clock())
    assert verify(flow.ledger).problems == []


def test_an_authorisation_for_another_action_or_case_allows_nothing(flow: Workflow):
    session = flow.session("send")
    row = flow.cases()["R1"]
    with session.write() as tx:
        [granted] = standing(tx, [row["id"]])
        withdraw(tx, row["id"])
        authorise(
            tx,
            [(row["id"], granted.payload_digest, "decision:x")],
            action="another",
            version_id=granted.version_id,
        )

    assert claim_all(session).claims == []


def test_a_case_that_somebody_changed_since_is_neither_claimed_nor_refused(flow: Workflow):
    session = flow.session("send")
    with session.read() as connection:
        files = load_files(connection, cases_at(connection, session.run, "send", limit=10))
    with session.write() as tx:
        move(tx, [(flow.case_records()["R1"], CaseChange(owner="lea"))], kind="case.owned")

    with session.write() as tx:
        claimed = claim(
            tx,
            session.run,
            session.attempt,
            files,
            action="payout",
            payloads={},
            key_of=lambda file, payload_digest: payload_digest,
            lease=LEASE,
        )
    assert claimed == Claimed([], [], None)


def test_an_intended_effect_is_under_way_until_it_is_settled(flow: Workflow):
    session = flow.session("send")
    case_id = flow.cases()["R1"]["id"]

    def under_way() -> bool:
        with session.write() as tx:
            return is_under_way(tx, case_id)

    assert not under_way()
    claimed = claim_all(session)
    assert under_way()
    settle(session, claimed)
    assert not under_way()
