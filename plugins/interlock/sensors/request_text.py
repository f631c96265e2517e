"""
What Airflow's Required Actions shows of a gate, in Markdown.

The text holds what customers and models wrote, so everything of theirs is escaped: a message must not be able to draw a
link or a heading into the request that people answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.engine.gate import Shown

LONGEST = 600
"""Characters of one text that are shown; the console shows all."""
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!])")


def request_text(cases: Sequence[Shown], undecided: int, address: str, voters: Sequence[str]) -> str:
    """Return the body of the request that lists *cases*."""
    lines = [
        f"**Approve** and **Reject** answer for the {len(cases)} cases below that are still undecided; **Go on** "
        "leaves them to a later run. One by one, edit included: "
        f"[review page]({address}), or `airflow interlock review list`.",
        "",
        f"May answer: {', '.join(voters) or 'nobody'}.",
    ]
    if undecided > len(cases):
        lines += ["", f"{undecided - len(cases)} more wait and are not listed here: decide them on the review page."]
    for case in cases:
        why = f": {escape(case.why)}" if case.why else ""
        lines += ["", f"### {escape(case.business_key)} · {escape(case.route)}{why}", ""]
        lines += _fields(case.case)
        for name, payload in case.handoffs.items():
            if payload != case.execute:
                lines += ["", f"*{name}*: {_short(payload)}"]
        lines += ["", f"**To be sent by {escape(case.action)}:**", ""]
        lines += _fields(case.execute)
    return "\n".join(lines)


def _fields(payload: Mapping[str, Any]) -> list[str]:
    short = {name: value for name, value in payload.items() if not _is_long(value) and value not in (None, "")}
    lines = [_short(short)] if short else []
    for name, value in payload.items():
        if _is_long(value):
            text = str(value)
            cut = text[:LONGEST] + (" …" if len(text) > LONGEST else "")
            lines += ["", f"{escape(name)}:", *(f"> {escape(line)}" for line in cut.splitlines())]
    return lines


def _short(payload: Mapping[str, Any]) -> str:
    told = []
    for name, value in payload.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            said = ", ".join(" ".join(str(v) for v in list(item.values())[:2])[:60] for item in value[:3])
        elif isinstance(value, (list, tuple)):
            said = ", ".join(map(str, value))
        else:
            said = str(value)
        told.append(f"{escape(name)} `{said[:160].replace('`', chr(39))}`")
    return " · ".join(told)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > 30 or "\n" in value)


def escape(text: str) -> str:
    """Return *text* with Markdown's marks made harmless."""
    return _MARKS.sub(r"\\\1", text.replace("\r", ""))
