"""
Workflows for faults: the refunds of ``tests/workflows.py`` under a name of their own, wired as a real Dag.

A case says in its text what its judge shall be sure of; ``tier=private`` sends it to people, a large amount stops it.
"""

from __future__ import annotations

import workflows
from faults.bench import Bench

DAG = """
from datetime import timedelta

from airflow.sdk import Param, dag
from interlock.operators import (
    ConfidenceBranchOperator,
    DraftingOperator,
    ExecutionOperator,
    IntakeOperator,
    ReasoningOperator,
    ReportingOperator,
    ValidationOperator,
)
from interlock.sensors import ApprovalGateSensor

from include.{name}.contracts import Letter, Refund, Verdict

QUICK = {{"retries": 2, "retry_delay": timedelta(seconds=1)}}


@dag(
    dag_id="{name}",
    schedule=None,
    default_args=QUICK,
    params={{"source": Param("include/{name}/data/inbox.csv", type="string")}},
)
def refunds():
    intake = IntakeOperator(task_id="intake", workflow="{name}", source="{{{{ params.source }}}}", contract=Refund)
    judge = ReasoningOperator(task_id="judge", agent="{agent}", contract=Verdict)
    route = ConfidenceBranchOperator(
        task_id="route", routes={{"auto": "draft", "review": "draft", "fallback": "draft"}}
    )
    draft = DraftingOperator(task_id="draft", agent="writer", contract=Letter, reads=[Verdict])
    validate = ValidationOperator(task_id="validate")
    send = ExecutionOperator(task_id="send", connector="payout", routes=["auto"])
    sign_off = ApprovalGateSensor(task_id="sign_off", gate="leads")
    send_signed = ExecutionOperator(task_id="send_signed", connector="payout", routes=["review"])
    report = ReportingOperator(task_id="report")

    intake >> judge >> route >> draft >> validate >> [send, sign_off]
    sign_off >> send_signed
    [send, send_signed] >> report


DAG = refunds()
"""
HEADER = "refund_id,text,amount,tier"


def inbox(*rows: str) -> str:
    """Return a CSV file of *rows* (``R1,sure=0.95,10,standard``)."""
    return "\n".join([HEADER, *rows]) + "\n"


def write_workflow(
    bench: Bench,
    name: str,
    *,
    publish: bool = True,
    release_after: str = "8h",
    agent: str = "judge",
    more: str = "",
    **files: str,
) -> None:
    """
    Write a workflow of refunds and its Dag, both called *name*.

    :param agent: that the Dag names at its task ``judge``.
    :param more: behind the Dag's wiring.
    :param files: texts of other files by their stem (``ecosystem`` is the company's).
    """
    folder = f"include/{name}"
    policy = workflows.POLICY.replace("8h", release_after).replace("policy: refunds", f"policy: {name}")
    policy = policy.replace('  - {name: ask again, when: "attempt == 1", route: fallback}\n', "")
    bench.write(f"{folder}/contracts.py", workflows.CONTRACTS)
    bench.write(f"{folder}/policy.yaml", policy)
    bench.write(f"{folder}/agents.yaml", workflows.AGENTS)
    bench.write(f"{folder}/workflow.yaml", workflows.WORKFLOW.replace("workflow: refunds", f"workflow: {name}"))
    bench.write(f"{folder}/data/inbox.csv", files.get("inbox", inbox()))
    bench.write("include/company/access.yaml", workflows.ACCESS)
    bench.write("include/company/ecosystem.yaml", files.get("ecosystem", workflows.ECOSYSTEM))
    if publish:
        bench.publish(name)
    bench.write(f"dags/{name}.py", DAG.format(name=name, agent=agent) + more)
