"""Execution: authorised effects through a connector, once each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import AgentRoleOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class ExecutionOperator(AgentRoleOperator):
    """
    Sends what is authorised, and refuses a case that has no authorisation for exactly what would be sent.

    Marking a gate as success, clearing tasks or triggering this one by hand does not change that: authorisations are
    rows of the ledger, and only validation and votes write them.

    :param connector: name of a connector in ``include/company/ecosystem.yaml``.
    :param routes: routes whose cases it takes. Default: all routes that no parallel task names.
    """

    interlock_kind: ClassVar[TaskKind] = "execution"
    role = "execution"
    ui_color = "#e3f4e4"

    def __init__(self, *, connector: str, routes: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connector = connector
        self.routes = tuple(routes)

    def wired(self) -> dict[str, Any]:
        """Return the connector and the routes."""
        return {"connector": self.connector, "routes": self.routes}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Send what is authorised."""
        from interlock.engine.effects.execution import connector_of, execute_cases
        from interlock.hooks.connector import open_connector_from_airflow

        declaration = connector_of(session, self.connector)
        session.company.access.demand_connection(
            declaration.conn_id, user=f"connector {self.connector!r}", environment=session.run.environment
        )
        connector = open_connector_from_airflow(self.connector, declaration)
        try:
            return execute_cases(session, connector)
        finally:
            connector.close()
