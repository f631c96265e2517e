"""
Support triage: customer messages are understood, routed, answered in draft, checked, signed off where policy asks, and
sent.

This is wiring alone. Who does the work stands in ``include/support_triage/agents.yaml``, what may go on by itself in
``policy.yaml``; both count once they are published: ``airflow interlock policy publish support_triage``.
"""

from __future__ import annotations

from airflow.sdk import Param, dag
from interlock.operators import (
    ConfidenceBranchOperator,
    DataQualityOperator,
    DraftingOperator,
    EnrichmentOperator,
    ExecutionOperator,
    IntakeOperator,
    ReasoningOperator,
    ReportingOperator,
    ValidationOperator,
)
from interlock.sensors import ApprovalGateSensor

from include.support_triage.contracts import Context, Reply, Ticket, Triage

SERVED = {"auto": "context", "review": "context", "billing": "context"}


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=4,
    params={
        "source": Param(
            "include/support_triage/data/inbox.csv",
            type="string",
            title="Inbox",
            description="A CSV, JSON lines or Parquet file, a query through a connection, or an HTTP address",
        )
    },
    tags=["interlock", "support"],
    doc_md=__doc__,
)
def support_triage():
    intake = IntakeOperator(task_id="intake", workflow="support_triage", source="{{ params.source }}", contract=Ticket)
    check = DataQualityOperator(task_id="check", suite="tickets")
    triage = ReasoningOperator(task_id="triage", agent="intent_classifier", contract=Triage)
    route = ConfidenceBranchOperator(task_id="route", routes={**SERVED, "fallback": "second_opinion"})
    second = ReasoningOperator(task_id="second_opinion", agent="careful_classifier", contract=Triage)
    route_again = ConfidenceBranchOperator(task_id="route_again", routes=SERVED)
    context = EnrichmentOperator(task_id="context", agent="policy_passages", contract=Context, reads=[Triage])
    draft = DraftingOperator(task_id="draft", agent="reply_writer", contract=Reply, reads=[Triage, Context])
    validate = ValidationOperator(task_id="validate")
    send = ExecutionOperator(task_id="send", connector="outbox", routes=["auto"])
    sign_off = ApprovalGateSensor(task_id="sign_off", gate="support_lead")
    send_signed = ExecutionOperator(task_id="send_signed", connector="outbox", routes=["review", "billing"])
    report = ReportingOperator(task_id="report")

    intake >> check >> triage >> route >> [second, context]
    second >> route_again >> context >> draft >> validate
    validate >> [send, sign_off]
    sign_off >> send_signed
    [send, send_signed] >> report


support_triage()
