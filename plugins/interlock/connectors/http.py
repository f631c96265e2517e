"""
Another system's HTTP interface that recognises a repeated request by its idempotency key.

An answer is what decides. Where there is none (a timeout, a closed line, a 5xx), the effect may have taken place, so
:meth:`HttpTarget.send` never repeats by itself: the caller looks first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from interlock.connectors.http_connection import open_client
from interlock.connectors.message import short_message
from interlock.domain.base.backoff import retry_after_seconds
from interlock.domain.base.canonical import canonical_json
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, HttpConnector, Receipt
from interlock.errors import ConfigurationError, ConnectorUnavailable, EffectRefused, InterlockError

_MOST_BYTES = 1_000_000
_LATER = {408, 425, 429}


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class HttpTarget:
    """
    Sends effects to an HTTP interface.

    :param name: the connector's name.
    :param declaration: its text in ``ecosystem.yaml``.
    :param connection: where the interface is, and the credentials for it.
    :param now: the clock that a ``Retry-After`` date is compared with.
    :raises ConfigurationError: the connection holds no usable address.
    """

    kind = "http"

    def __init__(
        self,
        name: str,
        declaration: HttpConnector,
        connection: ConnectionFields,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.timeout_seconds = declaration.timeout_seconds
        self._declaration = declaration
        self._conn_id = connection.conn_id
        self._now = now
        self._client = open_client(name, connection, declaration.timeout_seconds)

    def look(self, request: EffectRequest) -> Receipt | None:
        reply = self._ask("GET", self._declaration.look_path, request)
        if reply.status == 404:
            return None
        if 200 <= reply.status < 300:
            return _receipt(reply, request)
        raise self._not_now(reply, request, "was asked whether it has") or ConfigurationError(
            f"connector {self.name!r} was asked whether it has effect {request.key!r} and answered HTTP {reply.status}"
            f"{self._message(reply, request)}, so the outcome is unknown. "
            f"Check look_path and connection {self._conn_id!r}."
        )

    def send(self, request: EffectRequest) -> Receipt:
        reply = self._ask(self._declaration.method, self._declaration.path, request, send=True)
        if 200 <= reply.status < 300:
            return _receipt(reply, request)
        if reply.status == 409:
            return self._after_conflict(reply, request)
        if later := self._not_now(reply, request, "was sent"):
            raise later
        if reply.status < 400 and (receipt := self.look(request)) is not None:
            return receipt  # it took the effect, and points to a page about it
        if reply.status < 400 or reply.status in (401, 407):
            raise ConfigurationError(
                f"connector {self.name!r} answered HTTP {reply.status}{self._message(reply, request)}; nothing was "
                f"sent. Check the address and the credentials in connection {self._conn_id!r}."
            )
        raise EffectRefused(
            f"connector {self.name!r} refused {request.action!r} of {request.business_key!r}: HTTP {reply.status}"
            f"{self._message(reply, request)}"
        )

    def undo(self, request: EffectRequest) -> Receipt:
        path = self._declaration.undo_path
        if path is None:
            raise EffectRefused(f"connector {self.name!r} does not say how to undo an effect; it needs an undo_path")
        reply = self._ask(self._declaration.undo_method, path, request)
        if 200 <= reply.status < 300 or reply.status in (404, 410):
            return Receipt(reference=request.key, detail={"status": reply.status})
        if later := self._not_now(reply, request, "was asked to undo"):
            raise later
        raise EffectRefused(
            f"connector {self.name!r} did not undo {request.action!r} of {request.business_key!r}: HTTP {reply.status}"
            f"{self._message(reply, request)}"
        )

    def close(self) -> None:
        self._client.close()

    def _after_conflict(self, reply: _Reply, request: EffectRequest) -> Receipt:
        """409: an earlier attempt has been there, or is under way at this moment."""
        receipt = self.look(request)
        if receipt is None:
            raise ConnectorUnavailable(
                f"connector {self.name!r} answered HTTP 409{self._message(reply, request)} to effect {request.key!r} "
                "and does not have it. An earlier attempt may be under way: look again."
            )
        return receipt

    def _not_now(self, reply: _Reply, request: EffectRequest, what: str) -> ConnectorUnavailable | None:
        if reply.status not in _LATER and reply.status < 500:
            return None
        error = ConnectorUnavailable(
            f"connector {self.name!r} {what} effect {request.key!r} and answered HTTP {reply.status}"
            f"{self._message(reply, request)}."
        )
        error.retry_after_seconds = retry_after_seconds(reply.headers.get("Retry-After"), self._now())
        return error

    def _ask(self, method: str, path: str, request: EffectRequest, *, send: bool = False) -> _Reply:
        filled = path.format(
            key=_quoted(request.key), business_key=_quoted(request.business_key), action=_quoted(request.action)
        )
        headers = {self._declaration.idempotency_header: request.key} if send else {}
        content = canonical_json(dict(request.payload)).encode() if send else None
        if send:
            headers["Content-Type"] = "application/json"
        try:
            return self._exchange(self._client.build_request(method, filled, headers=headers, content=content))
        except (httpx.TimeoutException, TimeoutError):
            raise self._unknown(request, f"did not answer within {self.timeout_seconds:g} s") from None
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"connector {self.name!r} cannot use the address or headers of connection {self._conn_id!r}: "
                f"{type(error).__name__}"
            ) from None
        except httpx.HTTPError as error:
            raise self._unknown(request, f"gave no answer ({type(error).__name__})") from None

    def _exchange(self, request: httpx.Request) -> _Reply:
        """Read the whole answer; httpx's own timeout restarts with each piece of it, so the time is kept here."""
        until = time.monotonic() + self.timeout_seconds
        response = self._client.send(request, stream=True)
        try:
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if time.monotonic() > until:
                    raise TimeoutError
                if len(body) > _MOST_BYTES:
                    break
            return _Reply(response.status_code, response.headers, body)
        finally:
            response.close()

    def _unknown(self, request: EffectRequest, what: str) -> InterlockError:
        return ConnectorUnavailable(
            f"connector {self.name!r} (connection {self._conn_id!r}) {what} to effect {request.key!r}. Whether it took "
            "place is unknown: look before a repeat."
        )

    def _message(self, reply: _Reply, request: EffectRequest) -> str:
        message = short_message(reply.json(), request.payload)
        return f" ({message})" if message else ""


def _quoted(value: str) -> str:
    """*value* as one step of a path: a business key ".." must not climb."""
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def _receipt(reply: _Reply, request: EffectRequest) -> Receipt:
    body = reply.json()
    named = body.get("id") if isinstance(body, dict) else None
    location = reply.headers.get("Location")
    reference = str(named) if isinstance(named, (str, int)) and named != "" else location or request.key
    detail = {"status": reply.status} | ({"location": location} if location else {})
    return Receipt(reference=reference, detail=detail)
