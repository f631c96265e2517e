"""
An HTTP server on loopback that hands out rows, well or badly, as a test tells it.

A route is a list of replies: each request takes the next one, and the last one stays.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer."""

    body: Any = b""
    """Bytes, text, or a value that goes out as JSON."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Promise the whole body and close the connection after so many bytes."""

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    path: str
    headers: dict[str, str]


class RowServer:
    """``with RowServer({"/rows": [Reply(...)]}) as server:`` then ``server.url("/rows")``."""

    def __init__(self, routes: dict[str, list[Reply]]) -> None:
        self.routes = {path: list(replies) for path, replies in routes.items()}
        self.asked: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(Asked(self.path, {key.lower(): value for key, value in self.headers.items()}))
                replies = outer.routes.get(self.path) or [Reply("no such path", 404)]
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                content = reply.content()
                self.send_response_only(reply.status)
                self.send_header("Content-Length", str(len(content)))
                for key, value in ({"Content-Type": "application/json"} | reply.headers).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content[: reply.cut_after])
                self.close_connection = True

            def log_message(self, *args: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def __enter__(self) -> RowServer:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
