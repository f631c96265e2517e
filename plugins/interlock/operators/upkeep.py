"""Upkeep: escalation of gates that nobody answers, late cases, notices, and cases that can continue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.agents.batch_client import BatchClient
    from interlock.domain.agents.agent import ModelAgent


class UpkeepOperator(BaseOperator):
    """
    Takes the escalation steps of gates that are due, notifies the owners of late cases, sends waiting notices, and
    deletes expired snapshots of datasets.

    Belongs to no workflow: one Dag runs it for the whole environment, every quarter of an hour. A notice that cannot be
    sent is kept with its reason and sent the next time; the task succeeds.

    :param notifiers: how notices are sent: ``{"notifier": <dotted path of an Airflow notifier>, "kwargs": {…}}``. Texts
        in ``kwargs`` may contain ``{to}``, ``{subject}`` and ``{body}``. Default: ``[interlock] notifiers``; without
        that, notices wait in the ledger.
    """

    ui_color = "#eef2e6"

    def __init__(self, *, notifiers: Sequence[Mapping[str, Any]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.notifiers = notifiers

    def execute(self, context: Context) -> dict[str, int]:
        """Do what is due."""
        from interlock.engine.datasets.snapshot import Snapshots
        from interlock.engine.upkeep.upkeep import keep_up
        from interlock.hooks.ledger import LedgerHook
        from interlock.hooks.notifier import sender
        from interlock.hooks.setting import notifiers, snapshot_path
        from interlock.operators.runtime import airflow_errors

        with airflow_errors():
            wanted = notifiers() if self.notifiers is None else self.notifiers
            send = sender(wanted, context) if wanted else None
            return keep_up(LedgerHook().get_conn(), send=send, snapshots=Snapshots(snapshot_path()), log=self.log)


class GoingOnOperator(BaseOperator):
    """
    Returns the runs to start for cases that can continue without a person: cheaper hours or a budget's next period have
    begun, or a provider's batch is done.

    A ``TriggerDagRunOperator`` that is mapped over them starts them; see ``dags/interlock_upkeep.py``. A workflow that
    is switched off, paused or retired gets no run, and the same cases get at most one run a day.
    """

    ui_color = "#eef2e6"

    def execute(self, context: Context) -> list[dict[str, str]]:
        """Return the ``trigger_dag_id`` and the ``trigger_run_id`` of each run."""
        from interlock.domain.base.plural import counted
        from interlock.engine.cases.resumable import resume_run_id, what_can_go_on
        from interlock.hooks.ledger import LedgerHook
        from interlock.operators.runtime import airflow_errors

        with airflow_errors():
            ledger = LedgerHook().get_conn()
            ready = what_can_go_on(ledger, client=_batch_client, log=self.log)
            for one in ready:
                self.log.info("%s of %s can continue since %s", counted(one.cases, "case"), one.workflow, one.since)
            return [
                {"trigger_dag_id": one.dag_id, "trigger_run_id": resume_run_id(one, ledger.clock())} for one in ready
            ]


def _batch_client(name: str, agent: ModelAgent) -> BatchClient | None:
    from interlock.agents.batch_call import batch_client
    from interlock.hooks.model import resolve_model

    return batch_client(name, agent, resolve_model(agent.conn_id, agent.model))
