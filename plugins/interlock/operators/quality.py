"""The data check: validates the run's cases, or a dataset, before anything is based on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interlock.operators.base import InterlockOperator
from interlock.operators.link import CasesLink, QualityLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.domain.cases.wiring import TaskKind
    from interlock.engine.runs.session import Session
    from interlock.operators.lineage import DatasetReading


class DataQualityOperator(InterlockOperator):
    """
    Validates the run's cases, or a dataset, with a suite of Great Expectations; failing rows are quarantined.

    The task fails if a critical expectation fails that quarantine cannot repair; cases stay at their task. If the
    dataset is not required, the task succeeds and facts that are based on the dataset are withheld.

    :param suite: name of ``expectations/<suite>.yaml`` in the workflow's folder, for the cases at this task; the
        published version of the file is used.
    :param dataset: name of a dataset in ``datasets.yaml``: it is read as of the run's instant, checked, and kept as a
        snapshot, from which every number of the run is computed. The dataset's own ``suite`` is used.
    :param source: read instead of the dataset's declared source; templated.
    :param as_of: instant to read as of, in ISO form; templated. Default, the first of these that is set: the parameter
        ``as_of`` that the run was started with; the end of a scheduled or backfilled run's interval; the Dag's own
        value of ``as_of``; the instant when the newest row of the data became known.
    """

    template_fields = ("source", "as_of")
    operator_extra_links = (QualityLink(), CasesLink())

    def __init__(
        self,
        *,
        suite: str | None = None,
        dataset: str | None = None,
        source: str | Mapping[str, Any] | None = None,
        as_of: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.suite = suite
        self.dataset = dataset
        self.source = source
        self.as_of = as_of
        self._reading: DatasetReading | None = None

    @property
    def interlock_kind(self) -> TaskKind:  # type: ignore[override]  # by what it checks
        """``data`` for a dataset, which has no cases."""
        return "quality" if self.dataset is None else "data"

    @property
    def runs_without_cases(self) -> bool:  # type: ignore[override]
        """Whether it has work when no case is at its task."""
        return self.dataset is not None

    def wired(self) -> dict[str, Any]:
        """Return what it checks."""
        return {"dataset": self.dataset, "suite": self.suite}

    def work(self, session: Session, context: Context) -> dict[str, Any]:
        """Check, quarantine, hand on."""
        from interlock.errors import ConfigurationError

        if (self.suite is None) == (self.dataset is None):
            raise ConfigurationError(f"task {self.task_id!r} needs either a suite, for cases, or a dataset")
        if self.dataset is None:
            from interlock.engine.datasets.quality import check_cases

            return check_cases(session, str(self.suite))
        from interlock.engine.datasets.dataset_check import check_dataset
        from interlock.engine.datasets.reading import read_dataset
        from interlock.engine.datasets.snapshot import Snapshots
        from interlock.hooks.setting import snapshot_path
        from interlock.hooks.source_access import source_access
        from interlock.hooks.storage import object_path
        from interlock.operators.lineage import describe_reading, is_openlineage_installed
        from interlock.operators.runtime import as_of_of, find_source_connection, may_try_again

        read = read_dataset(
            session,
            self.dataset,
            connection=find_source_connection,
            snapshots=Snapshots(snapshot_path()),
            check=check_dataset,
            as_of=as_of_of(context, self.as_of),
            source=self.source or None,
            storage=object_path,
            access=source_access(session.company.connectors),
            may_try_again=may_try_again(context),
        )
        if is_openlineage_installed():
            declared = session.version.bundle.datasets[self.dataset]
            self._reading = describe_reading(session, self.dataset, self.source or declared.source, read)
        session.finish()
        return {"as_of": read.as_of.isoformat(), "rows": read.row_count, "quarantined": read.quarantined}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return to OpenLineage what was read, and its quality; nothing about cases."""
        from interlock.operators.lineage import nothing, of_reading

        return nothing() if self._reading is None else of_reading(self._reading)
