"""Anomalies: where the KPIs of a run depart from what their past made one expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import InterlockOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class AnomalyOperator(InterlockOperator):
    """
    Looks for anomalies in the KPIs of the last periods, and states what was observed and what was expected as facts.

    How they are looked for stands under ``anomalies`` in ``kpis/<kpis>.yaml``. An anomaly counts once, however many
    periods it lasts.

    :param kpis: name of ``kpis/<kpis>.yaml`` in the workflow's folder; the published text counts.
    :param lookback: how many of the last periods an anomaly may have begun in. A run an hour over five-minute data
        looks back on 12.
    """

    interlock_kind: ClassVar[TaskKind] = "data"
    runs_without_cases = True
    ui_color = "#efe8fb"

    def __init__(self, *, kpis: str, lookback: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kpis = kpis
        self.lookback = lookback
        self._told: tuple[str, str, str, int] | None = None

    def wired(self) -> dict[str, Any]:
        """Return the KPIs."""
        return {"kpis": self.kpis}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Look and state."""
        from interlock.engine.datasets.snapshot import Snapshots
        from interlock.engine.facts.anomaly_fact import state_anomalies
        from interlock.engine.facts.kpi_fact import load_kpis
        from interlock.hooks.setting import snapshot_path

        facts = state_anomalies(session, self.kpis, Snapshots(snapshot_path()), lookback=self.lookback)
        dataset = load_kpis(session, self.kpis).dataset
        self._told = (session.run.workflow, dataset, f"{self.kpis}/anomalies", len(facts))
        return session.finish()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Tell OpenLineage which anomalies were stated, and from which snapshot."""
        from interlock.operators.lineage import nothing, of_facts

        return nothing() if self._told is None else of_facts(*self._told)
