"""
What an Airflow connection of type ``http`` says of a system: its address, who we are, and whom to trust.

The extra is read as Airflow's own HTTP hook reads it: ``headers`` is a mapping of them, and any other text in it is a
header too, unless its key is one of the hook's settings. A password without a login is a bearer token.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from interlock.domain.effects.connector import ConnectionFields
from interlock.errors import ConfigurationError

_SETTINGS = {
    *("headers", "verify", "cert", "proxies", "proxy", "timeout", "stream", "allow_redirects", "follow_redirects"),
    *("max_redirects", "trust_env", "check_response", "auth_type", "auth_kwargs", "session_conf", "cafile"),
}


def open_client(name: str, connection: ConnectionFields, timeout_seconds: float) -> httpx.Client:
    """
    Return a client for the system of *connection*; redirections are not followed.

    :param name: the connector, for messages.
    :raises ConfigurationError: the connection holds no usable address, headers or certificates.
    """
    headers = {"Accept": "application/json", **_headers(name, connection)}
    if connection.password and not connection.login:
        headers["Authorization"] = f"Bearer {connection.password}"
    try:
        return httpx.Client(
            base_url=base_url(name, connection),
            headers=headers,
            auth=(connection.login, connection.password or "") if connection.login else None,
            verify=_trusted(connection.extra),
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
    except (httpx.InvalidURL, ValueError, OSError) as error:
        raise ConfigurationError(
            f"connector {name!r} cannot use the address, headers or certificates of connection "
            f"{connection.conn_id!r}: {type(error).__name__}. Check its host, its extra and its 'cafile'."
        ) from None


def base_url(name: str, connection: ConnectionFields) -> str:
    """
    Return the address that *connection* holds: its host, which may be a whole address, else schema, host and port.

    :raises ConfigurationError: it has no host, or one that is not reached by HTTP.
    """
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise ConfigurationError(
            f"connector {name!r} needs the address of its system, and connection {connection.conn_id!r} has no host. "
            "Set it to a whole address: https://tickets.example.com/api"
        )
    if "://" not in host:
        host = f"{connection.schema if connection.schema in ('http', 'https') else 'http'}://{host}"
    scheme, _, rest = host.partition("://")
    if scheme not in ("http", "https"):
        raise ConfigurationError(
            f"connector {name!r} speaks http and https, and connection {connection.conn_id!r} has a host that starts "
            f"with {scheme + '://'!r}"
        )
    authority, slash, path = rest.partition("/")
    if connection.port and ":" not in authority.rpartition("]")[2]:
        authority = f"{authority}:{connection.port}"
    return f"{scheme}://{authority}{slash}{path}"


def _headers(name: str, connection: ConnectionFields) -> dict[str, str]:
    given = connection.extra.get("headers") or {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"connector {name!r}: 'headers' in the extra of connection {connection.conn_id!r} must be a JSON object"
        )
    loose = {key: value for key, value in connection.extra.items() if isinstance(value, str) and key not in _SETTINGS}
    return loose | {str(key): str(value) for key, value in given.items()}


def _trusted(extra: Mapping[str, Any]) -> ssl.SSLContext | bool:
    if extra.get("verify") in (False, "false", "False"):
        return False
    if extra.get("cafile"):
        return ssl.create_default_context(cafile=str(extra["cafile"]))
    return True
