"""
What a role is asked for a case, and what comes back.

An :class:`Answer` is a claim: the engine checks it against the contract before anything else sees it. Confidence is the
calibrated chance that the answer is right, or None, which counts as uncertain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from interlock.domain.base.contract import Contract
from interlock.errors import InterlockError, Overrun


@dataclass(frozen=True, kw_only=True)
class Work:
    """One case, as the agent that works on it sees it."""

    case_id: str
    case: Mapping[str, Any]
    """The intake payload: JSON types."""
    handoffs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Payloads of the earlier handoffs that the role reads, by contract name (``Triage``)."""

    def variables(self) -> dict[str, Any]:
        """Return ``case`` and each handoff under the snake case of its contract, for templates and prompts."""
        from interlock.domain.base.contract import variable_prefix

        return {"case": self.case} | {variable_prefix(name): payload for name, payload in self.handoffs.items()}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A call of a model, before it is made."""

    case_id: str
    model: str
    tokens: int
    """The most that it can take, input and output together."""
    most: Decimal | None
    """The most that it can cost, in US dollars; None when that is not known: no price, or no ``max_tokens``."""


@dataclass(frozen=True)
class Hold:
    """What a budget set aside for one call, in billionths of a US dollar."""

    block: str
    amount: int


class Turnstile(Protocol):
    """Lets calls of a model through when limits and budgets have room for them."""

    async def enter(self, planned: Planned) -> Hold | None:
        """
        Wait for the call's turn.

        :raises BudgetExhausted: no budget has room for it.
        :raises CircuitOpen: the service counts as down.
        """
        ...

    def leave(self, planned: Planned, error: InterlockError | None) -> None:
        """Note how a call ended that was let through."""
        ...


class OpenTurnstile:
    """Lets every call through at once."""

    async def enter(self, planned: Planned) -> Hold | None:
        """Return at once."""
        return None

    def leave(self, planned: Planned, error: InterlockError | None) -> None:
        """Note nothing."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One call of an agent for one case: what it took."""

    model: str
    """The model that really answered, or the kind of a local agent."""
    seconds: float
    outcome: str
    """``ok``, or the name of the error class."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal | None = None
    """In US dollars; None when there is no price for the model."""
    price: str | None = None
    """Which price list, and of when."""
    connection: str | None = None
    attempt: int = 1
    hold: Hold | None = None
    """What a budget had set aside for it."""
    overrun: Overrun | None = None
    """It took more than it was allowed."""
    id: str | None = None
    """Given when the call could be reported twice: an answer in a batch, which may be read again."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an agent says of a case. Not yet checked against the contract."""

    case_id: str
    payload: Mapping[str, Any]
    confidence: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: artefact digest, passages, model name. JSON types, no personal data."""
    usage: tuple[Usage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An agent that did not deliver for a case."""

    case_id: str
    error: InterlockError
    usage: tuple[Usage, ...] = ()


class Agent(Protocol):
    """Carries a role out over many cases."""

    name: str
    kind: str
    digest: str
    """
    Of all that makes its answers: settings, prompt or template text, model name, training data. Known before work.
    """

    def prepare(self) -> Mapping[str, Any]:
        """
        Make the agent ready (train or load its artefact) and return a report of JSON types; ``{}`` when there is
        nothing.

        A classifier reports ``accuracy``, ``calibration_error``, ``curve`` (threshold, coverage, error) and more.
        """
        ...

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure | None]:
        """
        Yield one :class:`Answer` or :class:`Failure` per piece of *work*, in any order, as they become ready.

        Who waits long yields None now and then, so that what is there can be written.
        """
        ...


class Files(Protocol):
    """A workflow's files as one version pins them: texts from the ledger, data from the include folder."""

    def text(self, path: str) -> str:
        """
        Return the text of *path* (``prompts/reply.md.j2``) as it was published.

        :raises UnknownName: the version holds no such file.
        """
        ...

    def data(self, path: str) -> Path:
        """
        Return where the data file *path* is, after checking that its digest is the published one.

        :raises ConfigurationError: it is missing, or it changed since it was published.
        """
        ...

    def data_digest(self, path: str) -> str:
        """Return the published SHA-256 of the data file *path*."""
        ...
