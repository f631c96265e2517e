"""Intake: from rows of a source to cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import AgentRoleOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.base.contract import Contract
    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class IntakeOperator(AgentRoleOperator):
    """
    Opens a case for each row of a source that satisfies the contract; other rows are quarantined with the field and the
    reason.

    In a run that ``airflow interlock resume`` started, it resumes the cases that wait in the ledger instead, each from
    the task where it stopped.

    :param workflow: the workflow, a folder of ``include``; the version in force now is pinned for the run.
    :param source: a file or an object of a store, a query through a connection, or an HTTP address; templated. See
        :mod:`interlock.domain.data.source` for the forms. A relative path starts at the project's root. A file lies in
        a folder ``data`` of ``include`` or below ``[interlock] source_roots``. ``facts://insights`` opens the review
        and the insights that ``insights.yaml`` derives from the facts of the run.
    :param contract: the contract that a row must satisfy; columns that it does not name are ignored.
    """

    interlock_kind: ClassVar[TaskKind] = "intake"
    runs_without_cases = True
    role = "intake"
    template_fields = ("source",)

    def __init__(
        self, *, workflow: str, source: str | Mapping[str, Any], contract: type[Contract], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.workflow = workflow
        self.source = source
        self.contract = contract

    def wired(self) -> dict[str, Any]:
        """Return the contract."""
        return {"contract": self.contract.__name__}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Open cases, or resume those that wait."""
        from interlock.domain.data.source import FactsSource, describe, parse_source
        from interlock.engine.agents.permission import demand_source
        from interlock.engine.cases.intake import take_in_rows, take_up
        from interlock.engine.sources.source import read_rows
        from interlock.hooks.source_access import source_access
        from interlock.hooks.storage import object_path
        from interlock.operators.runtime import find_source_connection

        if session.run.is_resume:
            return take_up(session)
        spec = parse_source(self.source)
        demand_source(session, getattr(spec, "conn_id", None))
        if isinstance(spec, FactsSource):
            from interlock.engine.datasets.snapshot import Snapshots
            from interlock.engine.facts.insight_case import finding_rows
            from interlock.hooks.setting import snapshot_path

            rows = finding_rows(session, spec.facts, Snapshots(snapshot_path()))
        else:
            rows = read_rows(
                spec,
                connection=find_source_connection,
                base=session.include.parent,
                storage=object_path,
                access=source_access(session.company.connectors),
            )
        return take_in_rows(session, rows, contract=self.contract, source=describe(spec))
