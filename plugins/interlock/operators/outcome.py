"""Outcomes: what the business got from cases, as another system reports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RecordOutcomeOperator(BaseOperator):
    """
    Records the outcomes of cases that a source reports.

    It works on the ledger, not on the cases of its run, so it may run in a Dag of its own. Rows that cannot be recorded
    (an unknown case or outcome, a date that is invalid or in the future) are counted and logged, the first 20 are
    returned, and the task succeeds. The same source may be read again: no outcome is recorded twice.

    :param workflow: the workflow whose cases they are.
    :param source: a file, a query through a connection, or an HTTP address; templated. The forms are those of the
        intake's ``source``.
    :param columns: the source's names of ``key`` (the case's business key), ``outcome``, ``happened_at`` and
        ``value``. Default: those names. ``value`` is optional.
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
        """Read the source and record its outcomes."""
        from interlock.domain.data.source import describe, parse_source
        from interlock.engine.agents.permission import demand_reading
        from interlock.engine.cases.outcome import record
        from interlock.engine.sources.source import read_rows
        from interlock.hooks.ledger import LedgerHook
        from interlock.hooks.setting import include_path
        from interlock.hooks.source_access import source_access
        from interlock.ledger.policy.company import company_in_force
        from interlock.ledger.store.transaction import Actor
        from interlock.operators.runtime import airflow_errors, find_source_connection

        with airflow_errors():
            ledger, spec = LedgerHook().get_conn(), parse_source(self.source)
            company = company_in_force(ledger)
            demand_reading(company.access, getattr(spec, "conn_id", None), ledger.environment)
            return record(
                ledger,
                self.workflow,
                read_rows(
                    spec,
                    connection=find_source_connection,
                    base=include_path().parent,
                    access=source_access(company.connectors),
                ),
                source=describe(spec),
                actor=Actor("task", f"{self.dag_id}.{self.task_id}"),
                columns=self.columns,
                log=self.log,
            )
