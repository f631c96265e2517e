"""
A server on loopback that answers ``POST /v1/chat/completions`` as OpenAI's does, or fails as real ones do.

A :class:`Step` says how one request is answered. Steps of :meth:`OpenAILike.script` are used up in order, those of
:meth:`OpenAILike.when` stand for every request whose last message holds a text; any other request gets
``OpenAILike.answer``. Name the model ``openai-chat:<name>``: the prefix ``openai:`` speaks the Responses API.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """How one request is answered."""

    status: int = 200
    body: Any = None
    """Of an error, or the raw bytes of an answer; None for a completion."""
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None
    """What the model says: an object, or a function of the request's body."""
    text: str | None = None
    """Said as prose, whatever was asked for."""
    arguments: str | None = None
    """Said as the arguments of the tool call, letter by letter."""
    refusal: str | None = None
    finish_reason: str | None = None
    hangs: bool = False
    closes: bool = False
    """The line goes down in the middle of the answer."""
    pause: float = 0.0
    """Seconds before each byte of the answer's body."""
    input_tokens: int = 100
    output_tokens: int = 20
    cached_tokens: int = 0


def ok(payload: Any, **tokens: int) -> Step:
    return Step(payload=payload, **tokens)


def prose(text: str) -> Step:
    return Step(text=text)


def broken_json(text: str = '{"label": "bill') -> Step:
    return Step(arguments=text)


def cut_off(text: str) -> Step:
    return Step(text=text, finish_reason="length")


def error(status: int, code: str = "server_error", message: str = "went wrong", **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(status=status, body={"error": {"message": message, "type": code, "code": code}}, headers=named)


def rate_limited(retry_after: str) -> Step:
    return error(429, "rate_limit_exceeded", Retry_After=retry_after)


def refusal(text: str = "I can't help with that.") -> Step:
    return Step(refusal=text)


def content_filtered() -> Step:
    return Step(text="", finish_reason="content_filter")


def not_json(body: bytes = b"<html>It works!</html>") -> Step:
    return Step(body=body)


HANG = Step(hangs=True)
CLOSE = Step(closes=True)
DRIBBLE = Step(pause=0.2)
"""A byte now and then: a client that times each read alone would wait for minutes."""


class OpenAILike:
    """The server, running from ``with`` to its end."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = ok(answer if answer is not None else {})
        self.requests: list[Body] = []
        """The bodies that came in, in order."""
        self.authorizations: list[str | None] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.before_answer: Callable[[Body], None] = lambda body: None
        """Called in the request's own thread: a barrier here shows how many are really there at once."""
        self.choose: Callable[[Body], Step | None] = lambda body: None
        """Says how a request is answered, before all else; None: as the script and the rules say."""
        self._steps: list[Step] = []
        self._rules: list[tuple[str, Step]] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def total(self) -> int:
        return len(self.requests)

    def script(self, *steps: Step) -> None:
        """Answer the next requests so, one step each."""
        with self._lock:
            self._steps.extend(steps)

    def when(self, text: str, step: Step) -> None:
        """Answer so whenever the last message holds *text*."""
        with self._lock:
            self._rules.append((text, step))

    def __enter__(self) -> OpenAILike:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, body: Body, authorization: str | None) -> Step:
        with self._lock:
            self.requests.append(body)
            self.authorizations.append(authorization)
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            chosen = self.choose(body)
            if chosen is not None:
                return chosen
            if self._steps:
                return self._steps.pop(0)
            last = json.dumps(body["messages"][-1])
            return next((step for text, step in self._rules if text in last), self.answer)

    def _leave(self) -> None:
        with self._lock:
            self.in_flight -= 1


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting is what some tests are about."""


def _handler(server: OpenAILike) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/v1/chat/completions":
                self._send(404, {"error": {"message": f"no {self.path}", "code": "not_found"}}, {})
                return
            body = json.loads(raw)
            step = server._take(body, self.headers.get("Authorization"))
            try:
                server.before_answer(body)
                self._follow(step, body)
            finally:
                server._leave()

        def _follow(self, step: Step, body: Body) -> None:
            if step.hangs:
                server._released.wait(30)
                self.close_connection = True
            elif step.closes:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                self.wfile.write(b'Content-Length: 999\r\n\r\n{"id')
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                said = step.body if step.body is not None else _completion(step, body)
                self._send(step.status, said, step.headers, step.pause)

        def _send(self, status: int, body: Any, headers: Mapping[str, str], pause: float = 0.0) -> None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            if pause:
                self.end_headers()
                for position in range(len(raw)):
                    if server._released.wait(pause):
                        break
                    self.wfile.write(raw[position : position + 1])
                self.close_connection = True
                return
            self._headers_buffer.append(b"\r\n" + raw)  # type: ignore[attr-defined]  # one packet: no wait for an ACK
            self.flush_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


def _completion(step: Step, body: Body) -> Body:
    payload = step.payload(body) if callable(step.payload) else step.payload
    said = step.arguments if step.arguments is not None else json.dumps(payload)
    message: Body = {"role": "assistant", "content": None}
    reason = "stop"
    if step.refusal is not None:
        message["refusal"] = step.refusal
    elif step.text is not None:
        message["content"] = step.text
    elif body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        message["tool_calls"] = [
            {"id": "call_1", "type": "function", "function": {"name": name, "arguments": said}},
        ]
        reason = "tool_calls"
    else:
        message["content"] = said
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": step.finish_reason or reason}],
        "usage": {
            "prompt_tokens": step.input_tokens,
            "completion_tokens": step.output_tokens,
            "total_tokens": step.input_tokens + step.output_tokens,
            "prompt_tokens_details": {"cached_tokens": step.cached_tokens},
        },
    }
