"""What our operators take for usual, and what a Dag says instead."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from interlock.domain.base.contract import Contract
from interlock.operators import ReasoningOperator
from workflows import NAME


def a_task(name: str = "judge", **arguments):
    return ReasoningOperator(task_id=name, agent="judge", contract=Contract, **arguments)


def test_a_task_is_tried_again_unless_the_dag_says_otherwise():
    with DAG(NAME, schedule=None):
        task = a_task()

    assert (task.retries, task.retry_delay, task.trigger_rule) == (2, timedelta(seconds=10), "none_failed")


def test_what_the_default_args_of_a_dag_say_counts_and_what_the_task_says_counts_more():
    with DAG(NAME, schedule=None, default_args={"retries": 7, "retry_delay": timedelta(seconds=1)}):
        usual, own = a_task(), a_task("own", retries=1)

    assert (usual.retries, usual.retry_delay, usual.trigger_rule) == (7, timedelta(seconds=1), "none_failed")
    assert (own.retries, own.retry_delay) == (1, timedelta(seconds=1))
