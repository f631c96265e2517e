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
    Decides the route of every case that stands at it and hands each to the task that serves its route.

    It skips no task: a task that gets no case skips itself.

    :param routes: route to the id of the task that takes its cases. ``stop`` needs none. A route of the policy that no
        branch of the Dag serves is refused when the policy is checked and when a run pins it.
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
