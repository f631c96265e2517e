"""
Anomaly watch: metrics of the last hours against their own past, and each alarm as a case with its runbook.

An hour's run looks back on two hours, so that one that was missed is made up for; an alarm that two runs see is one
case. The shipped data are historical: a run that is started by hand reads as of an evening on which four of the seven
series were recorded, unless it is told another instant.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset, Param, dag
from interlock.operators import (
    AnomalyOperator,
    ConfidenceBranchOperator,
    DataQualityOperator,
    DraftingOperator,
    ExecutionOperator,
    IntakeOperator,
    ReportingOperator,
    ValidationOperator,
)
from interlock.sensors import ApprovalGateSensor

from include.anomaly_watch.contracts import Finding, Review


@dag(
    schedule="5 * * * *",
    start_date=datetime(2013, 7, 4, tzinfo=UTC),
    end_date=datetime(2015, 2, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "as_of": Param(
            "2014-07-11T18:00Z",
            type="string",
            title="As of",
            description="Instant to read the data as of; what the schedule starts reads as of the end of its hour",
        ),
        "source": Param("", type="string", title="Metrics", description="A file in place of the declared source"),
    },
    tags=["interlock", "decision support"],
    doc_md=__doc__,
)
def anomaly_watch():
    metrics = DataQualityOperator(task_id="metrics", dataset="metrics", source="{{ params.source }}")
    five_minutes = AnomalyOperator(
        task_id="five_minutes", kpis="five_minutes", lookback=24, outlets=[Asset("interlock://anomaly_watch/alarms")]
    )
    half_hours = AnomalyOperator(task_id="half_hours", kpis="half_hours", lookback=4)
    hours = AnomalyOperator(task_id="hours", kpis="hours", lookback=2)
    alarms = IntakeOperator(task_id="alarms", workflow="anomaly_watch", source="facts://insights", contract=Finding)
    route = ConfidenceBranchOperator(task_id="route", routes={"urgent": "write", "auto": "write"})
    write = DraftingOperator(task_id="write", agent="alarm_writer", contract=Review)
    validate = ValidationOperator(task_id="validate")
    on_call = ApprovalGateSensor(task_id="on_call", gate="on_call")
    raise_alarm = ExecutionOperator(task_id="raise_alarm", connector="outbox", routes=["urgent"])
    tell = ExecutionOperator(task_id="tell", connector="outbox", routes=["auto"])
    report = ReportingOperator(task_id="report")

    metrics >> [five_minutes, half_hours, hours] >> alarms >> route >> write >> validate >> [on_call, tell]
    on_call >> raise_alarm
    [raise_alarm, tell] >> report


anomaly_watch()
