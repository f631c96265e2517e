"""What a task reports of troubles that many of its cases share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from interlock.engine.session import Session
from interlock.errors import CircuitOpen, InterlockError, StaleContext
from interlock.ledger.incident import recover, report_incident
from interlock.ledger.transaction import Transaction


def connection_trouble(session: Session, connection: str) -> Callable[[Transaction, datetime | None], None]:
    """Return what records that the service behind *connection* went down, or that it answers again."""
    settings, policy = session.version.bundle.settings, session.version.bundle.policy

    def tell(tx: Transaction, since: datetime | None) -> None:
        environment, subject = session.run.environment, f"connection {connection}"
        if since is not None:
            recover(tx, environment=environment, workflow=session.run.workflow, subject=subject)
            return
        reason = f"so many calls in a row failed that nobody asks connection {connection!r} until one goes through"
        recovery = policy.recovery(CircuitOpen(reason))
        report_incident(
            tx,
            environment=environment,
            settings=settings,
            kind="CircuitOpen",
            subject=subject,
            reason=reason,
            tell=recovery.tell,
        )

    return tell


def report_failures(tx: Transaction, session: Session, failed: Iterable[tuple[str, InterlockError]]) -> None:
    """Report the cases of a group that were given up, as (agent, error): one incident for each class and agent."""
    settings, policy = session.version.bundle.settings, session.version.bundle.policy
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], InterlockError] = {}
    for agent, error in failed:
        if isinstance(error, StaleContext):
            agent = session.task.task_id
        key = (type(error).__name__, agent)
        counts[key] += 1
        first.setdefault(key, error)
    for (kind, agent), number in sorted(counts.items()):
        error = first[(kind, agent)]
        report_incident(
            tx,
            environment=session.run.environment,
            settings=settings,
            kind=kind,
            subject=agent,
            reason=str(error),
            cases=number,
            tell=policy.recovery(error).tell,
        )


def report_recovery(session: Session, agents: Iterable[str]) -> None:
    """Close the incidents of *agents*: each of them got through its cases without giving one up."""
    with session.write(settles=True) as tx:
        for agent in sorted(agents):
            recover(tx, environment=session.run.environment, workflow=session.run.workflow, subject=agent)
