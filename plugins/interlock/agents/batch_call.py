"""
The calls of a model agent, when a batch makes them: written out beforehand, and read when their answers are there.

Both go through the model itself over a transport that has no network, so a request in a batch is to the letter the one
that a direct call makes, and its answer is read, checked, priced and its errors understood by the same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx

from interlock.agents.batch_client import BatchClient, Reply, has_batches
from interlock.agents.in_flight import in_flight
from interlock.agents.model import Asking, Question, TextModelAgent
from interlock.agents.model_error import Asked
from interlock.domain.agents.agent import ModelAgent
from interlock.domain.agents.agent_protocol import Answer, Failure, Hold, Planned, Usage, Work
from interlock.domain.base.contract import Contract
from interlock.domain.base.redaction import Masker
from interlock.domain.cost.price import from_nano
from interlock.errors import AgentError, AgentTimeout, AgentUnavailable

if TYPE_CHECKING:
    from pydantic_ai.models import Model

AT_ONCE = 16
"""Answers that are read at once: nobody waits for a network."""
LOST = "lost"
"""How a batch ended that the provider does not know any more, or that never came back."""
Answers = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
_case: ContextVar[str] = ContextVar("_case")


@dataclass(frozen=True)
class Written:
    """A request of a batch."""

    planned: Planned
    endpoint: str
    body: bytes


@dataclass(frozen=True)
class Sent:
    """What is known of a request that is out in a batch."""

    agent: str
    connection: str
    hold: Hold | None
    usage_id: str


def batch_client(name: str, declared: ModelAgent, model: Model) -> BatchClient | None:
    """Return the batch interface behind the *model* of an agent; None when it has none."""
    return BatchClient(model, _called(name, declared, model)) if has_batches(model) else None


def write_calls(agent: TextModelAgent, work: Sequence[Work], contract: type[Contract]) -> dict[str, Written]:
    """Return the requests about *work* by case; of which none can be written, the direct call says why."""
    bodies: dict[str, tuple[str, bytes]] = {}

    async def note(request: httpx.Request) -> httpx.Response:
        bodies[_case.get()] = (request.url.path, request.content)
        return httpx.Response(418, json={})

    model = _through(agent.new_model(), note)
    base = httpx.URL(str(model.base_url or "")).path.rstrip("/")
    asking = Asking(agent, model, contract, in_batch=True)
    written: dict[str, Written] = {}

    async def main() -> None:
        async with model:
            for one in work:
                question = asking.question(one)
                if isinstance(question, Failure):
                    continue
                _case.set(one.case_id)
                with suppress(Exception):  # nothing answers
                    await asking.send(question)
                if one.case_id in bodies:
                    path, body = bodies.pop(one.case_id)
                    written[one.case_id] = Written(question.planned, "/v1" + path.removeprefix(base), body)

    asyncio.run(main())
    return written


def read_answers(
    agent: TextModelAgent,
    work: Sequence[Work],
    contract: type[Contract],
    replies: Mapping[str, Reply],
    sent: Mapping[str, Sent],
    *,
    batch: str,
    status: str,
) -> Iterator[Answer | Failure | None]:
    """Yield what a batch that ended as *status* says of each piece of *work*."""
    answered = [one for one in work if replies.get(one.case_id, Reply()).status]
    for one in work:
        reply = replies.get(one.case_id, Reply())
        if not reply.status:
            yield _missing(one.case_id, reply, sent[one.case_id], status)
    if not answered:
        return
    asking, model = _replaying(agent, contract, replies)

    async def read(one: Work) -> Answer | Failure:
        _case.set(one.case_id)
        question = asking.question(one)
        if isinstance(question, Failure):
            # Its answer cannot be written out again, and is paid for all the same.
            answer = await asking.call(_no_question(agent, one.case_id), sent[one.case_id].hold)
            return replace(question, usage=_named(answer.usage, sent[one.case_id]))
        answer = await asking.call(question, sent[one.case_id].hold)
        used = _named(answer.usage, sent[one.case_id])
        if isinstance(answer, Failure):
            return replace(answer, usage=used)
        return replace(answer, usage=used, provenance={**answer.provenance, "batch": batch})

    yield from agent.sort_out(in_flight(answered, read, limit=AT_ONCE, around=model), asking)


def count_answers(
    agent: TextModelAgent,
    case_ids: Sequence[str],
    contract: type[Contract],
    replies: Mapping[str, Reply],
    sent: Mapping[str, Sent],
    *,
    status: str,
) -> dict[str, Usage]:
    """Return what requests took whose answers nobody can use any more, by case."""
    work = [Work(case_id=case_id, case={}) for case_id in case_ids]
    found: dict[str, Usage] = {}
    answered = []
    for one in work:
        reply = replies.get(one.case_id, Reply())
        if reply.status:
            answered.append(one)
        else:
            [found[one.case_id]] = _missing(one.case_id, reply, sent[one.case_id], status).usage
    if not answered:
        return found
    asking, model = _replaying(agent, contract, replies)

    async def count(one: Work) -> tuple[str, Usage]:
        _case.set(one.case_id)
        answer = await asking.call(_no_question(agent, one.case_id), sent[one.case_id].hold)
        [used] = _named(answer.usage, sent[one.case_id])
        return one.case_id, replace(used, outcome="unused")

    for counted in in_flight(answered, count, limit=AT_ONCE, around=model):
        if counted is not None:
            found[counted[0]] = counted[1]
    return found


def _missing(case_id: str, reply: Reply, sent: Sent, status: str) -> Failure:
    """Say of a request without an answer why, and what it may have cost."""
    error: AgentError
    if reply.problem == "batch_expired" or (not reply.problem and status == "expired"):
        error = AgentTimeout(f"agent {sent.agent!r}: the batch did not come to the case within its window")
    elif reply.problem:
        error = AgentUnavailable(f"agent {sent.agent!r}: the batch did not answer the case: {reply.problem}")
    else:
        error = AgentUnavailable(f"agent {sent.agent!r}: the batch is {status} and holds nothing of the case")
    # What has a code of its own did not run, nor did what a batch ended before; what a whole batch lacks may have.
    may_be_charged = not reply.problem and status in ("completed", LOST)
    most = from_nano(sent.hold.amount) if sent.hold is not None else None
    usage = Usage(
        model="unknown",
        seconds=0.0,
        outcome=type(error).__name__,
        cost=most if may_be_charged else from_nano(0),
        price="at most" if may_be_charged else None,
        connection=sent.connection,
        hold=sent.hold,
        id=sent.usage_id,
    )
    return Failure(case_id=case_id, error=error, usage=(usage,))


def _named(usage: tuple[Usage, ...], sent: Sent) -> tuple[Usage, ...]:
    return tuple(replace(used, id=sent.usage_id) for used in usage)


def _no_question(agent: TextModelAgent, case_id: str) -> Question:
    return Question("-", Masker(), Planned(case_id=case_id, model=agent.declaration.model or "", tokens=0, most=None))


def _called(name: str, declared: ModelAgent, model: Model) -> Asked:
    return Asked(
        agent=name,
        conn_id=declared.conn_id,
        model=declared.model or model.model_name,
        timeout_seconds=declared.timeout_seconds,
    )


def _through(model: Any, answer: Answers) -> Any:
    """Return *model* with its requests handed to *answer* instead of a network."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    model, provider = copy(model), copy(model._provider)
    # The one place where the client of an OpenAI model can be changed without losing what else its provider knows.
    model._provider, provider._client = provider, model.client.copy(http_client=client, max_retries=0)
    return model


def _replaying(agent: TextModelAgent, contract: type[Contract], replies: Mapping[str, Reply]) -> tuple[Asking, Any]:
    """Return what reads answers out of *replies*, and the model that it does it with."""

    async def answer(request: httpx.Request) -> httpx.Response:
        reply = replies[_case.get()]
        return httpx.Response(reply.status, json=reply.body)

    model = _through(agent.new_model(), answer)
    return Asking(agent, model, contract, in_batch=True), model
