"""What a task reports of troubles that many of its cases share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from interlock.engine.runs.session import Session
from interlock.errors import CircuitOpen, ConfigurationError, InterlockError, SwitchedOff
from interlock.ledger.cases.case import count_at
from interlock.ledger.incidents.incident import recover, report_incident
from interlock.ledger.store.transaction import Transaction


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
    """Report what went wrong with cases of a group, as (subject, error): one incident for each class and subject."""
    settings, policy = session.version.bundle.settings, session.version.bundle.policy
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], InterlockError] = {}
    for subject, error in failed:
        key = (type(error).__name__, subject)
        counts[key] += 1
        first.setdefault(key, error)
    for (kind, subject), number in sorted(counts.items()):
        error = first[(kind, subject)]
        report_incident(
            tx,
            environment=session.run.environment,
            settings=settings,
            kind=kind,
            subject=subject,
            reason=str(error),
            cases=number,
            tell=policy.recovery(error).tell,
        )


@contextmanager
def stop_reported(session: Session) -> Iterator[None]:
    """Report that the task stops because a person switched something off that it needs."""
    try:
        yield
    except SwitchedOff as error:
        with session.write(settles=True) as tx:
            report_incident(
                tx,
                environment=session.run.environment,
                settings=session.version.bundle.settings,
                kind="SwitchedOff",
                subject=f"{error.kind} {error.name}",
                reason=str(error),
                cases=count_at(tx.connection, session.run, session.task.task_id),
                tell=session.version.bundle.policy.recovery(error).tell,
            )
        raise


def report_setup(session: Session, agent: str, error: ConfigurationError) -> None:
    """Report that *agent*'s service refuses all calls, whatever the case: the account or the set-up is the reason."""
    with session.write(settles=True) as tx:
        report_incident(
            tx,
            environment=session.run.environment,
            settings=session.version.bundle.settings,
            kind=ConfigurationError.__name__,
            subject=agent,
            reason=str(error),
            cases=count_at(tx.connection, session.run, session.task.task_id),
            tell=session.version.bundle.policy.recovery(error).tell,
        )


def report_recovery(session: Session, subjects: Iterable[str]) -> None:
    """Close the incidents of *subjects*, each of which worked and gave up no case, and that the task was stopped."""
    place = {"environment": session.run.environment, "workflow": session.run.workflow}
    with session.write(settles=True) as tx:
        for subject in sorted(set(subjects)):
            recover(tx, **place, subject=subject)
        for kind, name in session.switches:
            recover(tx, **place, subject=f"{kind} {name}", kinds=["SwitchedOff"])
