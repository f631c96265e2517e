"""KPIs: facts about a period, from a dataset that the run has read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import InterlockOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.wiring import TaskKind
    from interlock.engine.session import Session


class KpiOperator(InterlockOperator):
    """
    States the KPIs of the last full period: values, comparisons, changes and what explains them.

    Each is a fact with its provenance, from the snapshot that ``DataQualityOperator(dataset=…)`` made in the same run.
    Where the dataset is not fit, what rests on it is withheld with the reason.

    :param kpis: name of ``kpis/<kpis>.yaml`` in the workflow's folder; the published text counts.
    """

    interlock_kind: ClassVar[TaskKind] = "data"
    runs_without_cases = True
    ui_color = "#efe8fb"

    def __init__(self, *, kpis: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kpis = kpis

    def wired(self) -> dict[str, Any]:
        """Return the KPIs."""
        return {"kpis": self.kpis}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Measure and state."""
        from interlock.engine.snapshot import Snapshots
        from interlock.engine.stating import state_kpis
        from interlock.hooks.setting import snapshot_path

        state_kpis(session, self.kpis, Snapshots(snapshot_path()))
        return session.finish()
