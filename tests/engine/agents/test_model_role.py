"""A model behind a server that misbehaves carries a role out: every case ends somewhere, with its calls recorded."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from interlock.agents.load import load_agent
from interlock.errors import AgentUnavailable, ConfigurationError
from interlock.ledger.store.schema import handoff
from servers.openai_like import CLOSE, HANG, OpenAILike, error, prose, rate_limited, refusal
from workflows import AGENTS, POLICY, Workflow, rows

MODEL_AGENTS = AGENTS.replace(
    'judge: {kind: function, function: "workflows:judge"}',
    "judge: {kind: model, conn_id: llm, model: 'openai-chat:gpt-4o-mini', prompt: prompts/judge.md.j2, "
    "timeout_seconds: 1.5, concurrency: 4}",
    1,
)
POLICY_OF_MODELS = POLICY.replace(
    "  default: {retries: 2",
    "  AgentTimeout: {retries: 1, backoff_seconds: 0.0, then: stop}\n  default: {retries: 2",
)


@pytest.fixture
def served(tmp_path, open_ledger):
    """The tiny workflow with a model as its judge, and the server of that model."""
    assert MODEL_AGENTS != AGENTS
    with OpenAILike({"kind": "refund"}) as server:
        workflow = Workflow(tmp_path, open_ledger("sqlite"), agents=MODEL_AGENTS, policy=POLICY_OF_MODELS)
        workflow.write("prompts/judge.md.j2", "What is this about? {{ case.text }}")
        workflow.version = workflow.publish()
        yield workflow, server


def judge(workflow: Workflow, server: OpenAILike, *, run: str = "r1") -> dict[str, int]:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def resolve(conn_id: str, model: str | None) -> Any:
        assert (conn_id, model) == ("llm", "openai-chat:gpt-4o-mini")
        return OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=server.base_url, api_key="none"))

    session = workflow.session("judge", run=run)
    declared = session.version.bundle.agents["judge"]
    agent = load_agent("judge", declared, session.files, cache=workflow.include, resolve_model=resolve)
    return workflow.role("judge", agent=agent, session=session)


def test_every_kind_of_trouble_ends_in_a_place_with_a_reason(served):
    workflow, server = served
    texts = ["fine", "prose", "broke", "busy", "hangs", "closes", "refuses"]
    workflow.intake(rows(*texts))
    server.when("prose", prose("It is a refund, I should say."))
    server.when("broke", error(500))
    server.when("busy", rate_limited("0"))
    server.when("hangs", HANG)
    server.when("closes", CLOSE)
    server.when("refuses", refusal())

    judge(workflow, server)

    found = {}
    for row in workflow.cases().values():
        found[row["business_key"]] = (row["state"], row["task"], (row["reason"] or "").split(" ")[0])
    by_text = dict(zip(texts, (found[key] for key in sorted(found)), strict=True))
    assert by_text == {
        "fine": ("open", "route", ""),
        "prose": ("dead", "judge", "MalformedOutput"),
        "broke": ("dead", "judge", "AgentUnavailable"),
        "busy": ("dead", "judge", "RateLimited"),
        "hangs": ("dead", "judge", "AgentTimeout"),
        "closes": ("dead", "judge", "AgentUnavailable"),
        "refuses": ("open", "route", "AgentRefused"),
    }


def test_each_call_is_recorded_with_its_tokens_price_and_outcome(served):
    workflow, server = served
    workflow.intake(rows("fine", "prose"))
    server.when("prose", prose("Certainly!"))

    judge(workflow, server)

    calls = workflow.calls()
    assert Counter(call["outcome"] for call in calls) == {"ok": 1, "MalformedOutput": 2}
    assert {call["input_tokens"] for call in calls} == {100}
    assert all(call["cost"] > Decimal(0) for call in calls)
    assert sorted(call["attempt"] for call in calls) == [1, 1, 2]


def test_a_model_has_no_confidence_and_so_policy_is_not_certain_of_it(served):
    workflow, server = served
    workflow.intake(rows("fine"))
    judge(workflow, server)

    assert [row["confidence"] for row in workflow.table(handoff)] == [None]
    assert workflow.branch() == {"fallback": 1}


def test_a_service_that_is_down_leaves_the_cases_where_they_are_and_a_retry_pays_once(served):
    workflow, server = served
    workflow.intake(rows("one", "two", "three"))
    server.script(*[error(503)] * 9)

    with pytest.raises(AgentUnavailable, match="answered none of 3 cases"):
        judge(workflow, server)
    assert {row["task"] for row in workflow.cases().values()} == {"judge"}

    assert judge(workflow, server)["done"] == 3
    assert Counter(call["outcome"] for call in workflow.calls())["ok"] == 3


def test_a_key_that_is_not_accepted_stops_the_task_and_keeps_the_answers_that_are_paid(served):
    workflow, server = served
    workflow.intake(rows(*[f"case {number}" for number in range(8)]))
    server.choose = lambda body: error(401, "invalid_api_key") if server.total > 5 else None

    with pytest.raises(ConfigurationError, match="llm"):
        judge(workflow, server)

    paid = len(workflow.table(handoff))
    assert paid >= 1
    server.choose = lambda body: None
    assert judge(workflow, server)["done"] == 8 - paid
    assert len(workflow.table(handoff)) == 8
