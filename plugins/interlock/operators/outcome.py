"""Outcomes: what the business got from cases, as another system tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RecordOutcomeOperator(BaseOperator):
    """
    Records the outcomes of cases that a source tells of.

    It works on the ledger, not on the cases of its run, so it may stand in a Dag of its own. Rows that cannot be taken
    (a case or an outcome that is not known, a date that is none or in the future) are counted, logged and, the first
    20, returned; the task stays green. The same source may be read again: what is recorded is not recorded twice.

    :param workflow: the workflow whose cases they are.
    :param source: a file, a query through a connection, or an HTTP address; templated. The forms are those of the
        intake's ``source``.
    :param columns: what the source calls ``key`` (the case's business key), ``outcome``, ``happened_at`` and ``value``.
        Left out, it calls them so. ``value`` need not be there.
    """

    template_fields = ("source",)
    ui_color = "#eef2e6"

    def __init__(
        self,
        *,
        workflow: str,
        source: str | Mapping[str, Any],
        columns: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow = workflow
        self.source = source
        self.columns = columns

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the source and record what it tells."""
        from interlock.domain.data.source import describe, parse_source
        from interlock.engine.agents.permission import demand_reading
        from interlock.engine.cases.outcome import record
        from interlock.engine.sources.source import read_rows
        from interlock.hooks.ledger import LedgerHook
        from interlock.hooks.setting import include_path
        from interlock.ledger.policy.company import company_in_force
        from interlock.ledger.store.transaction import Actor
        from interlock.operators.runtime import airflow_errors, find_source_connection

        with airflow_errors():
            ledger, spec = LedgerHook().get_conn(), parse_source(self.source)
            access = company_in_force(ledger).access
            demand_reading(access, getattr(spec, "conn_id", None), ledger.environment)
            return record(
                ledger,
                self.workflow,
                read_rows(spec, connection=find_source_connection, base=include_path().parent),
                source=describe(spec),
                actor=Actor("task", f"{self.dag_id}.{self.task_id}"),
                columns=self.columns,
                log=self.log,
            )
