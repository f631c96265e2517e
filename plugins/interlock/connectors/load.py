"""From a connector's declaration and the fields of a connection to the connector itself."""

from __future__ import annotations

from interlock.domain.effects.connector import (
    ConnectionFields,
    Connector,
    ConnectorDeclaration,
    MailConnector,
    OutboxConnector,
)
from interlock.errors import ConfigurationError


def open_connector(name: str, declaration: ConnectorDeclaration, connection_fields: ConnectionFields) -> Connector:
    """
    Return the connector that *declaration* describes; the caller closes it.

    :param name: its name in ``ecosystem.yaml``, for messages.
    :param connection_fields: of the connection that the declaration's ``conn_id`` names.
    :raises ConfigurationError: the connection does not hold what this kind of connector needs.
    """
    if declaration.conn_id != connection_fields.conn_id:
        raise ConfigurationError(
            f"connector {name!r} is declared with connection {declaration.conn_id!r} and was given "
            f"{connection_fields.conn_id!r}"
        )
    if isinstance(declaration, OutboxConnector):
        from interlock.connectors.outbox import open_outbox

        return open_outbox(name, declaration, connection_fields)
    if isinstance(declaration, MailConnector):
        from interlock.connectors.mail import MailServer

        return MailServer(name, declaration, connection_fields)
    from interlock.connectors.http import HttpTarget

    return HttpTarget(name, declaration, connection_fields)
