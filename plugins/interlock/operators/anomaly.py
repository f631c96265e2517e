"""Anomalies: where the KPIs of a run differ from what their history predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.operators.base import InterlockOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session


class AnomalyOperator(InterlockOperator):
    """
    Detects anomalies in the KPIs of the last periods, and states the observed and the expected values as facts.

    The section ``anomalies`` of ``kpis/<kpis>.yaml`` configures the detection. An anomaly is stated once, no matter how
    many periods it lasts.

    :param kpis: name of ``kpis/<kpis>.yaml`` in the workflow's folder; the published version of the file is used.
    :param lookback: number of last periods in which an anomaly may have begun (default: 1). An hourly run over
        five-minute data looks back on 12.
    """

    interlock_kind: ClassVar[TaskKind] = "data"
    runs_without_cases = True
    ui_color = "#efe8fb"

    def __init__(self, *, kpis: str, lookback: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kpis = kpis
        self.lookback = lookback
        self._stated: tuple[str, str, str, int] | None = None

    def wired(self) -> dict[str, Any]:
        """Return the KPIs."""
        return {"kpis": self.kpis}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Detect and state."""
        from interlock.engine.datasets.snapshot import Snapshots
        from interlock.engine.facts.anomaly_fact import state_anomalies
        from interlock.engine.facts.kpi_fact import load_kpis
        from interlock.hooks.setting import snapshot_path

        facts = state_anomalies(session, self.kpis, Snapshots(snapshot_path()), lookback=self.lookback)
        dataset = load_kpis(session, self.kpis).dataset
        self._stated = (session.run.workflow, dataset, f"{self.kpis}/anomalies", len(facts))
        return session.finish()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return to OpenLineage which anomalies were stated, and from which snapshot."""
        from interlock.operators.lineage import nothing, of_facts

        return nothing() if self._stated is None else of_facts(*self._stated)
