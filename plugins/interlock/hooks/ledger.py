"""
Opens the ledger with an Airflow connection.

The connection ``interlock_ledger`` names the database: a PostgreSQL server if it has a host, otherwise the SQLite file
in ``extra.path``. Without the connection, ``[interlock] ledger_url`` is used (default: SQLite in AIRFLOW_HOME).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy.engine import URL

from interlock.errors import ConfigurationError
from interlock.hooks.seal import sealer
from interlock.hooks.setting import environment, setting
from interlock.ledger.store.ledger import Ledger


class LedgerHook(BaseHook):
    """
    The ledger behind an Airflow connection of type ``interlock``.

    :param ledger_conn_id: id of the connection (default: ``[interlock] ledger_conn_id``).
    """

    conn_name_attr = "ledger_conn_id"
    default_conn_name = "interlock_ledger"
    conn_type = "interlock"
    hook_name = "Interlock ledger"

    def __init__(self, ledger_conn_id: str | None = None) -> None:
        super().__init__()
        self.ledger_conn_id = ledger_conn_id or setting("ledger_conn_id", self.default_conn_name)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the connection's form labels the fields."""
        return {
            "hidden_fields": [],
            "relabeling": {"schema": "Database", "host": "PostgreSQL host (empty: SQLite)"},
            "placeholders": {"extra": '{"path": "interlock.db"}'},
        }

    def get_conn(self) -> Ledger:
        """
        Return the ledger of this Airflow's environment, with the seal's keys if their connection exists.

        :raises ConfigurationError: the connection cannot be used.
        """
        return Ledger.open(self.url(), environment(), seal=sealer())

    def url(self) -> str:
        """Return the ledger's SQLAlchemy URL, with its password."""
        try:
            connection = self.get_connection(self.ledger_conn_id)
        except AirflowNotFoundException:
            return setting("ledger_url", "") or sqlite_url("")
        return url_from(connection)


def url_from(connection: Any) -> str:
    """
    Return the SQLAlchemy URL of an Airflow *connection*.

    :raises ConfigurationError: a host without a database.
    """
    if connection.host:
        if not connection.schema:
            raise ConfigurationError(
                f"connection {connection.conn_id!r} has host {connection.host!r} and no database. "
                "Enter the database in the field Database"
            )
        url = URL.create(
            "postgresql+psycopg",
            username=connection.login,
            password=connection.password,
            host=connection.host,
            port=connection.port,
            database=connection.schema,
        )
        return url.render_as_string(hide_password=False)
    return sqlite_url(str(connection.extra_dejson.get("path") or ""))


def sqlite_url(path: str) -> str:
    """Return the URL of the SQLite file *path*, relative to AIRFLOW_HOME (default: ``interlock.db``)."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return f"sqlite:///{(home / (path or 'interlock.db')).resolve()}"
