"""KPIs: facts about a period, from a dataset that the run has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.domain.base.period import key_of
from interlock.operators.base import InterlockOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.domain.facts.fact import Fact
    from interlock.engine.runs.session import Session


class KpiOperator(InterlockOperator):
    """
    States the KPIs of the last full period: values, comparisons, changes and what explains them.

    Each is a fact with its provenance, from the snapshot that ``DataQualityOperator(dataset=…)`` made in the same run.
    If the dataset is not fit for use, facts that are based on it are withheld with the reason.

    Each asset among its ``outlets`` gets an event for the period: the event's partition is the period (``2014-07-28``:
    its first day), and ``extra`` holds the instant of the data, the reading and the number of facts. To run a Dag for
    each event, schedule it with ``PartitionedAssetTimetable``.

    :param kpis: name of ``kpis/<kpis>.yaml`` in the workflow's folder; the published version of the file is used.
    """

    interlock_kind: ClassVar[TaskKind] = "data"
    runs_without_cases = True
    ui_color = "#efe8fb"

    def __init__(self, *, kpis: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kpis = kpis
        self._stated: tuple[str, str, str, int] | None = None

    def wired(self) -> dict[str, Any]:
        """Return the KPIs."""
        return {"kpis": self.kpis}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Measure and state."""
        from interlock.engine.datasets.snapshot import Snapshots
        from interlock.engine.facts.kpi_fact import state_kpis
        from interlock.hooks.setting import snapshot_path

        facts = state_kpis(session, self.kpis, Snapshots(snapshot_path()))
        self._stated = (session.run.workflow, facts[0].dataset, self.kpis, len(facts))
        describe_outlet_events(self, context, facts)
        return session.finish()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return to OpenLineage which facts were stated, and from which snapshot."""
        from interlock.operators.lineage import nothing, of_facts

        return nothing() if self._stated is None else of_facts(*self._stated)


def describe_outlet_events(operator: KpiOperator, context: Context, facts: Sequence[Fact]) -> None:
    """Add to the event of each asset of *operator* what was stated, and the partition of the period."""
    from airflow.sdk import Asset

    stated = facts[0]
    for asset in (outlet for outlet in operator.outlets if isinstance(outlet, Asset)):
        event = context["outlet_events"][asset]
        event.extra.update(
            {
                "period": stated.period,
                "as_of": stated.as_of.isoformat(),
                "reading": stated.reading,
                "facts": sum(fact.value is not None for fact in facts),
                "withheld": sum(fact.value is None for fact in facts),
            }
        )
        event.add_partitions(key_of(stated.period))
