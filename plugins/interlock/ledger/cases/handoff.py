"""
What one role passes to the next: keyed, so that a retried task finds what is there and pays for nothing twice.

The key is the digest of all that makes the answer: the input, the contract, the agent with its prompt and model. A
changed prompt is another key, and so a new answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from interlock.domain.agents.agent_protocol import Usage
from interlock.domain.base.canonical import digest
from interlock.ledger.cases.case import CaseFile, store_payload
from interlock.ledger.cost.usage_row import LOCAL, MODEL
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import Ledger, in_groups
from interlock.ledger.store.record import Handoff
from interlock.ledger.store.schema import agent_version, handoff, usage
from interlock.ledger.store.transaction import Actor, Transaction, new_id


@dataclass(frozen=True, kw_only=True)
class Made:
    """A role's checked output for one case, to be written."""

    file: CaseFile
    input_digest: str
    payload: Mapping[str, Any]
    confidence: float | None
    provenance: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Who makes handoffs at a task: what their key is over, beside the input."""

    task: str
    agent: str
    agent_digest: str
    contract: str
    contract_name: str
    contract_digest: str

    def key(self, input_digest: str) -> str:
        """Return the key of the handoff over *input_digest*."""
        return digest([input_digest, self.contract_digest, self.agent, self.agent_digest])


def handoffs_there(connection: Connection, maker: Maker, keys: Mapping[str, str]) -> dict[str, Handoff]:
    """Return, by case id, the handoffs that *maker* wrote before under *keys* (case id to key)."""
    existing: dict[str, Handoff] = {}
    for group in in_groups(list(keys), 400):
        rows = connection.execute(select(handoff).where(handoff.c.case_id.in_(group), handoff.c.task == maker.task))
        existing |= {row.case_id: Handoff.of(row) for row in rows if keys[row.case_id] == row.key}
    return existing


def write_handoffs(tx: Transaction, run: WorkflowRun, maker: Maker, made: Sequence[Made]) -> dict[str, Handoff]:
    """Write *made* and return the handoffs by case id."""
    digests = store_payload(tx, [(m.file.id, m.file.secret, dict(m.payload)) for m in made])
    rows = [
        Handoff(
            id=new_id(),
            case_id=m.file.id,
            run_id=run.id,
            task=maker.task,
            contract=maker.contract,
            contract_name=maker.contract_name,
            contract_digest=maker.contract_digest,
            agent=maker.agent,
            agent_digest=maker.agent_digest,
            input_digest=m.input_digest,
            key=maker.key(m.input_digest),
            payload_digest=payload_digest,
            confidence=m.confidence,
            provenance=dict(m.provenance),
            created_at=tx.at,
        )
        for m, payload_digest in zip(made, digests, strict=True)
    ]
    tx.insert(handoff, rows, kind="handoff.made", facts=lambda r: {"agent": r["agent"], "contract": r["contract"]})
    return {row.case_id: row for row in rows}


def unwritten(tx: Transaction, calls: Sequence[tuple[str, str, Usage]]) -> list[tuple[str, str, Usage]]:
    """Return those of *calls*, given as (case id, agent, usage), that were not told of before."""
    named = [used.id for _, _, used in calls if used.id is not None]
    existing: set[str] = set()
    for group in in_groups(named, 400):
        existing |= set(tx.connection.execute(select(usage.c.id).where(usage.c.id.in_(group))).scalars())
    return [call for call in calls if call[2].id not in existing]


def write_usage(tx: Transaction, run: WorkflowRun, task: str, calls: Sequence[tuple[str, str, Usage]]) -> None:
    """Write what calls took, given as (case id, agent, usage)."""
    rows = [
        {
            "id": used.id or new_id(),
            "case_id": case_id,
            "run_id": run.id,
            "task": task,
            "agent": agent,
            "model": used.model,
            "attempt": used.attempt,
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "cached_tokens": used.cached_tokens,
            "cost": used.cost,
            "seconds": used.seconds,
            "outcome": used.outcome,
            "created_at": tx.at,
            "kind": MODEL if used.connection else LOCAL,
            "connection": used.connection,
            "price": used.price,
        }
        for case_id, agent, used in calls
    ]
    tx.insert(usage, rows, kind="usage.recorded")


def record_agent(
    ledger: Ledger, run: WorkflowRun, *, agent: str, kind: str, agent_digest: str, report: Mapping[str, Any]
) -> None:
    """Keep what an agent reported of itself (accuracy, calibration, coverage), once per digest."""
    with ledger.write(actor=Actor("agent", agent), chain=f"agent:{ledger.environment}:{run.workflow}") as tx:
        existing = tx.connection.execute(
            select(agent_version.c.digest).where(agent_version.c.digest == agent_digest)
        ).first()
        if existing is None:
            tx.insert(
                agent_version,
                [
                    {
                        "digest": agent_digest,
                        "workflow": run.workflow,
                        "agent": agent,
                        "kind": kind,
                        "report": dict(report),
                        "created_at": tx.at,
                    }
                ],
                kind="agent.ready",
            )


def agent_reports(connection: Connection, digests: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the reports of agents by digest."""
    rows = connection.execute(select(agent_version).where(agent_version.c.digest.in_(list(digests))))
    return {row.digest: row.report for row in rows}


def load_handoffs(connection: Connection, ids: Sequence[str]) -> dict[str, Handoff]:
    """Return handoffs by their id."""
    found: dict[str, Handoff] = {}
    for group in in_groups(list(ids), 400):
        rows = connection.execute(select(handoff).where(handoff.c.id.in_(group)))
        found |= {row.id: Handoff.of(row) for row in rows}
    return found


def draft_of(file: CaseFile, drafts: Mapping[str, Handoff]) -> tuple[Mapping[str, Any], str]:
    """Return what would be executed for a case, and its digest: its draft, or the case itself when no role drafts."""
    row = drafts.get(file.case.draft_id or "")
    if row is None:
        return file.payload, str(file.case.payload_digest)
    return file.context[row.contract_name], str(row.payload_digest)
