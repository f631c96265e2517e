"""A case on its way through a role: who is asked about it, and what became of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from interlock.domain.agents.agent_protocol import Answer
from interlock.domain.base.contract import Contract
from interlock.engine.agents.fallback_chain import Carrier
from interlock.errors import InterlockError, StaleContext
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.store.record import Handoff


@dataclass(frozen=True)
class Role:
    """What a task does to its cases."""

    name: str
    """One of the seven roles."""
    contract: type[Contract]
    reads: tuple[type[Contract], ...] = ()
    """Contracts of the earlier handoffs that it sees."""


@dataclass
class WorkItem:
    """A case at a role, until what became of it is written."""

    file: CaseFile
    carrier: Carrier
    """Who is asked about it, or was last."""
    input_digest: str = ""
    answer: Answer | None = None
    there: Handoff | None = None
    """A handoff of an earlier attempt over the same input."""
    error: InterlockError | None = None
    wait: tuple[str, datetime | None] | None = None
    """For what it waits, and until when."""
    asked: set[str] = field(default_factory=set)
    """Agents that were asked."""
    lacks: str = ""
    """The contract of an earlier answer that is not there: the role is left out, and people take the case over."""
    stale: StaleContext | None = None
    """What was too old, where people see the case before anything is done: they are told why."""

    @property
    def is_open(self) -> bool:
        """Whether an agent is to be asked about it."""
        return self.error is None and self.wait is None and not self.lacks

    @property
    def is_settled(self) -> bool:
        """Whether there is an answer or an error."""
        return self.answer is not None or self.error is not None
