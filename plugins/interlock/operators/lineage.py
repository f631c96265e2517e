"""
What OpenLineage is told of a task that works on data: its source, its snapshot, its facts, and how good they were.

Called by the OpenLineage provider after a task, and only where it is installed; nothing here is imported otherwise.
What is told are names, counts and the names of checks, never a value of the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from interlock.engine.runs.session import Session
    from interlock.ledger.store.record import Reading

OWN = "interlock://"
"""Namespace of snapshots and facts is this and the workflow: an Asset of the same address is the same dataset."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a task of :class:`~interlock.operators.quality.DataQualityOperator` read."""

    workflow: str
    dataset: str
    place: tuple[str, str]
    """Namespace and name of the source, as OpenLineage names datasets."""
    columns: Mapping[str, str]
    rows: int
    aside: int
    assertions: Sequence[tuple[str, bool]]
    """Name of a check, and whether it held."""


def is_told() -> bool:
    """Return whether the provider is installed, so that there is somebody to tell."""
    from importlib.util import find_spec

    return find_spec("openlineage") is not None and find_spec("airflow.providers.openlineage") is not None


def told_of(session: Session, dataset: str, source: Any, read: Reading) -> Told:
    """Return what is told of a reading."""
    from interlock.ledger.facts.quality import reports_of

    with session.read() as connection:
        reports = reports_of(connection, session.run.id, task=read.task)
    return Told(
        workflow=session.run.workflow,
        dataset=dataset,
        place=place_of_source(source, session.include.parent),
        columns=dict(read.columns),
        rows=read.row_count,
        aside=read.quarantined,
        assertions=[(str(one["name"]), bool(one["success"])) for report in reports for one in report.results],
    )


def place_of_source(source: Any, base: Path) -> tuple[str, str]:
    """Return the namespace and the name of a source, after OpenLineage's conventions; no query and no secret."""
    from urllib.parse import urlsplit

    from interlock.domain.data.dataset import is_own_ledger
    from interlock.domain.data.source import FileSource, describe, is_object, parse_source

    if is_own_ledger(source):
        return f"{OWN}ledger", str(source).removeprefix("ledger://")
    spec = parse_source(source)
    if not isinstance(spec, FileSource):
        return f"{OWN}source", describe(spec)
    if is_object(spec):
        address = urlsplit(str(spec.path))
        return f"{address.scheme}://{address.hostname or address.netloc}", address.path.lstrip("/")
    return "file", str((base / str(spec.path)).resolve())


def of_reading(told: Told) -> OperatorLineage:
    """Return the lineage of a reading: from its source, with what was asserted of it, to its snapshot."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import (
        data_quality_assertions_dataset as assertions,
    )
    from openlineage.client.facet_v2 import (
        data_quality_metrics_input_dataset as metrics,
    )
    from openlineage.client.facet_v2 import (
        output_statistics_output_dataset as statistics,
    )
    from openlineage.client.facet_v2 import (
        schema_dataset,
    )

    namespace, name = told.place
    fields = [schema_dataset.SchemaDatasetFacetFields(name=column, type=kind) for column, kind in told.columns.items()]
    schema = schema_dataset.SchemaDatasetFacet(fields=fields)
    asserted = [assertions.Assertion(assertion=check, success=held) for check, held in told.assertions]
    return OperatorLineage(
        inputs=[
            InputDataset(
                namespace=namespace,
                name=name,
                facets={"schema": schema},
                inputFacets={
                    "dataQualityMetrics": metrics.DataQualityMetricsInputDatasetFacet(
                        columnMetrics={}, rowCount=told.rows + told.aside
                    ),
                    "dataQualityAssertions": assertions.DataQualityAssertionsDatasetFacet(assertions=asserted),
                },
            )
        ],
        outputs=[
            OutputDataset(
                namespace=f"{OWN}{told.workflow}",
                name=f"datasets/{told.dataset}",
                facets={"schema": schema},
                outputFacets={"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rowCount=told.rows)},
            )
        ],
    )


def of_facts(workflow: str, dataset: str, name: str, count: int) -> OperatorLineage:
    """Return the lineage of *count* facts, called *name*: from the snapshot of *dataset*."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    return OperatorLineage(
        inputs=[InputDataset(namespace=f"{OWN}{workflow}", name=f"datasets/{dataset}")],
        outputs=[
            OutputDataset(
                namespace=f"{OWN}{workflow}",
                name=name,
                outputFacets={"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rowCount=count)},
            )
        ],
    )


def nothing() -> OperatorLineage:
    """Return the lineage of a task that read no data."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage()
