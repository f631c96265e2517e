"""
Batches of requests that are with a provider: written before they are sent, ended when all that they cost is recorded.

A batch knows for each of its cases what was asked and what was set aside for it. Its calls have fixed names in
``usage``, so that a batch that is read again counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from interlock.domain.base.canonical import digest
from interlock.domain.cases.case import ACTIVE, CaseState
from interlock.ledger.cases.case import going_on, move
from interlock.ledger.cost.budget import give_back
from interlock.ledger.runs.run import WorkflowRun
from interlock.ledger.store.ledger import in_groups
from interlock.ledger.store.record import Case, ProviderBatch
from interlock.ledger.store.schema import case, case_run, provider_batch, usage, workflow_run
from interlock.ledger.store.transaction import Transaction

OUT = ("intended", "submitted")
"""States of a batch that is not ended."""
WITH_PROVIDER = "batch"
"""For what a case waits that is out in a batch."""


@dataclass(frozen=True)
class BatchCases:
    """Where the cases of a batch are whose answers are not counted yet."""

    here: Sequence[Case]
    """It is this task's turn."""
    elsewhere: Sequence[str]
    """They went on, or were pulled out: nobody will use the answers."""
    others: int
    """Cases whose turn it is at this task in another run, which counts them."""


def usage_id(batch_id: str, case_id: str) -> str:
    """Return how the call for a case of a batch is named."""
    return digest([batch_id, case_id])[:32]


def intend_batch(
    tx: Transaction,
    run: WorkflowRun,
    batch_id: str,
    *,
    task: str,
    agent: str,
    agent_digest: str,
    connection: str,
    cases: Mapping[str, Mapping[str, Any]],
    expires_at: datetime,
) -> ProviderBatch:
    """
    Write that a batch is about to be sent.

    :param cases: by case the digest of its ``input`` and the ``most`` that its answer can cost, in billionths.
    """
    row = ProviderBatch(
        id=batch_id,
        environment=run.environment,
        workflow=run.workflow,
        run_id=run.id,
        task=task,
        agent=agent,
        agent_digest=agent_digest,
        connection=connection,
        state="intended",
        provider_id=None,
        reason=None,
        sent_at=None,
        ended_at=None,
        cases=cases,
        created_at=tx.at,
        expires_at=expires_at,
        revision=1,
    )
    tx.insert(provider_batch, [row], kind="batch.intended", facts=_facts)
    return row


def change_batch(tx: Transaction, row: ProviderBatch, state: str, **more: Any) -> ProviderBatch | None:
    """Write what became of a batch; None when somebody else did meanwhile."""
    locked = tx.connection.execute(select(provider_batch).where(provider_batch.c.id == row.id).with_for_update())
    if locked.one().revision != row.revision:
        return None
    [after] = tx.update(provider_batch, [replace(row, state=state, **more)], kind=f"batch.{state}", facts=_facts)
    return after


def end_batch(tx: Transaction, row: ProviderBatch, state: str, reason: str | None = None) -> None:
    """Write that nothing more will come of a batch, and free what was set aside for it."""
    if change_batch(tx, row, state, ended_at=tx.at, reason=reason) is not None:
        give_back(tx, row.id)


def open_batches(connection: Connection, run: WorkflowRun, task: str) -> list[ProviderBatch]:
    """Return the batches of a task, of whatever run, that are not ended; the oldest first."""
    return batches_out(connection, run.environment, run.workflow, task)


def batches_out(
    connection: Connection, environment: str, workflow: str, task: str | None = None
) -> list[ProviderBatch]:
    """Return the batches of a workflow that are not ended, the oldest first; *task*: only those of one task."""
    query = select(provider_batch).where(
        provider_batch.c.environment == environment,
        provider_batch.c.workflow == workflow,
        provider_batch.c.state.in_(OUT),
    )
    if task is not None:
        query = query.where(provider_batch.c.task == task)
    return ProviderBatch.all_of(connection.execute(query.order_by(provider_batch.c.created_at)))


@dataclass(frozen=True, kw_only=True)
class SentBatch(ProviderBatch):
    """A batch with the Dag and the version of the run that sent it."""

    dag_id: str
    version_id: str


def all_batches_out(connection: Connection, environment: str) -> list[SentBatch]:
    """Return all batches that are not ended, the oldest first."""
    query = (
        select(provider_batch, workflow_run.c.dag_id, workflow_run.c.version_id)
        .join(workflow_run, workflow_run.c.id == provider_batch.c.run_id)
        .where(provider_batch.c.environment == environment, provider_batch.c.state.in_(OUT))
    )
    return SentBatch.all_of(connection.execute(query.order_by(provider_batch.c.created_at)))


def uncounted(connection: Connection, row: ProviderBatch) -> list[str]:
    """Return the cases of a batch of which ``usage`` does not tell yet."""
    named = {usage_id(row.id, case_id): case_id for case_id in row.cases}
    for group in in_groups(list(named), 400):
        for known in connection.execute(select(usage.c.id).where(usage.c.id.in_(group))).scalars().all():
            del named[known]
    return list(named.values())


def take_up_batch(tx: Transaction, run: WorkflowRun, task: str, row: ProviderBatch) -> BatchCases:
    """Move the cases that wait for a batch into *run*, and say where all are whose answers are not counted."""
    waiting: list[Case] = []
    here: list[Case] = []
    elsewhere: list[str] = []
    others = 0
    for group in in_groups(uncounted(tx.connection, row), 400):
        locked = tx.connection.execute(select(case).where(case.c.id.in_(group)).order_by(case.c.id).with_for_update())
        for found in Case.all_of(locked):
            is_active = found.task == task and found.state in {state.value for state in ACTIVE}
            if waits_for_batch(found) and found.task == task:
                waiting.append(found)
            elif is_active and found.run_id == run.id:
                here.append(found)
            elif is_active:
                others += 1
            else:
                elsewhere.append(found.id)
    moved = [(found, replace(going_on(found), run_id=run.id)) for found in waiting]
    here += move(tx, moved, kind="case.taken_up")
    tx.insert_quietly(case_run, [{"run_id": run.id, "case_id": found.id} for found in waiting])
    return BatchCases(here, elsewhere, others)


def waits_for_batch(found: Case) -> bool:
    """Tell whether a case waits for a batch."""
    return (found.state, found.wait_for) == (CaseState.WAITING.value, WITH_PROVIDER)


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"task": row["task"], "agent": row["agent"], "cases": len(row["cases"]), "provider": row.get("provider_id")}
