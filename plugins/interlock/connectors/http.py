"""
Another system's HTTP interface that recognises a repeated request by its idempotency key.

What the answer says decides, not its status alone. An answer that leaves it open (a page, an empty 200, a 202) is
settled by a look-up. Where there is none (a timeout, a closed line, a 5xx), the effect may have taken place, so
:meth:`HttpTarget.send` never repeats by itself: the caller looks first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import httpx

from interlock.connectors.http_connection import open_client
from interlock.connectors.message import short_message
from interlock.domain.base.backoff import retry_after_seconds
from interlock.domain.base.canonical import canonical_json
from interlock.domain.effects.answer import (
    Reply,
    answer_condition,
    concerns_account,
    is_done,
    is_found,
    is_mixed,
    names_key,
    says_no,
)
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, HttpConnector, Receipt
from interlock.errors import ConfigurationError, ConnectorUnavailable, EffectRefused, InterlockError

_MOST_BYTES = 1_000_000
_LATER = {408, 425, 429}
_SET_UP = {401, 402, 405, 407}
"""Who we are, what is paid for, what the address takes: no fault of the case."""
_MAYBE_SET_UP = {403, 404, 410}
"""About this case, or about the account and the path: a second case shows which."""


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
        self.in_flight = declaration.in_flight
        done, found = declaration.done_when, declaration.found_when
        self._done_when = answer_condition(done) if done else None
        self._found_when = answer_condition(found, of_look=True) if found else None
        self._client = open_client(name, connection, declaration.timeout_seconds)

    def look(self, request: EffectRequest) -> Receipt | None:
        reply = self._ask("GET", self._declaration.look_path, request)
        if reply.status == 404:
            return None
        if 200 <= reply.status < 300:
            found = is_found(reply, self._found_when, key=request.key, business_key=request.business_key)
            if found is not None:
                return _receipt(reply, request) if found else None
            if says_no(reply) and names_key(reply, request.key):
                raise EffectRefused(
                    f"connector {self.name!r} has effect {request.key!r} as one that failed"
                    f"{self._message(reply, request)}"
                )
        raise self._not_now(reply, request, "was asked whether it has") or ConfigurationError(
            f"connector {self.name!r} was asked whether it has effect {request.key!r} and answered {_described(reply)}"
            f"{self._message(reply, request)}, which proves nothing, so the outcome is unknown. "
            f"Check look_path and connection {self._conn_id!r}, or say in found_when what proves that it is there."
        )

    def send(self, request: EffectRequest) -> Receipt:
        reply = self._ask(self._declaration.method, self._declaration.path, request, send=True)
        if is_done(reply, self._done_when):
            return _receipt(reply, request)
        if reply.status == 409:
            return self._after_conflict(reply, request)
        if later := self._not_now(reply, request, "was sent"):
            raise later
        if reply.status < 400:
            return self._after_open_answer(reply, request)
        if reply.status in _SET_UP:
            raise self._set_up(reply, request)
        raise self._refused(reply, request, may_be_set_up=reply.status in _MAYBE_SET_UP)

    def undo(self, request: EffectRequest) -> Receipt:
        path = self._declaration.undo_path
        if path is None:
            raise EffectRefused(f"connector {self.name!r} does not say how to undo an effect; it needs an undo_path")
        reply = self._ask(self._declaration.undo_method, path, request)
        is_undone = 200 <= reply.status < 300 and reply.status != 202 and not reply.is_page and not says_no(reply)
        if is_undone or reply.status in (404, 410):
            return Receipt(reference=request.key, detail={"status": reply.status})
        later = self._not_now(reply, request, "was asked to undo")
        if later or reply.status == 202:
            raise later or self._unknown(request, "answered HTTP 202, for later,")
        raise EffectRefused(
            f"connector {self.name!r} did not undo {request.action!r} of {request.business_key!r}: {_described(reply)}"
            f"{self._message(reply, request)}"
        )

    def close(self) -> None:
        self._client.close()

    def _after_conflict(self, reply: Reply, request: EffectRequest) -> Receipt:
        """409: an earlier attempt has been there, or is under way at this moment."""
        receipt = self.look(request)
        if receipt is None:
            raise ConnectorUnavailable(
                f"connector {self.name!r} answered HTTP 409{self._message(reply, request)} to effect {request.key!r} "
                "and does not have it. An earlier attempt may be under way: look again."
            )
        return receipt

    def _after_open_answer(self, reply: Reply, request: EffectRequest) -> Receipt:
        """2xx or 3xx that does not confirm the effect: a no in words, or open until a look-up settles it."""
        if says_no(reply) and not is_mixed(reply, request.key):
            raise self._refused(reply, request, may_be_set_up=concerns_account(reply))
        try:
            receipt = self.look(request)
        except ConfigurationError as error:
            raise self._unknown(request, f"answered {_described(reply)}, which confirms nothing, ({error})") from None
        if receipt is not None:
            return receipt  # it took the effect, and its answer points elsewhere, or is empty
        if reply.status == 202:
            raise self._unknown(request, "answered HTTP 202, for later, and does not have it yet,")
        if 300 <= reply.status < 400 or reply.is_page:
            raise self._set_up(reply, request)
        raise self._refused(reply, request)

    def _set_up(self, reply: Reply, request: EffectRequest) -> ConfigurationError:
        return ConfigurationError(
            f"connector {self.name!r} answered {_described(reply)}{self._message(reply, request)}; nothing was "
            f"sent. Check the address, the account and the credentials in connection {self._conn_id!r}."
        )

    def _refused(self, reply: Reply, request: EffectRequest, *, may_be_set_up: bool = False) -> EffectRefused:
        error = EffectRefused(
            f"connector {self.name!r} refused {request.action!r} of {request.business_key!r}: {_described(reply)}"
            f"{self._message(reply, request)}"
        )
        error.may_be_set_up = may_be_set_up
        return error

    def _not_now(self, reply: Reply, request: EffectRequest, what: str) -> ConnectorUnavailable | None:
        wait = retry_after_seconds(reply.headers.get("retry-after"), self._now())
        spent = reply.headers.get("x-ratelimit-remaining") == "0"
        is_limit = reply.status == 429 or (reply.status == 403 and (spent or "retry-after" in reply.headers))
        if not is_limit and reply.status not in _LATER and reply.status < 500:
            return None
        error = ConnectorUnavailable(
            f"connector {self.name!r} {what} effect {request.key!r} and answered HTTP {reply.status}"
            f"{self._message(reply, request)}."
        )
        error.retry_after_seconds = wait
        error.asks_to_wait = is_limit or wait is not None
        return error

    def _ask(self, method: str, path: str, request: EffectRequest, *, send: bool = False) -> Reply:
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

    def _exchange(self, request: httpx.Request) -> Reply:
        """Read the whole answer; httpx's own timeout restarts with each piece of it, so the time is kept here."""
        until = time.monotonic() + self.timeout_seconds
        response = self._client.send(request, stream=True)
        try:
            content = b""
            for piece in response.iter_bytes():
                content += piece
                if time.monotonic() > until:
                    raise TimeoutError
                if len(content) > _MOST_BYTES:
                    break
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, headers, content, is_whole=len(content) <= _MOST_BYTES)
        finally:
            response.close()

    def _unknown(self, request: EffectRequest, what: str) -> InterlockError:
        return ConnectorUnavailable(
            f"connector {self.name!r} (connection {self._conn_id!r}) {what} to effect {request.key!r}. Whether it took "
            "place is unknown: look before a repeat."
        )

    def _message(self, reply: Reply, request: EffectRequest) -> str:
        message = short_message(reply.body, request.payload)
        return f" ({message})" if message else ""


def _quoted(value: str) -> str:
    """*value* as one step of a path: a business key ".." must not climb."""
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def _described(reply: Reply) -> str:
    return f"HTTP {reply.status}" + (" with a web page" if reply.is_page and reply.status < 400 else "")


def _receipt(reply: Reply, request: EffectRequest) -> Receipt:
    named = reply.body.get("id") if isinstance(reply.body, dict) else None
    location = reply.headers.get("location")
    is_named = isinstance(named, (str, int)) and not isinstance(named, bool) and named != ""
    reference = str(named) if is_named else location or request.key
    if not reference.isprintable():  # neither stored nor shown
        reference = request.key
    detail = {"status": reply.status} | ({"location": location} if location and location.isprintable() else {})
    return Receipt(reference=reference, detail=detail)
