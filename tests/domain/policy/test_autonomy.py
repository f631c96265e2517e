"""What may go on without a vote: what is listed, can be undone, and has neither a price nor legal wording in it."""

from __future__ import annotations

import pytest
from interlock.domain.base.contract import Contract
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.effects.connector import parse_ecosystem
from interlock.domain.policy.autonomy import autonomy_problems, why_a_vote
from interlock.domain.policy.policy import parse_policy
from interlock.errors import PolicyError
from pydantic import Field

CONNECTORS = parse_ecosystem(
    {
        "connectors": {
            "outbox": {"kind": "outbox", "conn_id": "files", "undo": "withdraw"},
            "letters": {"kind": "outbox", "conn_id": "files"},
            "crm": {
                "kind": "http",
                "conn_id": "crm",
                "path": "/e",
                "look_path": "/e/{key}",
                "undo_path": "/e/{key}",
            },
            "mail": {"kind": "http", "conn_id": "mail", "path": "/e", "look_path": "/e/{key}"},
        }
    }
)


class Reply(Contract):
    text: str


class Offer(Contract):
    amount: float | None = Field(default=None, json_schema_extra={"needs_vote": "a price"})
    clause: str = Field(default="", json_schema_extra={"needs_vote": "legal wording"})


REPLY, OFFER = Reply.model_json_schema(), Offer.model_json_schema()
WIRING = Wiring(
    {
        "draft": WiredTask(task_id="draft", kind="role", contract="Offer", downstream=("send",)),
        "send": WiredTask(task_id="send", kind="execution", connector="outbox"),
    }
)


@pytest.mark.parametrize("action", ["outbox", "crm"])
def test_a_listed_action_that_can_be_undone_goes_on_by_itself(action):
    assert why_a_vote({action: "automatic"}, action, CONNECTORS[action], REPLY) is None


@pytest.mark.parametrize(
    ("autonomy", "action", "draft", "why"),
    [
        ({}, "outbox", REPLY, "is not listed"),
        ({"outbox": "with_approval"}, "outbox", REPLY, "is with_approval"),
        ({"outbox": "never"}, "outbox", REPLY, "is never"),
        ({"letters": "automatic"}, "letters", REPLY, "cannot be undone"),
        ({"mail": "automatic"}, "mail", REPLY, "cannot be undone"),
        ({"gone": "automatic"}, "gone", REPLY, "cannot be undone"),
        ({"outbox": "automatic"}, "outbox", OFFER, "amount is a price, clause is legal wording"),
    ],
)
def test_everything_else_needs_a_vote(autonomy, action, draft, why):
    assert why in (why_a_vote(autonomy, action, CONNECTORS.get(action), draft) or "")


def test_a_policy_that_calls_automatic_what_always_needs_a_vote_is_refused():
    problems = autonomy_problems({"mail": "automatic"}, CONNECTORS, {}, None)
    assert ["'mail' is automatic, and its connector does not say how to undo it" in p for p in problems] == [True]

    problems = autonomy_problems({"outbox": "automatic"}, CONNECTORS, {"Offer": OFFER}, WIRING)
    assert [p.split(", and ")[1] for p in problems] == [
        "Offer.amount is a price: that always needs a vote",
        "Offer.clause is legal wording: that always needs a vote",
    ]
    assert autonomy_problems({"outbox": "with_approval"}, CONNECTORS, {"Offer": OFFER}, WIRING) == []


def test_a_dag_that_uses_what_is_never_to_be_used_is_refused():
    (problem,) = autonomy_problems({"outbox": "never"}, CONNECTORS, {}, WIRING)

    assert problem == "autonomy: 'outbox' is never to be used, and task 'send' uses it"


def test_an_action_without_a_connector_is_told():
    (problem,) = autonomy_problems({"outbix": "never"}, CONNECTORS, {}, None)

    assert "'outbix' is no connector of company/ecosystem.yaml (known: crm, letters, mail, outbox)" in problem


def test_another_word_is_refused():
    with pytest.raises(PolicyError, match="autonomy"):
        parse_policy({"policy": "p", "contract": "C", "autonomy": {"outbox": "sometimes"}})
