"""
A server on loopback that stores effects by their idempotency key, or misbehaves as other people's systems do.

``POST /effects`` stores one, ``GET /effects/<key>`` finds it. What counts is :attr:`EffectTarget.stored`: every effect
that took place, repeats included, which is more than one per key only with ``on_repeat="store"``.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal


@dataclass(frozen=True)
class Step:
    """How one request to store an effect is answered."""

    stores: bool = False
    answer: Literal["reply", "lose", "hang"] = "reply"
    """``lose``: the line is closed without a word."""
    status: int = 201
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


OK = Step(stores=True)
LOSE_ANSWER = Step(stores=True, answer="lose")
"""Stores the effect, and nobody hears of it."""
CLOSE_BEFORE = Step(answer="lose")
HANG_BEFORE = Step(answer="hang")
HANG_AFTER = Step(stores=True, answer="hang")
FAIL_BEFORE = Step(status=500, body={"message": "database gone"})
FAIL_AFTER = Step(stores=True, status=500, body={"message": "stored, and then something broke"})


def refuse(status: int, body: Any = None) -> Step:
    return Step(status=status, body=body)


def rate_limited(retry_after: str) -> Step:
    return Step(status=429, body={"message": "slow down"}, headers={"Retry-After": retry_after})


def redirect(location: str, *, stores: bool = False) -> Step:
    return Step(stores=stores, status=303, headers={"Location": location})


@dataclass(frozen=True)
class Stored:
    """One effect that took place."""

    key: str
    path: str
    method: str
    body: Any
    headers: Mapping[str, str]


class EffectTarget:
    """
    The server, running from ``with`` to its end.

    :param on_repeat: what a key that is there already gets: its first answer again, a 409, or (a system without
        detection) a second effect.
    """

    def __init__(self, on_repeat: Literal["replay", "conflict", "store"] = "replay") -> None:
        self.on_repeat = on_repeat
        self.stored: list[Stored] = []
        self.received = 0
        self.looked = 0
        self.undone: list[str] = []
        """The key of every request to undo, in order."""
        self.on_undo: tuple[int, Literal["reply", "lose"]] = (200, "reply")
        self.look_status: int | None = None
        """When set, every look is answered so."""
        self._steps: list[Step] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *steps: Step) -> None:
        """Answer the next requests to store an effect so, one step each; after them, as a good system does."""
        with self._lock:
            self._steps.extend(steps)

    def behave(self) -> None:
        """Answer as a good system does from now on, whatever the script has left."""
        with self._lock:
            self._steps.clear()

    def keys(self) -> list[str]:
        """The key of every effect that took place, in order."""
        return [effect.key for effect in self.stored]

    def __enter__(self) -> EffectTarget:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, effect: Stored) -> Step:
        with self._lock:
            self.received += 1
            step = self._steps.pop(0) if self._steps else OK
            is_repeat = effect.key in self.keys()
            if step.stores and (not is_repeat or self.on_repeat == "store"):
                self.stored.append(effect)
            elif step.stores and self.on_repeat == "conflict":
                return Step(status=409, body={"message": "this key has been used"})
            return step


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting is what some tests are about."""


def _handler(target: EffectTarget) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            target.looked += 1
            key = self.path.rpartition("/")[2]
            found = next((effect for effect in target.stored if effect.key == key), None)
            if target.look_status is not None:
                self._send(target.look_status, {"message": "cannot look"}, {})
            elif found is None:
                self._send(404, {"message": "no such effect"}, {})
            else:
                self._send(200, {"id": f"effect-{key[:12]}"}, {})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            key = self.headers.get("Idempotency-Key", "")
            effect = Stored(key, self.path, self.command, json.loads(raw), dict(self.headers))
            step = target._take(effect)
            if step.answer == "hang":
                target._released.wait(30)
                self.close_connection = True
            elif step.answer == "lose":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                done = step.stores and step.status == 201
                body = step.body if step.body is not None else {"id": f"effect-{key[:12]}"} if done else {}
                located = {"Location": f"/effects/{key}"} if done else {}
                self._send(step.status, body, {**located, **step.headers})

        do_PUT = do_PATCH = do_POST

        def do_DELETE(self) -> None:
            key = self.path.rpartition("/")[2]
            target.undone.append(key)
            status, answer = target.on_undo
            if status < 300:
                found = [effect for effect in target.stored if effect.key == key]
                status = status if found else 404
                target.stored = [effect for effect in target.stored if effect.key != key]
            if answer == "lose":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self._send(status, {"message": "asked to undo"}, {})

        def _send(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
