"""
The keys that the ledger's rows are sealed with, from the Airflow connection ``interlock_seal``.

Its password is the key and its login the key's id; ``extra.previous`` holds the keys that it replaced, by id. The key
must not be where the ledger is: who has both can forge what the other one alone cannot.
"""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from interlock.domain.base.seal import Sealer
from interlock.errors import ConfigurationError

CONN_ID = "interlock_seal"
DEFAULT_ID = "1"


def sealer() -> Sealer | None:
    """
    Return the keys; None: there is no such connection.

    :raises ConfigurationError: it cannot be used.
    """
    try:
        connection = BaseHook.get_connection(CONN_ID)
    except AirflowNotFoundException:
        return None
    where = f"connection {CONN_ID!r}"
    if not connection.password:
        raise ConfigurationError(f"{where} has no password for the key. Make one: openssl rand -hex 32")
    previous = connection.extra_dejson.get("previous") or {}
    if not isinstance(previous, dict):
        raise ConfigurationError(f'{where}: extra.previous holds earlier keys by id: {{"previous": {{"1": "…"}}}}')
    keys = {str(name): str(key) for name, key in previous.items()}
    return Sealer.of(connection.login or DEFAULT_ID, connection.password, keys, where=where)
