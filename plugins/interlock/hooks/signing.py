"""The private key that exported versions are signed with, from an Airflow connection."""

from __future__ import annotations

from interlock.errors import ConfigurationError
from interlock.hooks.connection import find_connection

CONN_ID = "interlock_signing"


def signing_key() -> str:
    """
    Return the private key, base64.

    :raises ConfigurationError: there is no such connection, or it has no password.
    """
    connection = find_connection(
        CONN_ID, wanted_for="the export of a version", example="--conn-type generic --conn-password <private key>"
    )
    if not connection.password:
        raise ConfigurationError(
            f"connection {CONN_ID!r} has no password for the private key. Generate one: airflow interlock policy key"
        )
    return str(connection.password)
