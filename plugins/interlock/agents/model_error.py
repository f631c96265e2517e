"""
What a model's failure means for a case, in the words of :mod:`interlock.errors`.

The messages of the libraries below carry the body of the service's answer, which may quote the prompt. So none of
their text is passed on: only a status, a code, and what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from interlock.errors import (
    AgentError,
    AgentRefused,
    AgentTimeout,
    AgentUnavailable,
    ConfigurationError,
    InterlockError,
    MalformedOutput,
    RateLimited,
)

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,60}")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who was asked, for the messages."""

    agent: str
    conn_id: str
    model: str
    timeout_seconds: float

    def __str__(self) -> str:
        return f"model {self.model!r} of agent {self.agent!r} (connection {self.conn_id!r})"


def translate_model_error(error: Exception, called: Asked) -> InterlockError | None:
    """Return what *error*, raised by a call to a model, means; None for what is nobody's but the programmer's."""
    from pydantic_ai.exceptions import (
        ContentFilterError,
        FallbackExceptionGroup,
        ModelAPIError,
        ModelHTTPError,
        UnexpectedModelBehavior,
        UserError,
    )

    if isinstance(error, TimeoutError):
        return _charged(
            AgentTimeout(
                f"{called} did not answer within {called.timeout_seconds:g} s. "
                "Raise the agent's timeout_seconds if that is its usual pace."
            )
        )
    if isinstance(error, FallbackExceptionGroup):
        return _of_a_chain(error, called)
    if isinstance(error, ModelHTTPError):
        return _of_a_status(error, error.status_code, called)
    if isinstance(error, ModelAPIError):
        if isinstance(error.__cause__, ValueError):
            message = f"{called} answered with a body that is not JSON. Check the connection's address."
            return _charged(MalformedOutput(message))
        return _charged(_with_wait(AgentUnavailable(f"{called} could not be reached, or closed the line."), error))
    if isinstance(error, ContentFilterError):
        return AgentRefused(f"{called} did not answer: a content filter stopped it.")
    if isinstance(error, UnexpectedModelBehavior):
        return _charged(MalformedOutput(f"{called} answered with something that is not a completion."))
    if isinstance(error, UserError):
        return ConfigurationError(f"{called} cannot be asked in this way: {error.message}")
    return None


def _of_a_status(error: Exception, status: int, called: Asked) -> InterlockError:
    what = f"HTTP {status}{_code(error)}"
    if status in (401, 403):
        return ConfigurationError(
            f"{called} refused the credentials: {what}. Check the key in the connection's password, "
            "and that it may use this model."
        )
    if status == 404:
        return ConfigurationError(
            f"{called} was not found: {what}. Check the model's name and the connection's host; a service that has "
            "only chat completions is named 'openai-chat:<model>'."
        )
    if status == 429:
        return _with_wait(RateLimited(f"{called} is asked too often: {what}."), error)
    if status in (408, 409, 425) or status >= 500:
        return _with_wait(AgentUnavailable(f"{called} cannot answer now: {what}."), error)
    return AgentRefused(f"{called} rejected the request: {what}. The same request meets the same answer.")


def _of_a_chain(error: BaseExceptionGroup[Exception], called: Asked) -> InterlockError | None:
    """A connection with fallbacks failed as a whole: it can be tried again if any of them can."""
    meanings = [translate_model_error(each, called) for each in error.exceptions if isinstance(each, Exception)]
    known = [each for each in meanings if each is not None]
    return next((each for each in known if each.retryable), known[0] if known else None)


def _code(error: Exception) -> str:
    """The service's own code, when it is one: a name, never a sentence."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    code = inner.get("code") or inner.get("type") if isinstance(inner, dict) else None
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _charged(meaning: AgentError) -> AgentError:
    meaning.may_be_charged = True
    return meaning


def _with_wait(meaning: AgentError, error: Exception) -> AgentError:
    wait = getattr(error, "retry_after", None)
    meaning.retry_after_seconds = float(wait) if wait is not None else None
    return meaning
