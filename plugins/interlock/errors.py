"""
Everything that Interlock raises on purpose.

::

    InterlockError
    ├── ConfigurationError        a file or setting is wrong
    │   ├── UnknownName           a name that does not exist
    │   ├── PolicyError           a policy, rule or check that is invalid
    │   └── ContractChanged       the code's contract differs from the pinned version's
    ├── InputError                input that cannot be accepted
    │   ├── SourceError           a source that cannot be read as a whole
    │   ├── ContractViolation     a payload that does not satisfy its contract
    │   ├── UnfitValue            a value that can't be stored, digested, sent and shown
    │   └── StaleContext          data for a role that is older than the policy allows
    ├── AgentError                an agent did not deliver for one case
    │   ├── AgentUnavailable      no answer: connection, 5xx                    (retryable)
    │   │   ├── RateLimited       the service wants fewer calls                 (retryable)
    │   │   └── CircuitOpen       failed so often that calls are paused         (retryable)
    │   ├── AgentTimeout          no answer in time                             (retryable)
    │   ├── MalformedOutput       an answer of the wrong form                   (retryable)
    │   ├── AgentCrashed          the agent ended its process at this case
    │   ├── Overrun               more tokens used than the call allowed; its answer is kept
    │   ├── AgentRefused          the model or a content filter declined
    │   └── BatchRefused          the service refused a batch, or does not support batches
    ├── ConnectorError            the external system did not accept the effect
    │   ├── ConnectorUnavailable  no answer: look for the effect before a repeat  (retryable)
    │   ├── EffectInDoubt         no answer, and no way to look: a person must decide
    │   └── EffectRefused         the external system refused
    ├── BudgetExhausted           a budget does not cover the maximum cost of a call
    ├── NotAuthorised             no rule or person allowed this
    ├── LedgerError               the ledger cannot be read or written
    │   ├── LedgerUnavailable     no answer                                     (retryable)
    │   ├── Superseded            another attempt of this task has taken over
    │   └── Tampered              records were altered afterwards
    ├── SwitchedOff               a person switched off this workflow, agent or connector
    ├── NotDeployed               the workflow is not deployed in this environment
    └── Stopped                   the policy's ``stop_when``, or the check at the end of a run, stopped the work

``retryable`` says whether another attempt can help, because that is what Airflow needs to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches


class InterlockError(Exception):
    """The root. The message names what was asked, what there is, and what to do next."""

    retryable: bool = False


class ConfigurationError(InterlockError):
    """A file or setting is wrong. A retry reads the same text."""


class UnknownName(ConfigurationError):
    """A name that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        place = f" in {where}" if where else ""
        listing = ", ".join(map(repr, names[:20])) + (", …" if len(names) > 20 else "")
        super().__init__(
            f"there is no {kind} {name!r}{place}."
            + (f" Did you mean {near[0]!r}?" if near else "")
            + (f" Known: {listing}." if names else " There is none at all.")
        )


class PolicyError(ConfigurationError):
    """A policy, rule or check is invalid. The message has one line for each problem."""


class ContractChanged(ConfigurationError):
    """The code's contract differs from the one of the pinned version."""


class InputError(InterlockError):
    """Input cannot be accepted. A retry reads the same input."""


class SourceError(InputError):
    """A source cannot be read as a whole: missing, wrong encoding, no such table."""


class ContractViolation(InputError):
    """
    A payload does not satisfy its contract: *problems* are ``field: what is wrong`` lines without the values.
    """

    def __init__(self, contract: str, problems: Iterable[str]) -> None:
        self.contract = contract
        self.problems = tuple(problems)
        super().__init__(f"does not satisfy contract {contract}: " + "; ".join(self.problems))


class UnfitValue(InputError, ValueError):
    """
    A value that cannot be stored, digested, sent and shown: an infinite number, half of a character.

    *path* names the part, *problem* says what is wrong with it; neither holds the value.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path or '(whole)'}: {problem}")


class StaleContext(InputError):
    """Data that a role would read for a case is older than the policy's ``fresh`` allows."""


class AgentError(InterlockError):
    """An agent did not deliver for one case."""

    retry_after_seconds: float | None = None
    """How long the service asks to wait (``Retry-After``); None if it does not say."""
    may_be_charged: bool = False
    """The call was made and its answer was lost, so the service may bill it."""


class AgentUnavailable(AgentError):
    """The service did not answer, or is temporarily unavailable. Nothing was recorded, so a retry starts clean."""

    retryable = True


class RateLimited(AgentUnavailable):
    """The service received too many requests."""


class CircuitOpen(AgentUnavailable):
    """The service failed so many times in a row that calls are paused until a single trial call succeeds."""


class AgentTimeout(AgentError):
    """No answer within the agent's ``timeout_seconds``."""

    retryable = True


class MalformedOutput(AgentError):
    """An answer does not have the form that the contract requires: prose for JSON, a missing field."""

    retryable = True


class AgentRefused(AgentError):
    """The model declined to answer, or a content filter did. The same question gets the same refusal."""

    may_concern_all: bool = False
    """The service gave no reason that has to do with the case (a 403): if every case gets it, the account is why."""


class BatchRefused(AgentError):
    """The service refused a batch of requests, or does not support batches. None of its requests run."""


class AgentCrashed(AgentError):
    """The agent ended its process at this case, each time it processed the case alone."""


class Overrun(AgentError):
    """
    The service used more tokens than the call allowed, so the call cost more than was reserved.

    Nothing raises it: the answer is paid for and kept. It names the incident and its runbook entry.
    """


class ConnectorError(InterlockError):
    """The external system did not accept the effect."""

    retry_after_seconds: float | None = None


class ConnectorUnavailable(ConnectorError):
    """No answer, so it is unknown whether the effect took place. Look for it before a repeat."""

    retryable = True
    surely_not: bool = False
    """It did not take place: the connection failed before anything was sent, so a repeat is safe."""
    asks_to_wait: bool = False
    """A rate limit: the system asks for fewer requests, or for a pause. It says nothing of the effect."""


class EffectInDoubt(ConnectorError):
    """
    The effect may have taken place, and the external system cannot be asked. It is not repeated; a person must decide.
    """


class EffectRefused(ConnectorError):
    """The external system refused. The same effect gets the same answer."""

    may_be_set_up: bool = False
    """The reason may be the account or the path: it is, when a second, different case gets the same answer."""


class BudgetExhausted(InterlockError):
    """
    A budget does not cover the maximum cost of a call, so the call was not made.

    *until* is when its period ends; *is_soft*: the budget would cover it, but its soft limit is exceeded.
    """

    def __init__(self, message: str, *, scope: str = "", until: datetime | None = None, is_soft: bool = False) -> None:
        self.scope, self.until, self.is_soft = scope, until, is_soft
        super().__init__(message)


class NotAuthorised(InterlockError):
    """No rule or person allowed this."""


class LedgerError(InterlockError):
    """The ledger cannot be read or written."""


class LedgerUnavailable(LedgerError):
    """The ledger did not answer."""

    retryable = True


class Superseded(LedgerError):
    """Another attempt of this task has taken over, so this one may no longer write."""


class Tampered(LedgerError):
    """Records were altered after they were written; *subject* names the row, where it is one."""

    def __init__(self, message: str, *, subject: str = "") -> None:
        self.subject = subject
        super().__init__(message)


class SwitchedOff(InterlockError):
    """
    A person switched off this workflow, agent or connector. Nothing continues until a person switches it on again.

    *kind* and *name* are those of the switch.
    """

    def __init__(self, message: str, *, kind: str = "", name: str = "") -> None:
        self.kind, self.name = kind, name
        super().__init__(message)


class NotDeployed(InterlockError):
    """The workflow was never deployed in this environment, or a person has paused or retired it."""


class Stopped(InterlockError):
    """The policy's ``stop_when``, or the check at the end of a run, stopped the work."""
