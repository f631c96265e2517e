"""
What another system's answer means: it confirms the effect, it says no, or it leaves that open.

A status code is no confirmation by itself. Systems answer 200 with ``ok: false``, with a page to sign in, with an empty
body. Without a condition of the connector's own, only what is unmistakable confirms; what is open is looked up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cel_expr_python import cel

from interlock.domain.base.expression import Expression

_TYPES = {"status": cel.Type.INT, "headers": cel.Type.Map(cel.Type.STRING, cel.Type.STRING), "body": cel.Type.DYN}
_LOOK_TYPES = {**_TYPES, "key": cel.Type.STRING, "business_key": cel.Type.STRING}
_WITH_CONTENT = {200, 201, 203}
_WITHOUT_CONTENT = {201, 204, 205}
_VERDICTS = ("ok", "success", "succeeded")
_LOOK_VERDICTS = ("found", "exists")
_FAILED = {"error", "fail", "failed", "failure"}
_NO = {False, "false", "False", "no"}
_IDS = ("id", "_id", "uuid", "reference")
_KEY_FIELDS = {"idempotencykey", "idempotencytoken", "effectkey"}
_ACCOUNT = re.compile(
    r"auth|token|credential|api.?key|scope|permission|forbidden|access.?denied|account|quota|billing|not_in_channel",
    re.IGNORECASE,
)


def answer_condition(text: str, *, of_look: bool = False) -> Expression:
    """
    Compile a condition over ``status``, ``headers`` and ``body``; one over a look-up reads ``key`` and
    ``business_key`` too.

    :raises PolicyError: with the column, the reason and the nearest known name.
    """
    return Expression(text, _LOOK_TYPES if of_look else _TYPES)


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    content: bytes
    is_whole: bool = True
    """The content is not longer than what is read of an answer."""

    @cached_property
    def body(self) -> Any:
        """The content as JSON; None: it is not JSON, or there is none."""
        if not self.is_whole:
            return None
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None

    @property
    def is_page(self) -> bool:
        """Whether it is a web page: for people, such as one to sign in."""
        start = self.content[:200].lstrip().lower()
        return "html" in self.headers.get("content-type", "").lower() or start.startswith((b"<!doctype html", b"<html"))

    def inputs(self) -> dict[str, Any]:
        """Return what a condition may read."""
        return {"status": self.status, "headers": dict(self.headers), "body": self.body}


def is_done(reply: Reply, condition: Expression | None) -> bool:
    """Tell whether *reply* confirms the effect: by *condition*, or by what is unmistakable."""
    if condition is not None:
        return condition.evaluate(reply.inputs()).value is True
    if reply.status in _WITHOUT_CONTENT and not reply.content.strip():
        return True
    return reply.status in _WITH_CONTENT and not reply.is_page and _holds_something(reply.body) and not says_no(reply)


def is_found(reply: Reply, condition: Expression | None, *, key: str, business_key: str) -> bool | None:
    """
    Tell what a look-up's *reply* (of the class 2xx) proves: the effect is there, surely not there, or (None) neither.

    Without *condition* the answer must name the key, or be the one thing that is found at the key's own address: an
    object with an id.
    """
    if condition is not None:
        value = condition.evaluate(reply.inputs() | {"key": key, "business_key": business_key}).value
        return value if value or reply.status == 200 else None
    if reply.status not in (200, 203) or reply.is_page or not _holds_something(reply.body) or says_no(reply):
        return None
    if isinstance(reply.body, dict) and any(_is_no(reply.body.get(name, True)) for name in _LOOK_VERDICTS):
        return None
    return True if names_key(reply, key) or (_has_id(reply.body) and not _names_another(reply, key)) else None


def is_mixed(reply: Reply, key: str) -> bool:
    """Tell whether an answer that says no holds something of an effect too, such as the data beside GraphQL errors."""
    data = reply.body.get("data") if isinstance(reply.body, dict) else None
    holds = any(value is not None for value in data.values()) if isinstance(data, dict) else bool(data)
    return holds or isinstance(reply.body, list) or _has_id(reply.body) or names_key(reply, key)


def says_no(reply: Reply) -> bool:
    """Tell whether an answer that was sent as a success says that it is none: ``ok: false``, ``errors``, a fault."""
    bodies = reply.body if isinstance(reply.body, list) else [reply.body]
    return any(_object_says_no(one) for one in bodies if isinstance(one, dict))


def concerns_account(reply: Reply) -> bool:
    """Tell whether the words of a no may be about who sends, not about what is sent."""
    body = reply.body if isinstance(reply.body, dict) else {}
    said = {name: body.get(name) for name in ("error", "errors", "code", "message", "reason")}
    return any(_ACCOUNT.search(text) for text in _texts(said))


def names_key(reply: Reply, key: str) -> bool:
    """Tell whether the answer names the effect's key: as a value, as the end of an address, or in a header."""
    return any(text == key or text.endswith("/" + key) for text in (*reply.headers.values(), *_texts(reply.body)))


def _object_says_no(body: Mapping[str, Any]) -> bool:
    if any(_is_no(body[name]) for name in _VERDICTS if name in body):
        return True
    if str(body.get("status")).lower() in _FAILED:
        return True
    return bool(body.get("error") or body.get("errors"))


def _is_no(value: Any) -> bool:
    return isinstance(value, (bool, int, str)) and value in _NO


def _holds_something(body: Any) -> bool:
    return isinstance(body, dict) or (isinstance(body, list) and bool(body) and all(isinstance(o, dict) for o in body))


def _has_id(body: Any) -> bool:
    inner = body.get("data") if isinstance(body, dict) else None
    return any(_is_id(one.get(name)) for one in (body, inner) if isinstance(one, dict) for name in _IDS)


def _is_id(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _names_another(reply: Reply, key: str) -> bool:
    fields = [*reply.headers.items(), *_fields(reply.body)]
    named = [value for name, value in fields if re.sub(r"[-_ ]|^x-", "", name.lower()) in _KEY_FIELDS]
    return any(isinstance(value, str) and value and value != key for value in named)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
