"""Upkeep: the steps of gates that nobody answers, late cases, notices, and cases that can go on."""

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
    Takes the steps of the gates' ladders that are due, tells whose cases are late, sends the notices that wait,
    and deletes snapshots of datasets whose time is over.

    Belongs to no workflow: one Dag runs it for the whole environment, every quarter of an hour. A notice that cannot be
    sent is kept with its reason and tried again the next time; the task stays green.

    :param notifiers: how notices are sent: ``{"notifier": <dotted path of an Airflow notifier>, "kwargs": {…}}``. Texts
        in ``kwargs`` may hold ``{to}``, ``{subject}`` and ``{body}``. Left out, ``[interlock] notifiers`` counts;
        without any, notices wait in the ledger.
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
    Returns the runs that take up what waited for nobody and can go on: cheaper hours or a budget's next period have
    come, or a batch of a provider is over.

    A ``TriggerDagRunOperator`` that is mapped over them starts them; see ``dags/interlock_upkeep.py``. Nothing is
    returned for a workflow that is switched off, paused or retired, and the same cases get one run a day.
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
                self.log.info("%s of %s can go on since %s", counted(one.cases, "case"), one.workflow, one.since)
            return [
                {"trigger_dag_id": one.dag_id, "trigger_run_id": resume_run_id(one, ledger.clock())} for one in ready
            ]


def _batch_client(name: str, agent: ModelAgent) -> BatchClient | None:
    from interlock.agents.batch_call import batch_client
    from interlock.hooks.model import resolve_model

    return batch_client(name, agent, resolve_model(agent.conn_id, agent.model))
