"""
What a model's failure means for a case, in the words of :mod:`interlock.errors`.

The messages of the libraries below carry the body of the service's answer, which may quote the prompt. So none of
their text is passed on: only a status, a code, and what to do.

What concerns the account or the set-up (a key, a model's name, a parameter, credit) is a
:class:`~interlock.errors.ConfigurationError`: it says nothing about the case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
_OF_THE_ACCOUNT = frozenset(
    {
        "insufficient_quota",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_funds",
        "credit_balance_too_low",
        "payment_required",
        "billing_error",
        "billing_not_active",
        "billing_hard_limit_reached",
        "quota_exceeded",
        "account_deactivated",
        "account_suspended",
        "access_terminated",
        "invalid_api_key",
        "api_key_invalid",
        "invalid_organization",
        "authentication_error",
        "permission_error",
        "unsupported_country_region_territory",
    }
)
"""Codes and types of errors for which a person must look after the key or pay."""
_OF_THE_SET_UP = frozenset(
    {
        "model_not_found",
        "model_not_available",
        "model_decommissioned",
        "model_not_supported",
        "invalid_model",
        "unknown_model",
        "unsupported_model",
        "deploymentnotfound",
        "deployment_not_found",
        "unsupported_parameter",
        "unknown_parameter",
        "unsupported_value",
        "missing_required_parameter",
        "integer_above_max_value",
        "integer_below_min_value",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "invalid_function_parameters",
        "invalid_json_schema",
    }
)
"""Codes and types of errors that every request of the agent meets."""
_OUT_OF_CREDIT = re.compile(
    r"(?:your credit balance is too low|insufficient (?:balance|credits?|funds|quota)|you exceeded your current quota"
    r"|you have run out of credits?|payment required)",
    re.IGNORECASE,
)
"""How services without a code for it begin to say so. Only a beginning counts: the rest may quote the case."""
_TEXTS = ("messages", "message", "input", "prompt", "contents", "content")
"""Parameters of a request that hold the case."""
LONGEST_WAIT = 86_400.0
"""Seconds; what asks for more asks for nothing that a task could wait for."""


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
    codes, is_of_the_account = _codes(error), False
    if 400 <= status < 500:
        is_of_the_account = bool(codes & _OF_THE_ACCOUNT) or _OUT_OF_CREDIT.match(_message(error)) is not None
    if status == 402 or (is_of_the_account and status not in (401, 403)):
        return ConfigurationError(
            f"{called} does not serve this account: {what}. Check its credit, its quota and its key at the service."
        )
    if status == 401 or (status == 403 and is_of_the_account):
        return ConfigurationError(
            f"{called} refused the credentials: {what}. Check the key in the connection's password, "
            "and that it may use this model."
        )
    if status == 404 or (400 <= status < 500 and status != 429 and codes & _OF_THE_SET_UP) or _names_a_setting(error):
        return ConfigurationError(
            f"{called} cannot be asked in this way: {what}. Check the model's name, the agent's settings and the "
            "connection's host; a service that has only chat completions is named 'openai-chat:<model>'."
        )
    if status == 403:
        return _forbidden(error, what, called)
    if status == 429:
        return _with_wait(RateLimited(f"{called} is asked too often: {what}."), error)
    if status in (408, 409, 425) or status >= 500:
        return _with_wait(AgentUnavailable(f"{called} cannot answer now: {what}."), error)
    return AgentRefused(f"{called} rejected the request: {what}. The same request meets the same answer.")


def _forbidden(error: Exception, what: str, called: Asked) -> AgentError:
    """Return what a 403 without a code of the account means: a limit, or a refusal of the case or of all."""
    limited = _with_wait(RateLimited(f"{called} is asked too often: {what}."), error)
    if limited.retry_after_seconds is not None:
        return limited
    refused = AgentRefused(f"{called} did not allow the request: {what}. The same request meets the same answer.")
    refused.may_concern_all = True
    return refused


def forbidden_to_all(called: Asked) -> ConfigurationError:
    """Return what it means that every case gets a 403."""
    return ConfigurationError(
        f"{called} allows no request: HTTP 403, whatever the case. Check the key in the connection's password, and "
        "that it may use this model from here."
    )


def unreadable(error: Exception, called: Asked) -> AgentError:
    """Return what it means that a library below cannot read an answer at all."""
    kind = type(error).__name__
    return _charged(MalformedOutput(f"{called} answered with something that is not a completion ({kind})."))


def _of_a_chain(error: BaseExceptionGroup[Exception], called: Asked) -> InterlockError | None:
    """A connection with fallbacks failed as a whole: it can be tried again if any of them can."""
    meanings = [translate_model_error(each, called) for each in error.exceptions if isinstance(each, Exception)]
    known = [each for each in meanings if each is not None]
    return next((each for each in known if each.retryable), known[0] if known else None)


def _inner(error: Exception) -> Mapping[str, Any]:
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _code(error: Exception) -> str:
    """The service's own code, when it is one: a name, never a sentence."""
    inner = _inner(error)
    code = inner.get("code") or inner.get("type")
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _codes(error: Exception) -> set[str]:
    inner = _inner(error)
    return {value.lower() for name in ("code", "type", "status") if isinstance(value := inner.get(name), str)}


def _message(error: Exception) -> str:
    text = _inner(error).get("message")
    return text if isinstance(text, str) else ""


def _names_a_setting(error: Exception) -> bool:
    """Tell whether the service says that a parameter is wrong which is the same in every request."""
    named = _inner(error).get("param")
    if not isinstance(named, str) or getattr(error, "status_code", 0) not in (400, 422):
        return False
    return re.match(r"\w*", named)[0] not in ("", *_TEXTS)  # type: ignore[index]  # it always matches


def _charged(meaning: AgentError) -> AgentError:
    meaning.may_be_charged = True
    return meaning


def _with_wait(meaning: AgentError, error: Exception) -> AgentError:
    wait = getattr(error, "retry_after", None)
    if isinstance(wait, (int, float)) and 0 <= wait <= LONGEST_WAIT:
        meaning.retry_after_seconds = float(wait)
    return meaning
