"""Reporting: the run's figures, and the check that no case was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import AgentRoleOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class ReportingOperator(AgentRoleOperator):
    """
    Counts the run's cases by state, and fails the run if a case is where no task continues it, or if another of our
    tasks failed: Airflow gives the run the state of its last task.

    It runs even if tasks before it failed (``trigger_rule="all_done"``), because a failed run is counted too.
    """

    interlock_kind: ClassVar[TaskKind] = "report"
    runs_without_cases = True
    role = "reporting"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trigger_rule", "all_done")
        super().__init__(**kwargs)

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Count and check."""
        from interlock.engine.reports.run_report import report_run
        from interlock.operators.runtime import tasks_not_done

        figures = report_run(session, not_done=tasks_not_done(session))
        shown = (
            "cases_total",
            "by_state",
            "by_route",
            "automatic_share",
            "automatic_accuracy",
            "effects_sent",
            "waiting",
        )
        for name in shown:
            self.log.info("%s: %s", name, figures[name])
        return {name: figures[name] for name in shown}
