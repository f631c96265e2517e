"""A strange answer of a model costs its own case; what concerns its account stops the task; every call is recorded."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from engine.agents.test_engine_limits import Desk
from fuzz import inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interlock.domain.agents.agent_protocol import Answer
from interlock.engine.agents.role import Role, run_role
from interlock.errors import AgentRefused, ConfigurationError, InterlockError, RateLimited
from interlock.ledger.audit.verify import verify
from interlock.ledger.store.schema import incident
from servers.openai_like import OpenAILike, Step, error, ok
from workflows import Workflow, rows

GOOD = {"kind": "refund"}
CASES = 12


@pytest.fixture
def server():
    with OpenAILike(GOOD) as one:
        yield one


@pytest.fixture
def desk(tmp_path, sqlite_ledger, server):
    return Desk(tmp_path, sqlite_ledger, server)


def choice(**message: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}


def body(**changes: Any) -> Step:
    """Return an answer whose top level is changed."""
    whole = {
        "id": "x",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gpt-4o-mini",
        "choices": [choice(content=json.dumps(GOOD))],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }
    return Step(body=json.dumps({**whole, **changes}).encode())


def said(text: str) -> Step:
    return Step(arguments=text)


STRANGE = {
    "no choices": body(choices=[]),
    "choices null": body(choices=None),
    "a choice of nothing": body(choices=[{}]),
    "no object": Step(body=b"[]"),
    "null": Step(body=b"null"),
    "a text": Step(body=b'"refund"'),
    "usage that is none": body(usage="much", choices=[]),
    "a field twice": said('{"kind": "refund", "kind": "fraud"}'),
    "a field twice, further in": said('{"kind": "refund", "more": {"a": 1, "a": 2}}'),
    "no end": said('{"kind": "refund", "sure": 1e999}'),
    "half of a character": said('{"kind": "refund \\ud83d"}'),
    "NUL": said('{"kind": "refund\\u0000"}'),
    "a name that is no text": said('{"\\ud83d": 1, "kind": "refund"}'),
    "deep": said('{"kind": ' + "[" * 5000 + "]" * 5000 + "}"),
    "many digits": said('{"kind": ' + "9" * 5000 + "}"),
}


@pytest.mark.parametrize("step", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_answer_is_the_failure_of_its_own_case_and_each_call_is_recorded(desk, server, step):
    server.when("boom", step)
    desk.flow.intake(rows(*["boom" if number == 5 else "fine" for number in range(CASES)]))

    desk.judge()

    reasons = [row["reason"] for row in desk.flow.cases().values() if row["state"] == "dead"]
    assert [reason.partition(" ")[0] for reason in reasons] == ["MalformedOutput"]
    assert Counter(row["task"] for row in desk.flow.cases().values())["route"] == CASES - 1
    assert len(desk.flow.calls()) == server.total
    assert sum(row["outcome"] == "MalformedOutput" for row in desk.flow.calls()) == 2, "asked again once"
    assert not verify(desk.flow.ledger).problems


@pytest.mark.parametrize(
    ("usage", "is_measured"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, False),
        ({"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}, False),
        ({"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20}, False),
        ({"prompt_tokens": 10**30, "completion_tokens": 20, "total_tokens": 20}, False),
        ({"prompt_tokens": -5, "completion_tokens": 20, "total_tokens": 15}, False),
        (None, False),
        ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}, True),
    ],
)
def test_an_answer_without_tokens_counts_as_the_most_that_it_can_cost(desk, server, usage, is_measured):
    server.answer = body(usage=usage)
    desk.flow.intake(rows("one"))

    desk.judge()

    [call] = desk.flow.calls()
    assert call["cost"] > 0
    assert (call["price"] == "at most") is not is_measured
    assert desk.flow.cases()["R1"]["task"] == "route"


OF_THE_ACCOUNT = {
    "401": error(401, "invalid_api_key"),
    "402": error(402, "unknown"),
    "404": error(404, "not_found"),
    "403 with a code": error(403, "unsupported_country_region_territory"),
    "403 for all": error(403, "forbidden"),
    "no quota": error(429, "insufficient_quota"),
    "no credit": error(400, "invalid_request_error", "Your credit balance is too low to access the API."),
    "no such model": error(400, "model_not_found"),
    "not that model's parameter": error(400, "unsupported_parameter"),
    "a setting": Step(status=400, body={"error": {"message": "x", "type": "invalid_request_error", "param": "top_p"}}),
}


@pytest.mark.parametrize("step", OF_THE_ACCOUNT.values(), ids=OF_THE_ACCOUNT.keys())
def test_what_concerns_the_account_stops_the_task_once_and_leaves_the_cases(desk, server, step):
    server.answer = step
    desk.flow.intake(rows(*["fine"] * CASES))

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="connection 'llm'"):
            desk.judge()

    assert {(row["state"], row["task"]) for row in desk.flow.cases().values()} == {("open", "judge")}
    assert len(desk.flow.calls()) == server.total < 2 * CASES, "those in flight, and none after"
    [reported] = desk.flow.table(incident)
    assert (reported["kind"], reported["subject"], reported["state"]) == ("ConfigurationError", "judge", "open")

    server.answer = ok(GOOD)
    desk.judge()
    assert {row["task"] for row in desk.flow.cases().values()} == {"route"}
    assert desk.flow.table(incident)[0]["state"] == "closed"


def test_what_was_answered_before_the_key_was_refused_is_kept(desk, server):
    server.when("last", error(401, "invalid_api_key"))
    desk.flow.intake(rows(*["fine"] * (CASES - 1), "last"))

    with pytest.raises(ConfigurationError):
        desk.judge()

    assert Counter(row["task"] for row in desk.flow.cases().values()) == {"route": CASES - 1, "judge": 1}
    assert len(desk.flow.calls()) == server.total


def test_a_403_of_one_case_is_its_own_and_one_with_a_wait_is_a_limit(desk, server):
    server.when("blocked", error(403, "moderation"))
    desk.flow.intake(rows("fine", "blocked", *["fine"] * CASES))

    desk.judge()

    assert {row["task"] for row in desk.flow.cases().values()} == {"route"}
    assert Counter(row["handoff_id"] is None for row in desk.flow.cases().values()) == {False: CASES + 1, True: 1}
    assert desk.flow.cases()["R2"]["reason"].startswith("AgentRefused")
    assert len(desk.flow.calls()) == server.total

    [limited] = _failures(desk, error(403, "forbidden", Retry_After="7"))
    assert isinstance(limited, RateLimited)
    assert limited.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("step", "kind", "wait"),
    [
        (error(429, "rate_limit_exceeded", retry_after_ms="1500"), RateLimited, 1.5),
        (error(429, "rate_limit_exceeded"), RateLimited, None),
        (error(429, "rate_limit_exceeded", Retry_After="nan"), RateLimited, None),
        (error(429, "rate_limit_exceeded", Retry_After="1e12"), RateLimited, None),
        (error(400, "content_policy_violation"), AgentRefused, None),
        (error(400, "context_length_exceeded"), AgentRefused, None),
        (Step(status=400, body={"error": {"message": "x", "param": "messages[0].content"}}), AgentRefused, None),
        (error(400, "x", "The message 'your credit balance is too low' is too long"), AgentRefused, None),
    ],
)
def test_what_concerns_the_case_or_the_moment_is_no_matter_of_the_account(desk, step, kind, wait):
    [failed] = _failures(desk, step)

    assert type(failed) is kind
    assert failed.retry_after_seconds == wait


def _failures(desk: Desk, step: Step) -> list[Any]:
    """Return what an agent says of one case that is answered so."""
    from interlock.agents.load import load_agent
    from interlock.domain.agents.agent_protocol import Work

    desk.server.answer = step
    declared = desk.flow.version.bundle.agents["judge"]
    files = desk.flow.session("judge", run="other").files
    agent = load_agent("judge", declared, files, cache=desk.flow.include, resolve_model=desk.resolve)
    answers = agent.answer([Work(case_id="0", case={"text": "x"})], desk.flow.contract("Verdict"))
    return [each.error for each in answers if each is not None]


# --- agents of every kind ---


@pytest.mark.parametrize(
    "answer",
    [
        Answer(case_id="", payload=None),  # type: ignore[arg-type]  # on purpose
        Answer(case_id="", payload={"kind": "a\ud800"}),
        Answer(case_id="", payload={"kind": "refund"}, confidence=float("nan")),
        Answer(case_id="", payload={"kind": "refund"}, confidence="high"),  # type: ignore[arg-type]  # on purpose
        Answer(case_id="", payload={"kind": "refund"}, confidence=True),
        Answer(case_id="", payload={"kind": 10**400}),
    ],
)
def test_an_agent_of_ours_that_answers_strangely_costs_its_own_case(tmp_path, sqlite_ledger, answer):
    from workflows import ScriptedAgent, verdict

    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows(*["boom" if number == 2 else "fine" for number in range(5)]))

    def say(work: Any) -> Answer:
        return Answer(**{**answer.__dict__, "case_id": work.case_id}) if work.case["text"] == "boom" else verdict(work)

    run_role(flow.session("judge"), ScriptedAgent(say), Role("reasoning", flow.contract("Verdict")))

    assert Counter(row["state"] for row in flow.cases().values()) == {"open": 4, "dead": 1}


def test_where_an_answer_comes_from_is_kept_whatever_it_holds(tmp_path, sqlite_ledger):
    from interlock.ledger.store.schema import handoff
    from workflows import ScriptedAgent, verdict

    flow = Workflow(tmp_path, sqlite_ledger)
    flow.intake(rows("one"))
    odd = {"at": object(), "share": float("nan"), "text": "\ud800", 5: "number"}

    def say(work: Any) -> Answer:
        return Answer(**{**verdict(work).__dict__, "provenance": odd})

    run_role(flow.session("judge"), ScriptedAgent(say), Role("reasoning", flow.contract("Verdict")))

    [made] = flow.table(handoff)
    assert set(made["provenance"]) == {"at", "share", "text", "5"}
    assert not verify(flow.ledger).problems


# --- whatever a service says ---

TEXTS = st.text(st.characters(exclude_categories=()), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from(["stop", "assistant", "refund"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
CONTENT = st.text(alphabet='{}[]",: kindrefu0129.eE-+\\ud8\n`<>', max_size=40) | JSON.map(json.dumps)
ANSWERS = (
    st.binary(max_size=40).map(lambda raw: Step(body=raw))
    | JSON.map(lambda value: Step(body=json.dumps(value).encode()))
    | CONTENT.map(said)
    | st.dictionaries(st.sampled_from(["choices", "usage", "model", "id", "object", "created", "error"]), JSON).map(
        lambda changes: body(**changes)
    )
    | st.dictionaries(st.sampled_from(["content", "tool_calls", "role", "refusal", "function_call"]), JSON).map(
        lambda changes: body(choices=[choice(**changes)])
    )
    | st.tuples(st.integers(400, 599), JSON).map(lambda pair: Step(status=pair[0], body=pair[1]))
)


@settings(max_examples=inputs(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(ANSWERS, min_size=1, max_size=4))
def test_no_answer_ends_the_stage_with_an_error_of_python(desk, server, steps):
    run, sent, known = f"r{server.total}", server.total, len(desk.flow.calls())
    server.script(*steps)
    desk.flow.intake([*rows(*[f"{run} {number}" for number in range(3)], refund_id=None)], run=run)

    with suppress(InterlockError):
        desk.judge(run=run)

    server._steps.clear()
    assert len(desk.flow.calls()) - known == server.total - sent
