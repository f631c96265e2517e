"""
What all our operators share: they work on the cases that are at their task, and skip themselves when there are none.

They run on the trigger rule ``none_failed`` and never skip each other: the ledger routes cases, Airflow orders tasks. A
retry works only on what is missing, so it is cheap, and retries are on by default.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink

from interlock.operators.link import CasesLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


_DEFAULTS = {"trigger_rule": "none_failed", "retries": 2, "retry_delay": timedelta(seconds=10)}


class InterlockOperator(BaseOperator):
    """
    A task that works on the cases at it.

    Defaults, which the task or the Dag's ``default_args`` may override: ``trigger_rule="none_failed"``, ``retries=2``,
    ``retry_delay`` 10 seconds.
    """

    interlock_kind: ClassVar[TaskKind]
    runs_without_cases: ClassVar[bool] = False
    """Whether it has work when no case is at its task, as intake and reporting do."""

    operator_extra_links: tuple[BaseOperatorLink, ...] = (CasesLink(),)
    ui_color = "#e8f0fb"

    def __init__(self, **kwargs: Any) -> None:
        of_dag = kwargs.get("default_args") or {}  # Airflow reads it only for arguments that are not set here
        for name, default in _DEFAULTS.items():
            if name not in of_dag:
                kwargs.setdefault(name, default)
        super().__init__(**kwargs)

    def wired(self) -> dict[str, Any]:
        """Return what the wiring holds of this task besides its kind: routes, branches, agent, connector."""
        return {}

    def execute(self, context: Context) -> Any:
        """Work on the cases at this task."""
        from interlock.operators.runtime import run_task

        return run_task(self, context)

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Do the task's work and return counts."""
        raise TypeError(f"{type(self).__name__} does not say what its work is")


class AgentRoleOperator(InterlockOperator):
    """
    Carries out one of the seven roles on all cases that were handed to it; each succeeds or fails by itself.

    Its subclasses define which role, and how.
    """

    role: ClassVar[str]
    """intake, enrichment, reasoning, drafting, validation, execution or reporting."""
