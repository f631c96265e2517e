"""
The agents that may carry a task's role out: the one that the Dag names, and those that are asked in its place.

Each sees what it may see, and its answers have keys of their own, so that nobody's answer passes for another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from interlock.domain.agents.agent import ModelAgent
from interlock.domain.agents.agent_protocol import Agent, Answer, Failure, Work
from interlock.domain.agents.rate_limit import Limit
from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.contract import Contract, contract_digest
from interlock.domain.base.door import as_kept
from interlock.engine.agents.budget_reservation import Purse
from interlock.engine.agents.permission import declared_agent, view_of
from interlock.engine.agents.rate_limiter import TaskTurnstile, Throttle
from interlock.engine.agents.subprocess_runner import ask_apart
from interlock.engine.incidents.incident import connection_trouble
from interlock.engine.runs.session import Session
from interlock.errors import AgentError, BudgetExhausted, InterlockError, SwitchedOff
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.cases.handoff import Maker, record_agent

if TYPE_CHECKING:
    from interlock.agents.model import TextModelAgent

MakeAgent = Callable[[str], Agent]
"""From an agent's name in ``agents.yaml`` to the agent."""
AFTER_A_CALL = timedelta(seconds=60)


@dataclass
class Carrier:
    """One agent at a task."""

    session: Session
    agent: Agent
    role: str
    contract: type[Contract]
    purse: Purse
    throttle: Throttle | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.name = self.agent.name
        self.declaration = declared_agent(self.session, self.role, self.name)
        self._view = view_of(self.session, self.role, self.name)
        self.maker = Maker(
            task=self.session.task.task_id,
            agent=self.name,
            agent_digest=self.agent.digest,
            contract=self.contract.contract_ref(),
            contract_name=self.contract.__name__,
            contract_digest=contract_digest(self.contract),
        )

    def prepare(self) -> None:
        """Make the agent ready, and keep what it reports of itself."""
        session = self.session
        report = self.agent.prepare()
        record_agent(
            session.ledger,
            session.run,
            agent=self.name,
            kind=self.agent.kind,
            agent_digest=self.agent.digest,
            report=as_kept(dict(report)),
        )
        if report.get("accuracy") is not None:
            session.log.info(
                "agent %r, out of fold: accuracy %.3f, calibration error %.3f, coverage by error %s",
                self.name,
                report["accuracy"],
                report.get("calibration_error", float("nan")),
                report.get("coverage", {}),
            )
        if isinstance(self.declaration, ModelAgent):
            self._stand_behind_a_turnstile(self.declaration)

    def see(self, file: CaseFile) -> tuple[Work, str]:
        """Return what the agent sees of a case, and the digest of it."""
        payload = dict(self._view("case", file.payload))
        handoffs = {name: dict(self._view(name, body)) for name, body in file.context.items()}
        digest = keyed_digest(file.secret, {"case": payload, "handoffs": handoffs})
        return Work(case_id=file.id, case=payload, handoffs=handoffs), digest

    def ask(self, work: Sequence[Work]) -> Iterator[Answer | Failure | None]:
        """Ask the agent; in processes of their own when a case may have ended the one before."""
        if self.session.attempt.follows_a_death and self.agent.kind != "model":
            return ask_apart(self.agent, work, self.contract)
        return self.agent.answer(work, self.contract)

    def next_agent(self, error: InterlockError) -> str | None:
        """Return who is asked in the agent's place after *error*; None when nobody is."""
        if isinstance(error, BudgetExhausted):
            return self.declaration.cheaper
        recovery = self.session.version.bundle.policy.recovery(error)
        is_replaced = isinstance(error, (AgentError, SwitchedOff)) and recovery.fallback
        return self.declaration.fallback if is_replaced else None

    def waits_until(self, now: datetime, due_at: datetime | None) -> datetime | None:
        """Return until when a case should wait for cheaper hours; None when it should not."""
        calendar = self.session.company.calendar
        if not isinstance(self.declaration, ModelAgent) or self.declaration.urgency == "now":
            return None
        begins = calendar.next_off_peak(now)
        return begins if begins is not None and begins > now and (due_at is None or due_at > begins) else None

    def keep(self) -> None:
        """Renew what the agent's calls hold."""
        if self.throttle is not None:
            self.throttle.keep_if_due()

    def close(self) -> None:
        """Give back what the agent's calls hold."""
        if self.throttle is not None:
            self.throttle.close()

    def _stand_behind_a_turnstile(self, declaration: ModelAgent) -> None:
        session, connection = self.session, declaration.conn_id
        self.throttle = Throttle(
            session.ledger,
            connection,
            session.attempt.token,
            declaration.concurrency,
            session.company.limits.get(connection, Limit()),
            waits=declaration.fallback is None,
            tell=connection_trouble(session, connection),
            log=session.log,
        )
        lasts = timedelta(seconds=declaration.timeout_seconds) + AFTER_A_CALL
        self.purse.widen(declaration.concurrency, lasts)
        turnstile = TaskTurnstile(self.throttle, self.purse, has_cheaper=declaration.cheaper is not None)
        cast("TextModelAgent", self.agent).turnstile = turnstile
