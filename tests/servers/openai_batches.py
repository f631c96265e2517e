"""
A server on loopback with OpenAI's batch interface beside its chat completions: files go up, a batch runs when the test
says so, its answers come down. What a request in a batch is answered is scripted as in :mod:`servers.openai_like`.

It can do what real ones do: lose the answer of a request that it carried out, have no room, leave lines out, repeat
them, tell of errors, expire.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from typing import Any

from servers.openai_like import Body, OpenAILike, _completion, _handler, _Server

COUNTS = {"total": 0, "completed": 0, "failed": 0}


class OpenAIBatches(OpenAILike):
    """The server, running from ``with`` to its end."""

    def __init__(self, answer: Any = None, *, ends_by_itself: bool = False) -> None:
        super().__init__(answer)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Body] = {}
        """By id, in the order of their creation."""
        self.ends_by_itself = ends_by_itself
        """Batches are completed as soon as they are created."""
        self.refuses: dict[str, int] = {}
        """HTTP status by what is refused: ``upload``, ``create``, ``look``."""
        self.loses: list[str] = []
        """What is carried out and not answered, once each: ``upload``, ``create``."""
        self.looked = 0
        self._server.server_close()
        self._server = _Server(("127.0.0.1", 0), _with_batches(self))

    @property
    def newest(self) -> Body:
        return list(self.batches.values())[-1]

    def lines(self, batch: Body | None = None) -> list[Body]:
        """Return the requests of a batch, which stay known when its file is deleted; left out, the newest."""
        lines: list[Body] = (batch or self.newest)["lines"]
        return lines

    def end(
        self,
        status: str = "completed",
        *,
        without: Collection[int] = (),
        coded: dict[int, str] | None = None,
        twice: bool = False,
        backwards: bool = False,
        batch: Body | None = None,
    ) -> None:
        """
        End a batch; left out, the newest.

        :param without: requests, by place, of which nothing is told.
        :param coded: requests of which the error file tells with a code, such as ``batch_expired``.
        :param twice: each answer has two lines, the second with another text.
        """
        batch = batch or self.newest
        good, bad = [], []
        for place, line in enumerate(self.lines(batch)):
            if place in without:
                continue
            told: Body = {"id": f"batch_req_{place}", "custom_id": line["custom_id"], "response": None, "error": None}
            if place in (coded or {}):
                bad.append(told | {"error": {"code": (coded or {})[place], "message": "not run"}})
                continue
            step = self._step(line["body"])
            said = step.body if step.body is not None else _completion(step, line["body"])
            told["response"] = {"status_code": step.status, "request_id": "r", "body": said}
            (good if step.status == 200 else bad).append(told)
            if twice and step.status == 200:
                other = json.loads(json.dumps(told).replace("tool_calls", "tool_calls_of_the_repeat"))
                good.append(other)
        if backwards:
            good.reverse()
        for field, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[field] = f"file-{field}-{batch['id']}"
                self.files[batch[field]] = "\n".join(map(json.dumps, lines)).encode()
        batch["status"] = status

    def _step(self, body: Body) -> Any:
        with self._lock:
            last = json.dumps(body["messages"][-1])
            return next((step for text, step in self._rules if text in last), self.answer)

    def _upload(self, raw: bytes) -> Body:
        content = raw.split(b'filename="', 1)[1].split(b"\r\n\r\n", 1)[1]
        with self._lock:
            name = f"file-{len(self.files) + 1}"
            self.files[name] = re.split(rb"\r\n--", content, maxsplit=1)[0]
        return {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch",
                "status": "processed"}  # fmt: skip

    def _create(self, body: Body) -> Body:
        with self._lock:
            name = f"batch_{len(self.batches) + 1}"
            self.batches[name] = {
                "id": name,
                "object": "batch",
                "endpoint": body["endpoint"],
                "input_file_id": body["input_file_id"],
                "completion_window": body["completion_window"],
                "status": "in_progress",
                "created_at": int(time.time()),
                "metadata": body.get("metadata"),
                "request_counts": COUNTS,
                "lines": [json.loads(line) for line in self.files[body["input_file_id"]].decode().splitlines()],
            }
            batch = self.batches[name]
        if self.ends_by_itself:
            self.end(batch=batch)
        return batch


def _with_batches(server: OpenAIBatches) -> Any:
    class Handler(_handler(server)):  # type: ignore[misc]  # a class that a function makes
        def do_POST(self) -> None:
            if self.path == "/v1/chat/completions":
                super().do_POST()
                return
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/v1/files":
                self._carry_out("upload", lambda: server._upload(raw))
            elif self.path == "/v1/batches":
                self._carry_out("create", lambda: server._create(json.loads(raw)))
            elif self.path.endswith("/cancel"):
                batch = server.batches[self.path.split("/")[-2]]
                if batch["status"] == "in_progress":
                    batch["status"] = "cancelling"
                self._send(200, batch, {})
            else:
                self._send(404, {}, {})

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            parts = path.split("/")
            if path == "/v1/batches":
                newest = list(server.batches.values())[::-1]
                after = re.search(r"after=(\w+)", query)
                start = next((n + 1 for n, b in enumerate(newest) if after and b["id"] == after[1]), 0)
                page = newest[start : start + 2]  # small pages: the client has to turn them
                self._send(200, {"object": "list", "data": page, "has_more": start + 2 < len(newest)}, {})
            elif parts[2] == "batches":
                server.looked += 1
                known = server.batches.get(parts[3])
                status = server.refuses.get("look", 200 if known else 404)
                self._send(status, known if status == 200 else {}, {})
            elif parts[3] in server.files:
                self._send(200, server.files[parts[3]], {})
            else:
                self._send(404, {}, {})

        def do_DELETE(self) -> None:
            name = self.path.split("/")[3]
            self._send(
                200 if server.files.pop(name, None) else 404, {"id": name, "deleted": True, "object": "file"}, {}
            )

        def _carry_out(self, what: str, act: Any) -> None:
            if what in server.refuses:
                self._send(server.refuses[what], {"error": {"message": "no", "code": "no"}}, {})
                return
            done = act()
            if what in server.loses:
                server.loses.remove(what)
                self.close_connection = True
                return
            self._send(200, done, {})

    return Handler
