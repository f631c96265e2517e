"""
What all our operators share: they take the cases whose turn it is at their task, and skip themselves when there are
none.

They run on the trigger rule ``none_failed`` and never skip each other: the ledger routes cases, Airflow orders tasks. A
task that is tried again takes up only what is missing, so a retry is cheap and is on by default.
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


_USUAL = {"trigger_rule": "none_failed", "retries": 2, "retry_delay": timedelta(seconds=10)}


class InterlockOperator(BaseOperator):
    """
    A task that works on the cases that stand at it.

    Unless the Dag says otherwise, at the task or in ``default_args``: ``trigger_rule="none_failed"``, ``retries=2``,
    ``retry_delay`` 10 seconds.
    """

    interlock_kind: ClassVar[TaskKind]
    runs_without_cases: ClassVar[bool] = False
    """Intake and reporting have something to do when no case stands at them."""

    operator_extra_links: tuple[BaseOperatorLink, ...] = (CasesLink(),)
    ui_color = "#e8f0fb"

    def __init__(self, **kwargs: Any) -> None:
        said = kwargs.get("default_args") or {}  # the Dag's, which Airflow looks at only for what is left out here
        for name, usual in _USUAL.items():
            if name not in said:
                kwargs.setdefault(name, usual)
        super().__init__(**kwargs)

    def wired(self) -> dict[str, Any]:
        """Return what the wiring says of this task beside its kind: routes, branches, agent, connector."""
        return {}

    def execute(self, context: Context) -> Any:
        """Take the turn at this task and work on its cases."""
        from interlock.operators.runtime import run_task

        return run_task(self, context)

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Do the task's work and return counts."""
        raise TypeError(f"{type(self).__name__} does not say what its work is")


class AgentRoleOperator(InterlockOperator):
    """
    Carries one of the seven roles out over all cases that were handed on to it; each succeeds or fails by itself.

    Its subclasses say which role and how.
    """

    role: ClassVar[str]
    """intake, enrichment, reasoning, drafting, validation, execution or reporting."""
