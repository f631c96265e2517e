"""An action that needs a vote is not carried out on the word of a rule, whichever way its case came to the task."""

from __future__ import annotations

import pytest
from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.review_action import see, vote
from interlock.errors import NotAuthorised, PolicyError
from interlock.ledger.cases.case import lock_cases, move
from interlock.ledger.cases.handoff import load_handoffs
from interlock.ledger.effects.authorisation import authorise
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.schema import authorisation, decision
from interlock.ledger.store.transaction import Actor
from sqlalchemy import select
from workflows import CONTRACTS, ECOSYSTEM, POLICY, Workflow, rows

LISTED = "autonomy: {payout: automatic}\n"
NOT_UNDONE = ECOSYSTEM.replace(", undo: withdraw", "")
PRICED = CONTRACTS.replace(
    "    amount: float\n", '    amount: float = Field(json_schema_extra={"needs_vote": "a price"})\n'
)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, open_ledger):
    return open_ledger(request.param)


@pytest.mark.parametrize("said", ["", "autonomy: {payout: with_approval}\n"])
def test_what_is_not_listed_as_automatic_waits_for_people_and_is_sent_after_their_votes(tmp_path, ledger, said):
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace(LISTED, said))
    flow.up_to("send", rows("sure=0.95"))

    assert flow.states() == {"R1": "waiting"}
    with ledger.read() as connection:
        rules = connection.execute(select(decision.c.rule)).scalars().all()
        assert connection.execute(select(authorisation)).all() == []
    assert any(rule.startswith("autonomy: action 'payout' is") for rule in rules)

    flow.gate()
    lea = Identity("lea")
    vote(ledger, "R1", person=lea, answer="approve", seen_digest=see(ledger, "R1", person=lea)["digest"])
    assert flow.states() == {"R1": "authorised"}
    assert flow.execute("send_signed") == {"sent": 1}


@pytest.mark.parametrize(
    ("files", "why"),
    [({"ecosystem": NOT_UNDONE}, "does not say how to undo it"), ({"contracts": PRICED}, "Letter.amount is a price")],
)
def test_what_always_needs_a_vote_cannot_be_called_automatic(tmp_path, ledger, files, why):
    assert PRICED != CONTRACTS

    flow = Workflow(tmp_path, ledger, **files)

    with pytest.raises(PolicyError, match=why):
        flow.session("intake")


def test_an_authorisation_that_rests_on_a_rule_alone_is_refused_for_what_needs_a_vote(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger, policy=POLICY.replace(LISTED, ""))
    flow.up_to("send", rows("sure=0.95"))
    (row,) = flow.case_records().values()
    with ledger.read() as connection:
        version = connection.execute(select(decision.c.version_id)).scalars().first()
        digest = load_handoffs(connection, [row.draft_id])[row.draft_id].payload_digest
    session = flow.session("send")
    with ledger.write(actor=Actor("task", "forger"), chain=session.run.chain) as tx:
        authorise(tx, [(row.id, digest, f"decision:{row.decision_id}")], action="payout", version_id=version)
        (locked,) = lock_cases(tx, [row])
        move(tx, [(locked, CaseChange(state="authorised", task="send"))], kind="case.validated")

    flow.execute()

    assert flow.states() == {"R1": "dead"}
    assert flow.sent() == []


def test_what_is_never_to_be_used_is_not_used(tmp_path, ledger):
    flow = Workflow(tmp_path, ledger)
    flow.up_to("send", rows("sure=0.95"))
    never = POLICY.replace(LISTED, "autonomy: {payout: never}\n")
    with pytest.raises(PolicyError, match="never to be used, and task 'send' uses it"):
        Workflow(tmp_path / "other", ledger, policy=never).session("intake", run="r2")
    session = flow.session("send")
    session.version.bundle.policy.autonomy["payout"] = "never"

    with pytest.raises(NotAuthorised, match="never to be used"):
        flow.execute(session=session)

    assert flow.sent() == []
