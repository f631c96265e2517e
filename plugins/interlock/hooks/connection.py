"""
Finds an Airflow connection, or raises an error that says how to add it.

Inside a task the connection comes from the supervisor; ``AIRFLOW_CONN_<ID>`` in the environment works everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def find_connection(conn_id: str, *, wanted_for: str, example: str) -> Connection:
    """
    Return the connection *conn_id*.

    :param wanted_for: what needs it, for the message: ``connector 'outbox'``.
    :param example: the options of ``airflow connections add`` for a connection of this sort.
    :raises ConfigurationError: there is no such connection.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"there is no connection {conn_id!r}, and {wanted_for} needs it. Add it: "
            f"airflow connections add {conn_id} {example}"
        ) from None
