"""Opens the connector of an external system with an Airflow connection."""

from __future__ import annotations

from interlock.connectors.load import open_connector
from interlock.domain.effects.connector import ConnectionFields, Connector, ConnectorDeclaration
from interlock.errors import ConfigurationError
from interlock.hooks.connection import find_connection

_EXAMPLES = {
    "outbox": '--conn-type generic --conn-extra \'{"path": "/srv/outbox"}\'',
    "mail": "--conn-type smtp --conn-host mail.example.com --conn-login me --conn-password … "
    '--conn-extra \'{"from_email": "interlock@example.com"}\'',
    "http": "--conn-type http --conn-host https://tickets.example.com/api --conn-password <token>",
}


def open_connector_from_airflow(name: str, declaration: ConnectorDeclaration) -> Connector:
    """
    Return the connector *name* with the connection that its declaration names; the caller closes it.

    :raises ConfigurationError: there is no such connection, or it lacks what the connector needs.
    """
    connection = find_connection(
        declaration.conn_id, wanted_for=f"connector {name!r}", example=_EXAMPLES[declaration.kind]
    )
    try:
        extra = connection.extra_dejson
    except ValueError:
        raise ConfigurationError(
            f"the extra of connection {declaration.conn_id!r} is not JSON, and connector {name!r} needs it. Correct it"
        ) from None
    fields = ConnectionFields(
        conn_id=declaration.conn_id,
        host=connection.host,
        schema=connection.schema,
        login=connection.login,
        password=connection.password,
        port=connection.port,
        extra=extra,
    )
    return open_connector(name, declaration, fields)
