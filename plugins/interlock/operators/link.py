"""The links from a task instance to the console: its cases, and the results of a data check."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class QualityLink(BaseOperatorLink):
    """To the results of the data check."""

    name = "Data quality"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the console's page for this data check."""
        return _page("quality", ti_key)


class CasesLink(BaseOperatorLink):
    """To the run's cases: the state of each, and "ask for review" for those that were not sent."""

    name = "Cases and review"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the console's page for this task instance."""
        return _page("task", ti_key)


def _page(name: str, ti_key: TaskInstanceKey) -> str:
    from interlock.console.address import console_path

    query = urlencode({"dag_id": ti_key.dag_id, "run_id": ti_key.run_id, "task_id": ti_key.task_id})
    return console_path(f"{name}?{query}")
