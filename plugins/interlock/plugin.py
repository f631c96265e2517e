"""
What Interlock adds to Airflow's UI: the console, its entry in the navigation and its tab on a task.

Every Airflow process imports this module, tasks included, so the web parts are properties: FastAPI is loaded by the API
server alone. The links need no permission of their own; the console checks who asks.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from interlock.console.address import URL_PREFIX, console_path

_TASK = "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
"""Airflow fills these in; a task that is not mapped leaves ``{MAP_INDEX}`` as it is."""


class InterlockPlugin(AirflowPlugin):
    """The console in Airflow's UI."""

    name = "interlock"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The console, mounted by the API server below ``/interlock``."""
        from interlock.console.app import create_app

        return [{"app": create_app(), "url_prefix": URL_PREFIX, "name": "Interlock"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:
        """The entry in the navigation and the tab of a task; one list, because Airflow removes items from it."""
        icon = console_path("/static/interlock.svg")
        return [
            {
                "name": "Interlock",
                "href": console_path("/"),
                "destination": "nav",
                "url_route": "interlock",
                "icon": icon,
                "nav_top_level": True,
            },
            {
                "name": "Interlock",
                "href": console_path(f"/task?{_TASK}"),
                "destination": "task_instance",
                "url_route": "interlock-task",
                "icon": icon,
            },
        ]
