"""
Routing decisions: what a rule or a person decided of a case, with every input that was read, so that it can be
replayed.

All that is decided about the route of a case is written here, whoever decides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.domain.routing.routing import Decision
from interlock.ledger.cases.case import CaseFile, store_payload
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.schema import decision
from interlock.ledger.store.transaction import Transaction, new_id


@dataclass(frozen=True)
class DecisionEntry:
    """A decision to be recorded."""

    file: CaseFile
    decision: Decision
    """As it is carried out."""
    confidence: float | None = None
    threshold: float | None = None
    policy_route: str | None = None
    """What the rules alone said, where the case goes to people although they let it go on."""
    sample_rate: float | None = None
    """The chance with which the case was drawn, or was not, for a sampled review."""
    decided_by: str | None = None
    """``person:<id>``; default: the pinned policy."""


def record_decisions(
    tx: Transaction,
    run: WorkflowRun,
    task_id: str,
    entries: Sequence[DecisionEntry],
) -> dict[str, str]:
    """Write decisions that were made at *task_id*, with their inputs; return their ids by case."""
    digests = store_payload(tx, [(e.file.id, e.file.secret, dict(e.decision.inputs)) for e in entries])
    rows = [
        {
            "id": new_id(),
            "case_id": entry.file.id,
            "run_id": run.id,
            "task": task_id,
            "attempt": entry.file.case.attempt + (0 if entry.decided_by else 1),
            "rule": entry.decision.rule,
            "route": entry.decision.route,
            "confidence": entry.confidence,
            "threshold": entry.threshold,
            "version_id": run.version.id,
            "inputs_digest": inputs_digest,
            "handoff_id": entry.file.case.handoff_id,
            "decided_by": entry.decided_by or f"policy:{run.version.number}",
            "error": entry.decision.error,
            "created_at": tx.at,
            "policy_route": entry.policy_route,
            "sample_rate": entry.sample_rate,
        }
        for entry, inputs_digest in zip(entries, digests, strict=True)
    ]
    tx.insert(
        decision,
        rows,
        kind="decision.made",
        facts=_facts,
    )
    return {str(row["case_id"]): str(row["id"]) for row in rows}


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the event says: a person gives no confidence, and their reason may hold personal data."""
    if str(row["decided_by"]).startswith("person:"):
        return {"route": row["route"]}
    return {"rule": row["rule"], "route": row["route"], "confidence": row["confidence"]}
