"""
Pipeline health: the leads of the day and of the last full week, Interlock's own cases as a second pipeline, and the
owners' next actions.

The shipped data are historical. A run that is started by hand reads as of the end of the data; the schedule is that of
the days on which the pipeline worked, each read on the morning after.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset, Param, dag
from interlock.operators import (
    ConfidenceBranchOperator,
    DataQualityOperator,
    DraftingOperator,
    ExecutionOperator,
    IntakeOperator,
    KpiOperator,
    ReportingOperator,
    ValidationOperator,
)
from interlock.sensors import ApprovalGateSensor

from include.pipeline_health.contracts import Finding, Review


@dag(
    schedule="0 6 * * TUE-SAT",
    start_date=datetime(2008, 5, 6, tzinfo=UTC),
    end_date=datetime(2010, 11, 18, 6, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "as_of": Param(
            "",
            type="string",
            title="As of",
            description="Instant to read the data as of, such as 2010-11-18; empty: the end of the data",
        ),
        "source": Param("", type="string", title="Leads", description="A file in place of the declared source"),
    },
    tags=["interlock", "decision support"],
    doc_md=__doc__,
)
def pipeline_health():
    leads = DataQualityOperator(task_id="leads", dataset="leads", source="{{ params.source }}")
    cases = DataQualityOperator(task_id="cases", dataset="cases")
    day = KpiOperator(task_id="day", kpis="day", outlets=[Asset("interlock://pipeline_health/day")])
    week = KpiOperator(task_id="week", kpis="week", outlets=[Asset("interlock://pipeline_health/week")])
    own = KpiOperator(task_id="own", kpis="cases", outlets=[Asset("interlock://pipeline_health/cases")])
    findings = IntakeOperator(
        task_id="findings", workflow="pipeline_health", source="facts://insights", contract=Finding
    )
    route = ConfidenceBranchOperator(task_id="route", routes={"review": "write", "action": "write", "auto": "write"})
    write = DraftingOperator(task_id="write", agent="health_writer", contract=Review)
    validate = ValidationOperator(task_id="validate")
    read = ApprovalGateSensor(task_id="read", gate="sales_lead", routes=["review"])
    send = ExecutionOperator(task_id="send", connector="outbox", routes=["review"])
    look_at = ApprovalGateSensor(task_id="look_at", gate="action_owner", routes=["action"])
    hand_on = ExecutionOperator(task_id="hand_on", connector="outbox", routes=["action"])
    tell = ExecutionOperator(task_id="tell", connector="outbox", routes=["auto"])
    report = ReportingOperator(task_id="report")

    leads >> cases >> [day, week, own] >> findings >> route >> write >> validate >> [read, look_at, tell]
    read >> send
    look_at >> hand_on
    [send, hand_on, tell] >> report


pipeline_health()
