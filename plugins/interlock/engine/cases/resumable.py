"""
What waited for nobody and can go on: cases whose cheaper hours or whose budget's next period has come, and batches of a
provider that are over. Upkeep starts a run of their Dag, which takes them up.

A case without an instant to wait for is left to the next run that somebody starts: a service that is down, or a budget
of a run that is spent, would otherwise be tried again and again by nobody's decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from interlock.domain.agents.agent import ModelAgent
from interlock.errors import InterlockError, NotDeployed, SwitchedOff
from interlock.ledger.agents.provider_batch import SentBatch, all_batches_out
from interlock.ledger.cases.case import Resumable, due_to_go_on
from interlock.ledger.policy.deployment import refuse_unless_deployed
from interlock.ledger.policy.version import load_version
from interlock.ledger.runs.kill_switch import refuse_if_off
from interlock.ledger.store.ledger import Ledger

if TYPE_CHECKING:
    from interlock.agents.batch_client import BatchClient

MakeClient = Callable[[str, ModelAgent], "BatchClient | None"]
"""From an agent's name and declaration to its provider's interface for batches; None when it has none."""


def resume_run_id(ready: Resumable, today: datetime) -> str:
    """
    Return the id of the run that resumes cases.

    The same cases get one run a day: a Dag that is paused, or a run that ends before it resumed them, must not be
    asked for a run every quarter of an hour.
    """
    return f"goes_on__{ready.since:%Y-%m-%dT%H:%M:%S}__{today:%Y-%m-%d}"


def what_can_go_on(ledger: Ledger, *, client: MakeClient | None = None, log: logging.Logger) -> list[Resumable]:
    """
    Return what can go on now, by Dag; nothing of a workflow that is off, paused or retired.

    :param client: left out, no provider is asked about batches.
    """
    now = ledger.clock()
    with ledger.read() as connection:
        found = [*due_to_go_on(connection, ledger.environment, now)]
        batches = all_batches_out(connection, ledger.environment)
    for row in batches:
        if client is not None and _is_over(ledger, row, client, log):
            found.append(Resumable(row.workflow, row.dag_id, len(row.cases), row.created_at))
    return [each for each in _by_dag(found) if _may_run(ledger, each.workflow, log)]


def _by_dag(found: Sequence[Resumable]) -> list[Resumable]:
    merged: dict[tuple[str, str], Resumable] = {}
    for one in found:
        key = (one.workflow, one.dag_id)
        other = merged.get(key)
        merged[key] = (
            one if other is None else Resumable(*key, cases=one.cases + other.cases, since=min(one.since, other.since))
        )
    return list(merged.values())


def _may_run(ledger: Ledger, workflow: str, log: logging.Logger) -> bool:
    try:
        with ledger.read() as connection:
            refuse_unless_deployed(connection, ledger.environment, workflow)
            refuse_if_off(connection, ledger.environment, [("workflow", workflow)], workflow=workflow)
    except (NotDeployed, SwitchedOff) as error:
        log.info("cases of %s could go on, and wait: %s", workflow, error)
        return False
    return True


def _is_over(ledger: Ledger, row: SentBatch, client: MakeClient, log: logging.Logger) -> bool:
    """Ask the provider whether a batch that it has is over."""
    if row.provider_id is None:
        return False
    try:
        with ledger.read() as connection:
            declared = load_version(connection, row.version_id).bundle.agents.get(row.agent)
        asked = client(row.agent, declared) if isinstance(declared, ModelAgent) else None
        at_provider = asked.look(row.provider_id) if asked is not None else None
    except InterlockError as error:
        log.warning("how batch %s of %s stands is not known: %s", row.provider_id, row.workflow, error)
        return False
    return at_provider is not None and at_provider.is_over
