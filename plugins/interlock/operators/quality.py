"""The data check: the run's cases against a suite, before anything rests on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import InterlockOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.wiring import TaskKind
    from interlock.engine.session import Session


class DataQualityOperator(InterlockOperator):
    """
    Holds the run's cases against a suite of Great Expectations; failing rows go to quarantine, the rest goes on.

    A critical expectation that quarantine cannot mend fails the task, and the cases stay where they stand.

    :param suite: name of ``expectations/<suite>.yaml`` in the workflow's folder; the published text counts.
    """

    interlock_kind: ClassVar[TaskKind] = "quality"

    def __init__(self, *, suite: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.suite = suite

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Check, put aside, hand on."""
        from interlock.engine.quality import check_cases

        return check_cases(session, self.suite)
