"""
Executive review: the week's purchasing as facts, what explains it, what is worth attention, and a review that the
business approver signs off before it is sent.

The shipped data are historical. A run that is started by hand reads as of the end of the data; a backfill over the
weeks of the data gives the review that each week would have had.
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
    KpiOperator,
    ReportingOperator,
    ValidationOperator,
)
from interlock.sensors import ApprovalGateSensor

from include.executive_review.contracts import Finding, Review


@dag(
    schedule="0 6 * * MON",
    start_date=datetime(2013, 9, 2, tzinfo=UTC),
    end_date=datetime(2014, 8, 4, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "as_of": Param(
            "",
            type="string",
            title="As of",
            description="Instant to read the data as of, such as 2014-07-28; empty: the end of the data",
        ),
        "source": Param("", type="string", title="Orders", description="A file in place of the declared source"),
    },
    tags=["interlock", "decision support"],
    doc_md=__doc__,
)
def executive_review():
    orders = DataQualityOperator(task_id="orders", dataset="orders", source="{{ params.source }}")
    receipts = DataQualityOperator(task_id="receipts", dataset="receipts")
    spend = KpiOperator(task_id="spend", kpis="spend", outlets=[Asset("interlock://executive_review/spend")])
    quality = KpiOperator(task_id="quality", kpis="receipts", outlets=[Asset("interlock://executive_review/receipts")])
    unusual_spend = AnomalyOperator(task_id="unusual_spend", kpis="spend")
    unusual_receipts = AnomalyOperator(task_id="unusual_receipts", kpis="receipts")
    findings = IntakeOperator(
        task_id="findings", workflow="executive_review", source="facts://insights", contract=Finding
    )
    route = ConfidenceBranchOperator(task_id="route", routes={"review": "write", "insight": "write", "auto": "write"})
    write = DraftingOperator(task_id="write", agent="review_writer", contract=Review)
    validate = ValidationOperator(task_id="validate")
    approve = ApprovalGateSensor(task_id="approve", gate="business_approver", routes=["review"])
    send = ExecutionOperator(task_id="send", connector="outbox", routes=["review"])
    look_at = ApprovalGateSensor(task_id="look_at", gate="decision_owner", routes=["insight"])
    hand_on = ExecutionOperator(task_id="hand_on", connector="outbox", routes=["insight"])
    tell = ExecutionOperator(task_id="tell", connector="outbox", routes=["auto"])
    report = ReportingOperator(task_id="report")

    orders >> receipts >> [spend, quality]
    spend >> unusual_spend
    quality >> unusual_receipts
    [unusual_spend, unusual_receipts] >> findings >> route >> write >> validate >> [approve, look_at, tell]
    approve >> send
    look_at >> hand_on
    [send, hand_on, tell] >> report


executive_review()
