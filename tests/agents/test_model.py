"""The model agent against a real server on loopback that fails as real ones do."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

import pytest
from interlock.agents.model import TextModelAgent
from interlock.domain.agents.agent import ModelAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Work
from interlock.domain.base.contract import Contract
from interlock.errors import (
    AgentRefused,
    AgentTimeout,
    AgentUnavailable,
    ConfigurationError,
    InputError,
    MalformedOutput,
    RateLimited,
    UnknownName,
)
from pydantic import Field
from servers.openai_like import (
    CLOSE,
    DRIBBLE,
    HANG,
    OpenAILike,
    broken_json,
    content_filtered,
    cut_off,
    error,
    not_json,
    ok,
    prose,
    rate_limited,
    refusal,
)

GOOD = {"label": "billing", "certainty": 0.8}


class Label(Contract):
    """Which team a ticket is for."""

    label: Literal["billing", "technical"]
    certainty: float = Field(default=0.5)


class FilesInMemory:
    def __init__(self, **texts: str) -> None:
        self.texts = {"prompt.j2": "Ticket: {{ case.text }}", "system.md": "You sort tickets.", **texts}

    def text(self, path: str) -> str:
        if path not in self.texts:
            raise UnknownName("file", path, self.texts)
        return self.texts[path]

    def data(self, path: str) -> Path:
        raise UnknownName("file", path, ())

    def data_digest(self, path: str) -> str:
        raise UnknownName("file", path, ())


@pytest.fixture
def server():
    with OpenAILike(GOOD) as running:
        yield running


def a_chat_model(base_url: str, name: str = "gpt-4o-mini"):
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=base_url, api_key="key"))


def an_agent(base_url: str, files: FilesInMemory | None = None, **declared) -> TextModelAgent:
    declaration = ModelAgent(
        **{"kind": "model", "conn_id": "llm", "model": "gpt-4o-mini", "prompt": "prompt.j2", "timeout_seconds": 5}
        | declared
    )
    return TextModelAgent(
        "sorter", declaration, files or FilesInMemory(), lambda conn_id, model: a_chat_model(base_url, model or "own")
    )


def some_work(*texts: str) -> list[Work]:
    return [Work(case_id=str(number), case={"text": text}) for number, text in enumerate(texts)]


def results_of(agent: TextModelAgent, work: Sequence[Work]) -> Iterator[Answer | Failure]:
    """What comes of each case, without the signs that nothing came for a while."""
    with closing(agent.answer(work, Label)) as answers:
        yield from (result for result in answers if result is not None)


def the_only_result(agent: TextModelAgent, text: str = "my bill") -> Answer | Failure:
    [result] = results_of(agent, some_work(text))
    return result


def the_failure(agent: TextModelAgent, expected: type, text: str = "my bill") -> Failure:
    result = the_only_result(agent, text)
    assert isinstance(result, Failure), result
    assert type(result.error) is expected, repr(result.error)
    return result


def test_an_answer_carries_payload_tokens_price_and_where_it_is_from(server):
    server.script(ok(GOOD, input_tokens=1000, output_tokens=200, cached_tokens=400))

    answer = the_only_result(an_agent(server.base_url))

    assert isinstance(answer, Answer)
    assert (answer.case_id, answer.payload, answer.confidence) == ("0", GOOD, None)
    assert answer.provenance == {"model": "gpt-4o-mini", "provider": "openai", "response_id": "chatcmpl-1"}
    [usage] = answer.usage
    assert (usage.model, usage.outcome) == ("gpt-4o-mini", "ok")
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (1000, 200, 400)
    # Per million: 0.15 USD in, 0.075 cached, 0.60 out.
    assert usage.cost == Decimal("0.00024")
    assert usage.seconds > 0


def test_the_request_holds_prompt_instructions_settings_and_the_contracts_schema(server):
    agent = an_agent(server.base_url, instructions="system.md", settings={"temperature": 0.2})

    the_only_result(agent, "my bill is wrong")

    [request] = server.requests
    assert [message["content"] for message in request["messages"]] == ["You sort tickets.", "Ticket: my bill is wrong"]
    assert request["temperature"] == 0.2
    assert set(request["tools"][0]["function"]["parameters"]["properties"]) == {"label", "certainty"}


def test_earlier_handoffs_are_in_the_prompt_by_the_name_of_their_contract(server):
    agent = an_agent(server.base_url, FilesInMemory(**{"prompt.j2": "{{ case.text }} is {{ support_triage.intent }}"}))
    work = Work(case_id="1", case={"text": "A"}, handoffs={"SupportTriage": {"intent": "refund"}})

    list(results_of(agent, [work]))

    assert server.requests[0]["messages"][-1]["content"] == "A is refund"


def test_an_answer_given_as_text_is_taken_too(server):
    server.script(prose(json.dumps(GOOD)), prose(f"```json\n{json.dumps(GOOD, indent=1)}\n```"))
    agent = an_agent(server.base_url)

    assert [the_only_result(agent).payload, the_only_result(agent).payload] == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (prose("It is about Mrs Secret's bill."), "other text"),
        (broken_json('{"label": "Secret'), "other text"),
        (broken_json('{"label": "billing", "certainty": NaN}'), "other text"),
        (broken_json('["Secret"]'), "other text"),
        (cut_off('{"label": "Secret'), "cut off"),
        (ok({"certainty": 0.5}), "label: Field required"),
        (ok({"label": "Secret"}), "label: Input should be 'billing' or 'technical'"),
        (not_json(b"<html>Secret</html>"), "not JSON"),
        (not_json(b'{"hello": "Secret"}'), "not a completion"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_is_malformed_and_is_not_repeated_in_the_message(server, step, said):
    server.script(step)

    failure = the_failure(an_agent(server.base_url), MalformedOutput)

    assert said in str(failure.error)
    assert "Secret" not in str(failure.error)
    assert failure.usage[0].outcome == "MalformedOutput"


def test_a_malformed_answer_is_paid_for(server):
    server.script(prose("no idea"))

    [usage] = the_failure(an_agent(server.base_url), MalformedOutput).usage

    assert (usage.input_tokens, usage.output_tokens) == (100, 20)
    assert usage.cost is not None
    assert usage.cost > 0


def test_no_answer_in_time_is_a_timeout_and_the_others_go_on(server):
    server.when("slow", HANG)
    agent = an_agent(server.base_url, timeout_seconds=2)

    results = {result.case_id: result for result in results_of(agent, some_work("slow", "quick", "quick"))}

    assert isinstance(results["0"], Failure)
    assert type(results["0"].error) is AgentTimeout
    assert "2 s" in str(results["0"].error)
    assert isinstance(results["1"], Answer)
    assert isinstance(results["2"], Answer)


@pytest.mark.parametrize("step", [error(500), error(503), error(502), CLOSE], ids=["500", "503", "502", "closed line"])
def test_a_service_that_breaks_is_unavailable_and_asked_once(server, step):
    server.script(step)

    failure = the_failure(an_agent(server.base_url), AgentUnavailable)

    assert server.total == 1
    assert failure.error.retryable
    assert failure.error.retry_after_seconds is None
    assert (failure.usage[0].input_tokens, failure.usage[0].outcome) == (0, "AgentUnavailable")


def test_the_wait_that_a_rate_limit_asks_for_is_passed_on_in_seconds(server):
    server.script(rate_limited("7"))

    failure = the_failure(an_agent(server.base_url), RateLimited)

    assert failure.error.retry_after_seconds == 7.0
    assert "HTTP 429 (rate_limit_exceeded)" in str(failure.error)
    assert server.total == 1


def test_the_wait_that_a_rate_limit_asks_for_may_be_a_date(server):
    server.script(rate_limited(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)))

    failure = the_failure(an_agent(server.base_url), RateLimited)

    assert 3000 < failure.error.retry_after_seconds <= 3600


def test_a_service_that_is_not_there_is_unavailable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

        failure = the_failure(an_agent(base_url), AgentUnavailable)

    assert "connection 'llm'" in str(failure.error)


@pytest.mark.parametrize(
    "step",
    [refusal("I won't read Secret"), content_filtered(), error(400, "content_policy_violation", "your text Secret")],
)
def test_a_refusal_or_a_content_filter_is_not_worth_a_retry(server, step):
    server.script(step)

    failure = the_failure(an_agent(server.base_url), AgentRefused)

    assert not failure.error.retryable
    assert "Secret" not in str(failure.error)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_an_unknown_model_is_told_with_its_connection_and_stops_further_calls(server, status):
    server.answer = error(status, "invalid_api_key", "the key Secret is wrong")
    agent = an_agent(server.base_url, concurrency=1)

    results = list(results_of(agent, some_work("a", "b", "c")))

    assert [type(result.error) for result in results] == [ConfigurationError] * 3
    assert "'gpt-4o-mini'" in str(results[0].error)
    assert "connection 'llm'" in str(results[0].error)
    assert "Secret" not in str(results[0].error)
    assert server.total == 1
    assert [len(result.usage) for result in results] == [1, 0, 0]


def test_as_many_calls_as_declared_are_in_flight_and_no_more(server):
    together = threading.Barrier(4)
    server.before_answer = lambda body: together.wait(20) and None

    results = list(results_of(an_agent(server.base_url, concurrency=4), some_work(*"abcdefghijkl")))

    assert len(results) == 12
    assert all(isinstance(result, Answer) for result in results)
    assert server.max_in_flight == 4


def test_a_result_comes_as_soon_as_it_is_there(server):
    server.when("slow", HANG)
    results = results_of(an_agent(server.base_url, concurrency=2, timeout_seconds=20), some_work("slow", "quick"))

    assert next(results).case_id == "1"
    results.close()


def test_calls_go_on_while_the_caller_works_on_a_result(server):
    """Else a caller who takes longer than the timeout would find every call in flight timed out."""
    arrived = threading.Semaphore(0)
    server.before_answer = lambda body: arrived.release()
    results = results_of(an_agent(server.base_url, concurrency=2), some_work(*"abcd"))

    next(results)

    assert all(arrived.acquire(timeout=20) for _ in range(4))
    results.close()


def test_an_iterator_that_is_left_cancels_its_calls_and_its_thread(server):
    server.when("slow", HANG)
    results = results_of(
        an_agent(server.base_url, concurrency=3, timeout_seconds=20), some_work("quick", "slow", "slow", "slow")
    )
    next(results)

    results.close()

    assert not [thread for thread in threading.enumerate() if thread.name == "interlock-calls"]


def test_answers_that_nobody_takes_up_stop_further_calls(server):
    """One taken, two waiting in the queue, two in the hands of the two workers: a sixth would be money at risk."""
    arrived = threading.Semaphore(0)
    server.before_answer = lambda body: arrived.release()
    results = results_of(an_agent(server.base_url, concurrency=2), some_work(*"abcdefghijklmnopqrst"))
    next(results)

    assert all(arrived.acquire(timeout=20) for _ in range(5))
    results.close()

    assert server.total == 5


def test_an_agent_answers_again_after_it_has_answered(server):
    agent = an_agent(server.base_url)

    assert [len(list(results_of(agent, some_work("a", "b")))) for _ in range(3)] == [2, 2, 2]


def test_two_iterators_of_one_agent_do_not_share_a_connection_pool(server):
    agent = an_agent(server.base_url, concurrency=1)
    first, second = results_of(agent, some_work("a", "b")), results_of(agent, some_work("c", "d"))

    results = [next(first), next(second), next(first), next(second)]

    assert all(isinstance(result, Answer) for result in results)


def test_a_confidence_is_only_taken_from_the_field_that_is_declared_for_it(server):
    assert the_only_result(an_agent(server.base_url, confidence_field="certainty")).confidence == 0.8


def test_a_confidence_out_of_range_is_malformed(server):
    server.script(ok(GOOD | {"certainty": 80}))

    failure = the_failure(an_agent(server.base_url, confidence_field="certainty"), MalformedOutput)

    assert "'certainty'" in str(failure.error)


def test_a_model_without_a_price_costs_none(server):
    answer = the_only_result(an_agent(server.base_url, model="our-own-model"))

    assert answer.usage[0].model == "our-own-model"
    assert answer.usage[0].cost is None


def test_a_prompt_that_misses_something_of_its_case_fails_that_case_without_a_call(server):
    files = FilesInMemory(**{"prompt.j2": "{{ case.text }} {{ case.name }}"})
    work = [Work(case_id="0", case={"text": "a"}), Work(case_id="1", case={"text": "a", "name": "b"})]

    results = {result.case_id: result for result in results_of(an_agent(server.base_url, files), work)}

    assert type(results["0"].error) is InputError
    assert "'name'" in str(results["0"].error)
    assert isinstance(results["1"], Answer)
    assert server.total == 1


def test_a_prompt_cannot_reach_out_of_its_sandbox(server):
    files = FilesInMemory(**{"prompt.j2": "{{ case.__class__.__mro__ }}"})

    assert type(the_only_result(an_agent(server.base_url, files)).error) is InputError
    assert server.total == 0


def test_what_a_case_says_is_never_read_as_a_template(server):
    the_only_result(an_agent(server.base_url), "{{ case.text }} {% raise %}")

    assert server.requests[0]["messages"][-1]["content"] == "Ticket: {{ case.text }} {% raise %}"


def test_a_prompt_that_is_no_template_is_refused_with_its_line(server):
    with pytest.raises(ConfigurationError, match=r"'prompt.j2' of agent 'sorter' .* line 2"):
        an_agent(server.base_url, FilesInMemory(**{"prompt.j2": "a\n{% if %}"}))


def test_the_digest_changes_with_what_makes_an_answer_and_with_nothing_else(server):
    digest = an_agent(server.base_url).digest

    assert an_agent("http://127.0.0.1:9/v1", concurrency=2, timeout_seconds=9, description="x").digest == digest
    others = {
        an_agent(server.base_url, FilesInMemory(**{"prompt.j2": "other"})).digest,
        an_agent(server.base_url, instructions="system.md").digest,
        an_agent(server.base_url, FilesInMemory(**{"system.md": "other"}), instructions="system.md").digest,
        an_agent(server.base_url, settings={"temperature": 0}).digest,
        an_agent(server.base_url, model="gpt-4o").digest,
        an_agent(server.base_url, model=None).digest,
    }
    assert len(others | {digest}) == 7


def test_a_chain_of_connections_answers_from_the_next_one_and_fails_as_a_whole(server):
    from pydantic_ai.models.fallback import FallbackModel

    with OpenAILike(GOOD) as second:
        chain = FallbackModel(a_chat_model(server.base_url), a_chat_model(second.base_url, "gpt-4o"))
        declaration = ModelAgent(kind="model", conn_id="llm", prompt="prompt.j2")
        agent = TextModelAgent("sorter", declaration, FilesInMemory(), lambda conn_id, model: chain)
        server.answer = error(503)

        assert the_only_result(agent).usage[0].model == "gpt-4o"

        second.answer = error(401)
        the_failure(agent, AgentUnavailable)
        assert (server.total, second.total) == (2, 2)


def test_a_fault_of_ours_in_a_call_is_raised_and_leaves_no_thread(server):
    server.script(ok(lambda body: GOOD))
    agent = an_agent(server.base_url, concurrency=1)
    broken = Work(case_id="0", case={"text": "a"}, handoffs=None)  # type: ignore[arg-type]  # on purpose

    with pytest.raises(AttributeError):
        list(results_of(agent, [broken]))

    assert not [thread for thread in threading.enumerate() if thread.name == "interlock-calls"]


def test_preparing_finds_the_model_before_any_case_is_taken_up(server):
    assert an_agent(server.base_url).prepare() == {"model": "gpt-4o-mini"}
    assert server.total == 0


def test_no_work_is_no_thread_and_no_result(server):
    assert list(results_of(an_agent(server.base_url), [])) == []


def test_a_server_that_sends_a_byte_now_and_then_is_timed_out_as_a_whole(server):
    """Each of its bytes comes in time; the answer as a whole would take a minute."""
    server.script(DRIBBLE)
    started = time.monotonic()

    failure = the_failure(an_agent(server.base_url, timeout_seconds=0.3), AgentTimeout)

    assert time.monotonic() - started < 5
    assert [used.outcome for used in failure.usage] == ["AgentTimeout"]


def test_more_tokens_than_allowed_are_an_answer_and_an_overrun(server):
    server.script(ok(GOOD, output_tokens=100), ok(GOOD, output_tokens=50))
    agent = an_agent(server.base_url, settings={"max_tokens": 50})

    over, within = the_only_result(agent), the_only_result(agent)

    assert isinstance(over, Answer)
    assert "answered 100 tokens where max_tokens allows 50" in str(over.usage[0].overrun)
    assert within.usage[0].overrun is None
