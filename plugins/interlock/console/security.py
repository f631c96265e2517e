"""
Headers that every answer of the console carries.

Airflow sets none for a plugin's app. ``frame-ancestors 'self'`` keeps other sites from framing a page with a button
that signs off; ``default-src 'self'`` keeps a customer's text from running or loading anything, should it ever escape
escaping. Plain ASGI, because a middleware of Starlette's base class keeps a response open until its background task
is done.
"""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


STATIC = re.compile(r"/(?:static|reporting)/")


class SecurityHeaders:
    """ASGI middleware that adds the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, and add to the head of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers.setdefault("Cache-Control", "no-cache" if STATIC.search(scope["path"]) else "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)
