"""
Decisions as they were recorded, many at once, with all that is known of what they were made on.

Inputs of a decision are what the rules read then. For a rule that reads more, the case and its handoffs are there, but
only as they were at that moment: a case that was put back to work since may have other content by now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, select

from interlock.ledger.facts.quality import DataWarning, warnings_of
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.schema import audit_event, case, decision, handoff, payload, workflow_run

GROUP = 400
"""Cases that are asked for in one statement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastDecision:
    """A row of ``decision`` with what belongs to it."""

    case_id: str
    business_key: str
    run_id: str | None
    task: str
    attempt: int
    rule: str
    route: str
    confidence: float | None
    version_id: str
    handoff_id: str | None
    agent_digest: str | None
    """Of the agent whose handoff was decided on."""
    decided_by: str
    error: str | None
    created_at: datetime
    policy_route: str | None
    """What the rules alone said, where the case went to people although they let it go on."""
    inputs: Mapping[str, Any] | None
    """What the rules read; None: it was forgotten."""


@dataclass(frozen=True, slots=True)
class PastHandoff:
    """A handoff of a case."""

    id: str
    contract: str
    """Name without version."""
    created_at: datetime
    body: Mapping[str, Any] | None


@dataclass(slots=True)
class PastCase:
    """What else is known of a case."""

    payload: Mapping[str, Any] | None = None
    handoffs: list[PastHandoff] = field(default_factory=list)
    """The earliest first."""
    put_back: list[datetime] = field(default_factory=list)
    """When it was put back to work, perhaps with other content."""
    warnings: tuple[DataWarning, ...] = ()
    """What the data checks of its runs warned of."""


def past_decisions(connection: Connection, ledger: Ledger, workflow: str, *, last: int) -> list[PastDecision]:
    """Return the last *last* decisions of *workflow* in the ledger's environment, the earliest first."""
    newest = (
        select(decision, case.c.business_key)
        .join(case, case.c.id == decision.c.case_id)
        .where(case.c.environment == ledger.environment, case.c.workflow == workflow)
        .order_by(decision.c.created_at.desc(), decision.c.attempt.desc(), decision.c.id.desc())
        .limit(last)
        .subquery()
    )
    c = newest.c
    rows = connection.execute(
        select(
            c.case_id,
            c.business_key,
            c.run_id,
            c.task,
            c.attempt,
            c.rule,
            c.route,
            c.confidence,
            c.version_id,
            c.handoff_id,
            handoff.c.agent_digest,
            c.decided_by,
            c.error,
            c.created_at,
            c.policy_route,
            payload.c.body,
        )
        .join(payload, and_(payload.c.case_id == c.case_id, payload.c.digest == c.inputs_digest), isouter=True)
        .join(handoff, handoff.c.id == c.handoff_id, isouter=True)
        .order_by(c.created_at, c.attempt, c.id)
    )
    names = list(PastDecision.__slots__)
    return [PastDecision(**dict(zip(names, row, strict=True))) for row in rows]


def wirings(connection: Connection, run_ids: Sequence[str]) -> dict[str, Any]:
    """Return the wiring of each run, as JSON types."""
    found: dict[str, Any] = {}
    for group in in_groups(list(run_ids), GROUP):
        rows = connection.execute(select(workflow_run.c.id, workflow_run.c.wiring).where(workflow_run.c.id.in_(group)))
        found |= {row.id: row.wiring for row in rows}
    return found


def past_cases(connection: Connection, case_ids: Sequence[str]) -> dict[str, PastCase]:
    """Return what is known of each case: content, handoffs, and when it was put back to work."""
    found = {case_id: PastCase() for case_id in case_ids}
    for case_id, warnings in warnings_of(connection, case_ids).items():
        found[case_id].warnings = warnings
    for group in in_groups(list(found), GROUP):
        contents = connection.execute(
            select(case.c.id, payload.c.body)
            .join(payload, and_(payload.c.case_id == case.c.id, payload.c.digest == case.c.payload_digest))
            .where(case.c.id.in_(group))
        )
        for case_id, body in contents:
            found[case_id].payload = body
        made = connection.execute(
            select(handoff.c.case_id, handoff.c.id, handoff.c.contract_name, handoff.c.created_at, payload.c.body)
            .join(
                payload,
                and_(payload.c.case_id == handoff.c.case_id, payload.c.digest == handoff.c.payload_digest),
                isouter=True,
            )
            .where(handoff.c.case_id.in_(group))
            .order_by(handoff.c.created_at)
        )
        for case_id, *rest in made:
            found[case_id].handoffs.append(PastHandoff(*rest))
        events = connection.execute(
            select(audit_event.c.subject, audit_event.c.at).where(
                audit_event.c.subject.in_([f"{case.name}:{case_id}" for case_id in group]),
                audit_event.c.kind == "case.resubmitted",
            )
        )
        for subject, at in events:
            found[subject.partition(":")[2]].put_back.append(at)
    return found
