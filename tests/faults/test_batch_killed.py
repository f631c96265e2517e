"""
``kill -9`` of a task that sends batches, between the provider's yes and our note of it, and of one that collects them.
The second run is the one that upkeep starts when the batches are over.

Under a real LocalExecutor: every case is in one batch, is answered once, and its cost counts once.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
import workflows
from faults.refund_desk import inbox, write_workflow
from faults.sabotage import marks
from interlock.domain.cost.price import to_nano
from interlock.ledger.store.schema import budget_account, provider_batch, reservation, usage
from live_airflow import PROJECT
from servers.openai_batches import OpenAIBatches

pytestmark = pytest.mark.live

NAME = "batched"
CASES = 30
AGENT = """judge:
  kind: model
  conn_id: llm
  model: openai-chat:gpt-4o-mini
  prompt: prompts/judge.md.j2
  settings: {max_tokens: 50}
  urgency: deferrable
"""
SABOTAGE = """
from functools import partial

from faults.sabotage import Kill, _arm


def arm(context):
    # The third transaction about batches notes that the first of them was created.
    _arm((Kill("before commit", 3, "provider_batch"),), "batch_killed", context)
    # Of each batch, cases are taken up and then moved on: the second one dies with its answers in hand.
    _arm((Kill("before commit", 4, "case"),), "goes_on", context)


DAG.get_task("judge").pre_execute = arm
"""


@pytest.fixture(scope="module")
def server():
    with OpenAIBatches({"kind": "refund"}) as one:
        yield one


@pytest.fixture(scope="module")
def killed(bench, server):
    """A run that sent batches and a run that collected them, each with a task that was killed."""
    rows = [f"R{number},message {number},20000,standard" for number in range(1, CASES + 1)]
    write_workflow(bench, NAME, publish=False, inbox=inbox(*rows))
    folder = bench.include / NAME
    first, rest = workflows.AGENTS.strip().split("\n", 1)
    assert first.startswith("judge:")
    bench.write(f"include/{NAME}/agents.yaml", AGENT + rest + "\n")
    bench.write(f"include/{NAME}/prompts/judge.md.j2", "What is this about? {{ case.text }}")
    policy = (folder / "policy.yaml").read_text()
    budget = "budgets: [{per: workflow, every: month, limit: 5}]\nstop_when:"
    bench.write(f"include/{NAME}/policy.yaml", policy.replace("stop_when:", budget))
    price = "models: [{model: gpt-4o-mini, from: 2020-01-01, input: 10, output: 100, batch: 0.5}]\n"
    bench.write("include/company/prices.yaml", price)
    bench.publish(NAME)
    connection = {
        "connection_id": "llm",
        "conn_type": "pydanticai",
        "host": server.base_url,
        "password": "none",
        "extra": '{"model": "openai-chat:gpt-4o-mini"}',
    }
    bench.airflow.client.call("POST", "/api/v2/connections", connection)
    bench.write(f"dags/{NAME}.py", (bench.project / "dags" / f"{NAME}.py").read_text() + SABOTAGE)
    sent = bench.airflow.trigger(NAME, run_id="batch_killed")
    first_end = bench.airflow.wait_for_run(NAME, sent)
    after_sending = {"run": first_end, "states": Counter(bench.states(NAME).values())}
    upkeep = (PROJECT / "dags" / "interlock_upkeep.py").read_text()
    bench.write("dags/interlock_upkeep.py", upkeep.replace("schedule=timedelta(minutes=15)", "schedule=None"))
    assert goes_on(bench, "too_soon") == []
    for batch in server.batches.values():
        server.end(batch=batch)
    [collected] = goes_on(bench, "over")
    assert goes_on(bench, "once_more") == [collected]
    second = bench.airflow.wait_for_run(NAME, collected)
    return after_sending | {"collected": collected, "second": second}


def goes_on(bench: Any, upkeep: str) -> list[str]:
    """Let upkeep run, and return the runs that it has started."""
    ended = bench.airflow.wait_for_run("interlock_upkeep", bench.airflow.trigger("interlock_upkeep", run_id=upkeep))
    assert ended == "success"
    runs = bench.airflow.client.call("GET", f"/api/v2/dags/{NAME}/dagRuns")["dag_runs"]
    return [run["dag_run_id"] for run in runs if run["dag_run_id"].startswith("goes_on")]


def ours(bench: Any, table: Any) -> list[dict[str, Any]]:
    ids = {row["id"] for row in bench.cases(NAME).values()}
    return [row for row in bench.rows(table) if row["case_id"] in ids and row["kind"] in (None, "model")]


def test_both_tasks_were_killed_and_the_runs_ended_well(bench, killed):
    runs = ("batch_killed", killed["collected"])
    assert [len(marks(bench.airflow.home, run, "judge", "killed")) for run in runs] == [1, 1]
    assert (killed["run"], killed["second"]) == ("success", "success")
    assert killed["states"] == {"waiting": CASES}


def test_every_case_was_sent_once(server, killed):
    asked = Counter(line["custom_id"] for batch in server.batches.values() for line in batch["lines"])
    assert len(asked) == CASES
    assert set(asked.values()) == {1}
    assert len({batch["metadata"]["interlock_batch"] for batch in server.batches.values()}) == len(server.batches)
    assert server.total == 0


def test_every_case_was_answered_once_and_its_cost_counts_once(bench, killed):
    assert {number for (_, task), number in bench.handoffs(NAME).items() if task == "judge"} == {1}
    assert sum(task == "judge" for _, task in bench.handoffs(NAME)) == CASES
    calls = ours(bench, usage)
    assert Counter(row["outcome"] for row in calls) == {"ok": CASES}
    cost = sum((row["cost"] for row in calls), Decimal(0))
    [account] = [row for row in bench.rows(budget_account) if f"/{NAME}/" in row["account"]]
    assert (account["spent"], account["reserved"]) == (to_nano(cost), 0)
    assert not [row for row in bench.rows(reservation) if row["account"] == account["account"] and row["amount"]]


def test_the_batches_are_over_and_the_ledger_is_sound(bench, killed):
    states = {row["state"] for row in bench.rows(provider_batch) if row["workflow"] == NAME}
    assert states == {"collected"}
    assert not bench.problems()
