"""
An agent that asks a language model, with structured output under the role's contract.

One case is one request. Nothing here tries again: a retry, a wait or a more expensive model is the engine's decision,
by the policy's runbook, and a client that retried in silence would spend money that no budget has seen.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from interlock.agents.in_flight import in_flight
from interlock.agents.model_error import Asked, forbidden_to_all, translate_model_error, unreadable
from interlock.agents.price import Called, PriceBook
from interlock.agents.rendering import Rendering
from interlock.domain.agents.agent import NOT_OF_AN_ANSWER, ModelAgent
from interlock.domain.agents.agent_protocol import (
    Answer,
    Failure,
    Files,
    Hold,
    OpenTurnstile,
    Planned,
    Turnstile,
    Usage,
    Work,
)
from interlock.domain.base.canonical import digest
from interlock.domain.base.contract import Contract, accept
from interlock.domain.base.door import admit, as_text, read_json
from interlock.domain.base.redaction import FindNames, Masker
from interlock.domain.cost.price import Prices
from interlock.domain.policy.policy import Redaction
from interlock.errors import (
    AgentRefused,
    AgentUnavailable,
    ConfigurationError,
    ContractViolation,
    InputError,
    InterlockError,
    MalformedOutput,
    Overrun,
    UnfitValue,
)

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters

ResolveModel = Callable[[str, str | None], "Model"]
"""Turns a connection id and a model name, or None for the connection's own, into a model."""

FORBIDDEN_IN_A_ROW = 5
"""Cases that get a 403 one after another from a service that answered before, until it counts as meant for all."""
MOST_TOKENS = 2**31 - 1
OVERHEAD = 256
"""Tokens that a provider may put around the texts that it is given."""
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


class TextModelAgent:
    """
    Carries a role out by asking a language model, several cases at once.

    :param name: the agent's name in ``agents.yaml``.
    :param declaration: its text there.
    :param files: where the prompt and the instructions are read from.
    :param resolve_model: asked for the model when the first case needs it; at once when the declaration names none,
        because the digest must know whose answers they are.
    :param redaction: what is masked in a prompt before it leaves.
    :param find_names: finds names in a text; asked where the policy requires it.
    :param prices: the company's own; the public list prices what they omit.
    :raises UnknownName: there is no such prompt or instructions file.
    :raises ConfigurationError: the prompt is not a Jinja template, or names must be masked and nobody can find them.
    """

    kind = "model"

    def __init__(
        self,
        name: str,
        declaration: ModelAgent,
        files: Files,
        resolve_model: ResolveModel,
        *,
        redaction: Redaction | None = None,
        find_names: FindNames | None = None,
        prices: Prices | None = None,
    ) -> None:
        self.name = name
        self.turnstile: Turnstile = OpenTurnstile()
        self.book = PriceBook(prices or Prices())
        self.redaction = redaction or Redaction()
        if self.redaction.names == "required" and find_names is None:
            raise ConfigurationError(
                f"the policy requires that names are masked before agent {name!r} asks its model, and nothing here can "
                "find them: nothing was sent. Set [interlock] find_names to a function that does"
            )
        self._find_names = find_names if self.redaction.names == "required" else None
        self.declaration = declaration
        self._resolve_model = resolve_model
        self._idle: list[Model] = []
        self._has_answered = False
        prompt = files.text(declaration.prompt)
        self._instructions = files.text(declaration.instructions) if declaration.instructions else None
        self._prompt = Rendering(prompt, f"prompt {declaration.prompt!r} of agent {name!r}")
        if declaration.model is None:
            self._idle.append(self.new_model())
        self.digest = digest(
            {
                # How fast and how patiently is not what makes an answer.
                "declaration": declaration.model_dump(mode="json", exclude=set(NOT_OF_AN_ANSWER)),
                "prompt": prompt,
                "instructions": self._instructions,
                "model": declaration.model or self._idle[0].model_name,
                "redaction": self.redaction.model_dump(mode="json"),
            }
        )

    def masker(self) -> Masker:
        """Return what masks the texts of one request."""
        return Masker(names=self._find_names, keeps=self.redaction.keeps)

    def prepare(self) -> Mapping[str, Any]:
        """
        Find the model, so that a missing connection shows before any case is worked on; return its name.

        :raises ConfigurationError: the connection or the model cannot be used.
        """
        if not self._idle:
            self._idle.append(self.new_model())
        return {"model": self._idle[0].model_name}

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure | None]:
        """
        Ask the model for each piece of *work*, and yield what comes of each as it arrives.

        A :class:`Failure` with a :class:`ConfigurationError` (a key that is refused, a model that is not there, no
        credit) says nothing about its case; after it the remaining cases get the same failure without a call.
        """
        # A model belongs to one event loop at a time, so each iterator that runs takes one for itself.
        model = self._idle.pop() if self._idle else self.new_model()
        try:
            asked = Asking(self, model, contract)
            yield from self.sort_out(
                in_flight(work, asked.ask, limit=self.declaration.concurrency, around=model), asked
            )
        finally:
            self._idle.append(model)

    def sort_out(self, results: Iterator[Answer | Failure | None], asked: Asking) -> Iterator[Answer | Failure | None]:
        """
        Yield *results*, each 403 once it is known whom it concerns.

        It concerns the case if another is answered; the account if a second case gets it and none was answered before,
        or if too many get it in a row.
        """
        held: list[Failure] = []
        for result in results:
            if isinstance(result, Failure) and isinstance(result.error, AgentRefused) and result.error.may_concern_all:
                held.append(result)
                if asked.is_unusable or len(held) >= (FORBIDDEN_IN_A_ROW if self._has_answered else 2):
                    yield from asked.forbid(held)
                    held = []
                continue
            if isinstance(result, Answer):
                self._has_answered = True
                yield from held
                held = []
            yield result
        yield from held if self._has_answered else asked.forbid(held)

    def new_model(self) -> Model:
        """Return a model that nothing else uses."""
        return without_retries(self._resolve_model(self.declaration.conn_id, self.declaration.model))


@dataclass(frozen=True)
class Question:
    """What a model is asked about a case, masked."""

    prompt: str
    masker: Masker
    planned: Planned


class Asking:
    """
    What is the same for all the cases that are asked about together.

    :param turnstile: what lets the calls through; default: the agent's.
    :param in_batch: the calls are made in a batch of the provider, at its price for that.
    """

    def __init__(
        self,
        agent: TextModelAgent,
        model: Model,
        contract: type[Contract],
        *,
        turnstile: Turnstile | None = None,
        in_batch: bool = False,
    ) -> None:
        self._agent = agent
        self._turnstile = turnstile or agent.turnstile
        self._in_batch = in_batch
        self._model = model
        self._models = _models_of(model)
        self._contract = contract
        self._parameters = _parameters(contract)
        self._settings: Any = {**agent.declaration.settings, **_no_retries_setting(model)}
        self._called = Asked(
            agent=agent.name,
            conn_id=agent.declaration.conn_id,
            model=agent.declaration.model or model.model_name,
            timeout_seconds=agent.declaration.timeout_seconds,
        )
        self._unusable: ConfigurationError | None = None
        texts = (agent._instructions or "", json.dumps(contract.model_json_schema()), contract.__doc__ or "")
        self._overhead = sum(len(text.encode()) for text in texts) + OVERHEAD

    @property
    def is_unusable(self) -> bool:
        """Whether no case can be asked about any more."""
        return self._unusable is not None

    def forbid(self, refused: Sequence[Failure]) -> Iterator[Failure]:
        """Yield what it means for *refused* cases that the service allows nothing; no more are asked about."""
        for failure in refused:
            error = self._unusable = self._unusable or forbidden_to_all(self._called)
            usage = tuple(replace(used, outcome=type(error).__name__) for used in failure.usage)
            yield Failure(case_id=failure.case_id, error=error, usage=usage)

    async def ask(self, work: Work) -> Answer | Failure:
        """Ask about one case, when its turn has come."""
        question = self.question(work)
        if isinstance(question, Failure):
            return question
        planned = question.planned
        try:
            hold = await self._turnstile.enter(planned)
        except InterlockError as error:
            return Failure(case_id=work.case_id, error=error)
        ended: InterlockError | None = AgentUnavailable(f"{self._called} was not waited for")
        try:
            answer = await self.call(question, hold)
            ended = answer.error if isinstance(answer, Failure) else None
        finally:
            self._turnstile.leave(planned, ended)
        return answer

    def question(self, work: Work) -> Question | Failure:
        """Return what the model would be asked about a case, or why it cannot be."""
        if self._unusable is not None:
            return Failure(case_id=work.case_id, error=self._unusable)
        try:
            prompt = self._agent._prompt.render(work.variables())
        except InputError as error:
            return Failure(case_id=work.case_id, error=error)
        masker = self._agent.masker()
        try:
            prompt = masker.mask(prompt)
        except Exception as error:  # whatever finds names raised: unmasked, nothing leaves
            self._unusable = ConfigurationError(
                f"names could not be looked for before {self._called} was asked, so nothing was sent: "
                f"{type(error).__name__}. Look at [interlock] find_names"
            )
            return Failure(case_id=work.case_id, error=self._unusable)
        return Question(prompt, masker, self._planned(work.case_id, prompt))

    async def send(self, question: Question) -> ModelResponse:
        """
        Make the request itself.

        :raises Exception: what the model raises.
        """
        from pydantic_ai.direct import model_request
        from pydantic_ai.messages import ModelRequest

        request = ModelRequest.user_text_prompt(question.prompt, instructions=self._agent._instructions)
        return await model_request(
            self._model, [request], model_settings=self._settings, model_request_parameters=self._parameters
        )

    async def call(self, question: Question, hold: Hold | None) -> Answer | Failure:
        """Make one call, and say what came of it."""
        case_id, masker, planned = question.planned.case_id, question.masker, question.planned
        started = time.perf_counter()
        response: ModelResponse | None = None
        try:
            # An answer that a batch brought is only read: on a busy machine that takes long, and must not fail for it.
            async with asyncio.timeout(None if self._in_batch else self._agent.declaration.timeout_seconds):
                response = await self.send(question)
            payload = self._read(response, masker)
            confidence = self._confidence(payload)
        except Exception as error:
            meaning = error if isinstance(error, InterlockError) else translate_model_error(error, self._called)
            meaning = meaning or unreadable(error, self._called)
            if isinstance(meaning, ConfigurationError):
                self._unusable = meaning
            usage = self._usage(response, started, planned, hold, error=meaning)
            return Failure(case_id=case_id, error=meaning, usage=(usage,))
        usage = self._usage(response, started, planned, hold)
        provenance: dict[str, Any] = {
            "model": usage.model,
            "provider": response.provider_name,
            "response_id": response.provider_response_id,
        }
        if masker.counts:
            provenance["masked"] = masker.counts
        return Answer(case_id=case_id, payload=payload, confidence=confidence, provenance=provenance, usage=(usage,))

    def _read(self, response: ModelResponse, masker: Masker) -> dict[str, Any]:
        """Return the payload that *response* carries, with what was masked put back, checked against the contract."""
        if response.finish_reason == "content_filter" or (response.provider_details or {}).get("refusal"):
            raise AgentRefused(f"{self._called} declined to answer, or a content filter did.")
        problem = "it answered in other text."
        try:
            payload = _payload(response, self._contract.__name__)
        except UnfitValue as error:
            payload = None
            if not isinstance(error.__cause__, json.JSONDecodeError):
                problem = f"it answered in other text, which {error.problem}."
        if payload is None:
            cut = response.finish_reason == "length"
            raise MalformedOutput(
                f"{self._called} gave no JSON object under contract {self._contract.contract_ref()}: "
                + ("the answer was cut off. Raise settings.max_tokens." if cut else problem)
            )
        payload = dict(masker.restore(payload))
        try:
            accept(self._contract, payload)
        except ContractViolation as violation:
            raise MalformedOutput(f"the answer of {self._called} {violation}") from None
        return payload

    def _confidence(self, payload: Mapping[str, Any]) -> float | None:
        field = self._agent.declaration.confidence_field
        if field is None:
            return None
        value = payload.get(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise MalformedOutput(
                f"the answer of {self._called} has no number from 0 to 1 in {field!r}, its confidence_field."
            )
        return float(value)

    def _planned(self, case_id: str, prompt: str) -> Planned:
        """Say what the call can take at most: no text has more tokens than bytes."""
        settings = self._agent.declaration.settings
        given, most_out = len(prompt.encode()) + self._overhead, settings.get("max_tokens")
        costs = [
            self._agent.book.cost(
                called, datetime.now(UTC), in_batch=self._in_batch, input_tokens=given, output_tokens=most_out
            )
            for called in self._models
            if most_out is not None
        ]
        known = [cost[0] for cost in costs if cost is not None]
        return Planned(
            case_id=case_id,
            model=self._called.model,
            tokens=given + (most_out or 0),
            most=max(known) if len(known) == len(self._models) else None,
        )

    def _usage(
        self,
        response: ModelResponse | None,
        started: float,
        planned: Planned,
        hold: Hold | None,
        *,
        error: InterlockError | None = None,
    ) -> Usage:
        """
        What the call took. One whose answer is not known may have been billed, and counts as the maximum it can cost,
        and so does one whose service reports no tokens for a question that was asked or a text that was answered.
        """
        taken = response.usage if response else None
        tokens = {
            "input_tokens": _tokens(taken.input_tokens if taken else 0),
            "output_tokens": _tokens(taken.output_tokens if taken else 0),
            "cached_tokens": _tokens(taken.cache_read_tokens if taken else 0),
        }
        model = as_text(str((response and response.model_name) or self._model.model_name), 200)
        cost: Decimal | None = Decimal(0)
        price: str | None = None
        if response is not None and _is_measured(response, tokens):
            asked = next((m for m in self._models if m.provider == response.provider_name), self._models[0])
            called = Called((model, *asked.names), response.provider_name or asked.provider, response.provider_url)
            cost, price = self._agent.book.cost(called, datetime.now(UTC), in_batch=self._in_batch, **tokens) or (
                None,
                None,
            )
        elif response is not None or getattr(error, "may_be_charged", False):
            cost, price = planned.most, "at most"
        return Usage(
            model=model,
            seconds=time.perf_counter() - started,
            outcome="ok" if error is None else type(error).__name__,
            cost=cost,
            price=price,
            connection=self._agent.declaration.conn_id,
            hold=hold,
            overrun=self._overrun(tokens["output_tokens"], cost, planned),
            id=None,
            **tokens,
        )

    def _overrun(self, output_tokens: int, cost: Decimal | None, planned: Planned) -> Overrun | None:
        allowed = self._agent.declaration.settings.get("max_tokens")
        if allowed is not None and output_tokens > allowed:
            return Overrun(f"{self._called} answered {output_tokens} tokens where max_tokens allows {allowed}")
        if cost is not None and planned.most is not None and cost > planned.most:
            return Overrun(f"a call of {self._called} cost {cost} USD, and by its text at most {planned.most} USD")
        return None


def without_retries(model: Model) -> Model:
    """Return *model* with its SDK's own retries switched off, as far as they stand on a client: a call is a call."""
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.wrapper import WrapperModel

    if isinstance(model, FallbackModel):
        for each in model.models:
            without_retries(each)
    elif isinstance(model, WrapperModel):
        without_retries(model.wrapped)
    elif _has_client_retries(model):
        model.client.max_retries = 0  # type: ignore[attr-defined]  # OpenAI, Anthropic and Groq have a client
    return model


def _has_client_retries(model: Model) -> bool:
    return isinstance(getattr(getattr(model, "client", None), "max_retries", None), int)


def _no_retries_setting(model: Model) -> dict[str, Any]:
    """The setting for the models whose retries are no property of a client; a copy of the client a call for others."""
    if _has_client_retries(model) or "max_retries" in getattr(model, "unsupported_settings", ()):
        return {}
    return {"max_retries": 0}


def _parameters(contract: type[Contract]) -> ModelRequestParameters:
    """Offer the contract both ways; the model's profile keeps the one it is best at (a tool, or a response format)."""
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    schema = contract.model_json_schema()
    name, description = contract.__name__, (contract.__doc__ or "").strip() or None
    return ModelRequestParameters(
        output_mode="auto",
        allow_text_output=False,
        output_object=OutputObjectDefinition(json_schema=schema, name=name, description=description),
        output_tools=[ToolDefinition(name=name, parameters_json_schema=schema, description=description, kind="output")],
    )


def _payload(response: ModelResponse, tool: str) -> dict[str, Any] | None:
    """
    The one JSON object of *response*, from its tool call or its text; None when there is none, or several.

    :raises UnfitValue: its text is not JSON, or holds what is not let in.
    """
    from pydantic_ai.messages import TextPart, ToolCallPart

    calls = [part.args for part in response.parts if isinstance(part, ToolCallPart) and part.tool_name == tool]
    if len(calls) > 1:
        return None
    content: Any = calls[0] if calls else "".join(part.content for part in response.parts if isinstance(part, TextPart))
    if isinstance(content, str):
        fenced = _FENCE.fullmatch(content)
        content = read_json(fenced[1] if fenced else content)
    return admit(content) if isinstance(content, dict) else None


def _tokens(reported: Any) -> int:
    """Return a number of tokens as a service reports it; 0: it is none."""
    return reported if isinstance(reported, int) and 0 <= reported <= MOST_TOKENS else 0


def _is_measured(response: ModelResponse, tokens: Mapping[str, int]) -> bool:
    """Tell whether the service says what the call took: no question is without tokens, nor is a text."""
    if response.usage.unmeasured_requests:
        return False
    has_content = any(getattr(part, "content", None) or getattr(part, "args", None) for part in response.parts)
    return tokens["input_tokens"] > 0 and (tokens["output_tokens"] > 0 or not has_content)


def _models_of(model: Model) -> list[Called]:
    """Return the models that may answer: those of a chain, or the one."""
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.wrapper import WrapperModel

    if isinstance(model, FallbackModel):
        return [called for each in model.models for called in _models_of(each)]
    if isinstance(model, WrapperModel):
        return _models_of(model.wrapped)
    return [Called((model.model_name,), model.system, model.base_url)]
