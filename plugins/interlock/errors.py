"""
Everything that Interlock raises on purpose.

::

    InterlockError
    ├── ConfigurationError        what was written down cannot work
    │   ├── UnknownName           a name that nothing carries
    │   ├── PolicyError           a policy, rule or check that is refused
    │   └── ContractChanged       code and pinned version disagree on a contract
    ├── InputError                what came in cannot be taken
    │   ├── SourceError           a source that cannot be read as a whole
    │   ├── ContractViolation     a payload that does not satisfy its contract
    │   └── StaleContext          what a role would read is older than the policy lets it be
    ├── AgentError                what carries a role out did not deliver
    │   ├── AgentUnavailable      no answer: connection, 5xx                    (retryable)
    │   │   ├── RateLimited       the service wants fewer calls                 (retryable)
    │   │   └── CircuitOpen       it failed so often that nobody asks for now   (retryable)
    │   ├── AgentTimeout          no answer in time                             (retryable)
    │   ├── MalformedOutput       an answer that is not what was asked          (retryable)
    │   ├── AgentCrashed          it ended its process at this case
    │   ├── Overrun               it took more tokens than the call allowed; its answer is kept
    │   ├── AgentRefused          the model declined, or a content filter did
    │   └── BatchRefused          the service did not take a batch, or has no interface for them
    ├── ConnectorError            the other system did not take the effect
    │   ├── ConnectorUnavailable  whether it took it is unknown: look before a repeat  (retryable)
    │   ├── EffectInDoubt         it may have taken it and can never tell: a person must say
    │   └── EffectRefused         it said no
    ├── BudgetExhausted           a budget has no room for the most that a call can cost
    ├── NotAuthorised             no rule or person allowed this
    ├── LedgerError               the ledger cannot be read or written
    │   ├── LedgerUnavailable     it did not answer                             (retryable)
    │   ├── Superseded            another attempt of this task has taken over
    │   └── Tampered              what is written is not what was recorded
    ├── SwitchedOff               a person stopped this workflow, agent or connector
    ├── NotDeployed               the workflow does not run in this environment
    └── Stopped                   ``stop_when`` of the policy, or the run's last check

``retryable`` says whether another attempt can help, because that is what Airflow asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches


class InterlockError(Exception):
    """The root. The message names what was asked, what there is, and what to do next."""

    retryable: bool = False


class ConfigurationError(InterlockError):
    """What was written down cannot work. A retry reads the same text."""


class UnknownName(ConfigurationError):
    """A name that nothing carries."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        there = sorted(known)
        near = get_close_matches(name, there, n=1)
        place = f" in {where}" if where else ""
        listing = ", ".join(map(repr, there[:20])) + (", …" if len(there) > 20 else "")
        super().__init__(
            f"there is no {kind} {name!r}{place}."
            + (f" Did you mean {near[0]!r}?" if near else "")
            + (f" Known: {listing}." if there else " There is none at all.")
        )


class PolicyError(ConfigurationError):
    """A policy, rule or check that is refused, with each problem on a line of its own."""


class ContractChanged(ConfigurationError):
    """The code's contract is not the one of the pinned version."""


class InputError(InterlockError):
    """What came in cannot be taken. A retry meets the same input."""


class SourceError(InputError):
    """A source that cannot be read as a whole: missing, wrong encoding, no such table."""


class ContractViolation(InputError):
    """
    A payload that does not satisfy its contract: *problems* are ``field: what is wrong`` lines without the values.
    """

    def __init__(self, contract: str, problems: Iterable[str]) -> None:
        self.contract = contract
        self.problems = tuple(problems)
        super().__init__(f"does not satisfy contract {contract}: " + "; ".join(self.problems))


class StaleContext(InputError):
    """What a role would read of a case is older than the policy's ``fresh`` lets it be."""


class AgentError(InterlockError):
    """What carries a role out did not deliver for one case."""

    retry_after_seconds: float | None = None
    """What the service asked for, when it did (``Retry-After``)."""
    may_be_charged: bool = False
    """The call was made and its answer is not known, so the service may bill it."""


class AgentUnavailable(AgentError):
    """The service did not answer, or said that it cannot now. Nothing was recorded, so a retry starts clean."""

    retryable = True


class RateLimited(AgentUnavailable):
    """The service said that it is asked too often."""


class CircuitOpen(AgentUnavailable):
    """The service failed so many times in a row that it is not asked until one call has gone through."""


class AgentTimeout(AgentError):
    """No answer within the agent's ``timeout_seconds``."""

    retryable = True


class MalformedOutput(AgentError):
    """An answer that is not what the contract asks: prose for JSON, a missing field."""

    retryable = True


class AgentRefused(AgentError):
    """The model declined to answer, or a content filter did. The same question meets the same refusal."""


class BatchRefused(AgentError):
    """The service did not take a batch of requests, or has no interface for them. Nothing of it runs."""


class AgentCrashed(AgentError):
    """The agent ended its process at this case, each time that it was asked for the case alone."""


class Overrun(AgentError):
    """
    The service took more tokens than the call allowed, so it cost more than was set aside.

    Nothing raises it: the answer is paid for and kept. It is what the incident is called, and its runbook entry.
    """


class ConnectorError(InterlockError):
    """The other system did not take the effect."""

    retry_after_seconds: float | None = None


class ConnectorUnavailable(ConnectorError):
    """No answer, so it is unknown whether the effect took place. Look before repeating it."""

    retryable = True
    surely_not: bool = False
    """It did not take place: the way there failed before anything was handed over, so a repeat needs no look."""


class EffectInDoubt(ConnectorError):
    """
    The effect may have taken place, and the other system has no way to tell. It is not repeated; a person must say.
    """


class EffectRefused(ConnectorError):
    """The other system said no. The same effect meets the same answer."""


class BudgetExhausted(InterlockError):
    """
    A budget has no room for the most that a call can cost, so the call was not made.

    *until* is when its period ends; *is_soft*: there is room, but the soft limit is passed.
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
    """Another attempt of this task has taken over, so this one may write nothing more."""


class Tampered(LedgerError):
    """What is written is not what was recorded."""


class SwitchedOff(InterlockError):
    """
    A person stopped this workflow, agent or connector. Nothing goes on until a person switches it on again.

    *kind* and *name* are those of the switch.
    """

    def __init__(self, message: str, *, kind: str = "", name: str = "") -> None:
        self.kind, self.name = kind, name
        super().__init__(message)


class NotDeployed(InterlockError):
    """The workflow was never deployed in this environment, or a person paused or retired it."""


class Stopped(InterlockError):
    """The policy's ``stop_when``, or the check at the end of a run, stopped the work."""
