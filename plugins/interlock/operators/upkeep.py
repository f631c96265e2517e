"""Upkeep: the steps of gates that nobody answers, late cases, and notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        from interlock.engine.snapshot import Snapshots
        from interlock.engine.upkeep import keep_up
        from interlock.hooks.ledger import LedgerHook
        from interlock.hooks.notifier import sender
        from interlock.hooks.setting import notifiers, snapshot_path
        from interlock.operators.runtime import airflow_errors

        with airflow_errors():
            wanted = notifiers() if self.notifiers is None else self.notifiers
            send = sender(wanted, context) if wanted else None
            return keep_up(LedgerHook().get_conn(), send=send, snapshots=Snapshots(snapshot_path()), log=self.log)
