"""
What OpenLineage gets from a task that works on data: its source, its snapshot, its facts, and their quality.

The OpenLineage provider calls this after a task; where it is not installed, nothing here is imported. It gets names,
counts and the names of checks, never a value of the data.
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
class DatasetReading:
    """What a task of :class:`~interlock.operators.quality.DataQualityOperator` read."""

    workflow: str
    dataset: str
    place: tuple[str, str]
    """Namespace and name of the source, as OpenLineage names datasets."""
    columns: Mapping[str, str]
    rows: int
    quarantined: int
    assertions: Sequence[tuple[str, bool]]
    """Name of a check, and whether it held."""


def is_openlineage_installed() -> bool:
    """Return whether the provider is installed, which asks for the lineage."""
    from importlib.util import find_spec

    return find_spec("openlineage") is not None and find_spec("airflow.providers.openlineage") is not None


def describe_reading(session: Session, dataset: str, source: Any, read: Reading) -> DatasetReading:
    """Return what OpenLineage gets of a reading."""
    from interlock.ledger.facts.quality import reports_of

    with session.read() as connection:
        reports = reports_of(connection, session.run.id, task=read.task)
    return DatasetReading(
        workflow=session.run.workflow,
        dataset=dataset,
        place=place_of_source(source, session.include.parent),
        columns=dict(read.columns),
        rows=read.row_count,
        quarantined=read.quarantined,
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


def of_reading(reading: DatasetReading) -> OperatorLineage:
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

    namespace, name = reading.place
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=column, type=kind) for column, kind in reading.columns.items()
    ]
    schema = schema_dataset.SchemaDatasetFacet(fields=fields)
    asserted = [assertions.Assertion(assertion=check, success=held) for check, held in reading.assertions]
    return OperatorLineage(
        inputs=[
            InputDataset(
                namespace=namespace,
                name=name,
                facets={"schema": schema},
                inputFacets={
                    "dataQualityMetrics": metrics.DataQualityMetricsInputDatasetFacet(
                        columnMetrics={}, rowCount=reading.rows + reading.quarantined
                    ),
                    "dataQualityAssertions": assertions.DataQualityAssertionsDatasetFacet(assertions=asserted),
                },
            )
        ],
        outputs=[
            OutputDataset(
                namespace=f"{OWN}{reading.workflow}",
                name=f"datasets/{reading.dataset}",
                facets={"schema": schema},
                outputFacets={"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rowCount=reading.rows)},
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
