"""The confidence branch: where each case goes, by the pinned policy's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import InterlockOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class ConfidenceBranchOperator(InterlockOperator):
    """
    Decides the route of each case at this task and hands it to the task that serves the route.

    It skips no task: a task without cases skips itself.

    :param routes: maps each route to the id of the task that takes its cases. ``stop`` needs none. If a route of the
        policy is served by no branch of the Dag, the policy's check and the start of a run fail.
    """

    interlock_kind: ClassVar[TaskKind] = "branch"
    ui_color = "#fff4d6"

    def __init__(self, *, routes: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.routes = dict(routes)

    def wired(self) -> dict[str, Any]:
        """Return the routes that this branch serves."""
        return {"branches": self.routes}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Decide and record."""
        from interlock.engine.routing.branch import route_cases

        return route_cases(session)
