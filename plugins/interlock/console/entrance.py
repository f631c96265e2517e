"""
What every request passes before a route sees it.

A body is read as JSON the way :mod:`interlock.domain.base.door` reads it, so that nothing comes in which the ledger
cannot hold and no answer can be made of. ``HEAD`` is answered like ``GET``, without the body.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.domain.base.door import MAX_CHARACTERS, read_json
from interlock.errors import UnfitValue

Refuse = Callable[[Request, int, str], Response]
"""From a request, a status and a message to the response."""


class Entrance:
    """ASGI middleware that refuses what cannot be a request of the console's."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it in words."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        request = Request(scope)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            await self.refuse(request, 422, "the address holds a NUL character, which no name has")(
                scope, receive, send
            )
            return
        if _is_json(request):
            body = await _read(receive)
            if body is None:
                await self.refuse(request, 413, f"the body is larger than {MAX_CHARACTERS} bytes")(scope, receive, send)
                return
            try:
                if body:
                    read_json(body)
            except UnfitValue as error:
                message = f"the body {error.problem}" if not error.path else f"the body's {error.path} {error.problem}"
                await self.refuse(request, 422, message)(scope, receive, send)
                return
            receive = _again(body, receive)
        await self.app(scope, receive, send)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.method not in ("GET", "HEAD", "OPTIONS") and kind.endswith(("/json", "+json"))


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body; None: it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":  # whoever asked is gone
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_CHARACTERS:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives *body* once more, and then what comes after it."""
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
