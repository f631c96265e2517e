"""
The text of a gate in Airflow's Required Actions, in Markdown.

The text quotes customers and models, so everything of theirs is escaped: a message must not be able to draw a link or a
heading into the request that people answer. An answer approves what would be sent, so that is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interlock.domain.reviews.review import is_review

if TYPE_CHECKING:
    from interlock.engine.approvals.gate import Shown

EMPTY: tuple[Any, ...] = (None, "", [], {})
LONGEST = 600
"""Characters of one text of the case that are shown; the console shows all."""
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_LINE_START = re.compile(r"^(\s*)(\d{1,9}(?=[.)])|(?=[-+=]))")
_ADDRESS = re.compile(r"(https?(?=:)|www(?=\.)|ftp(?=:)|mailto(?=:)|xmpp(?=:)|@)", re.IGNORECASE)


def request_text(
    cases: Sequence[Shown], undecided: int, address: str, voters: Sequence[str], *, console: str = "/interlock"
) -> str:
    """
    Return the body of the request that lists *cases*.

    :param address: where the console shows them.
    :param console: its start page, below which a number of a review leads to its rows.
    """
    one = len(cases) == 1
    what = "the case below" if one else f"those of the {len(cases)} cases below that are still undecided"
    lines = [
        f"**Approve** and **Reject** apply to {what}; **Go on** leaves {'it' if one else 'them'} to a later run. "
        f"To edit, or to decide case by case: [review page]({address}), or `airflow interlock review list`.",
        "",
        f"Voters: {', '.join(voters) or 'nobody'}.",
    ]
    if undecided > len(cases):
        more = undecided - len(cases)
        waiting = "1 more case is" if more == 1 else f"{more} more cases are"
        lines += ["", f"{waiting} waiting and not listed here: decide on the review page."]
    for number, case in enumerate(cases, 1):
        why = f": {escape(case.why)}" if case.why else ""
        lines += ["", f"### {escape(case.business_key)} · {escape(case.route)}{why}", ""]
        review = _review(case, console, f"{number}.")
        if not review:  # its facts are what the case is
            lines += _fields(case.case, longest=LONGEST)
        for name, payload in case.handoffs.items():
            if payload != case.execute:
                lines += ["", f"*{name}*: {_short(payload)}"]
        if case.unwritten:
            lines += ["", f"**There is no {case.unwritten} to send yet.** Write it on the review page, or reject."]
            continue
        lines += ["", f"**To be sent by {escape(case.action)}:**", ""]
        lines += [review] if review else _fields(case.execute, longest=None)
    return "\n".join(lines)


def _fields(payload: Mapping[str, Any], *, longest: int | None) -> list[str]:
    short = {name: value for name, value in payload.items() if not _is_long(value)}
    line = _short(short, longest=longest)
    lines = [line] if line else []
    for name, value in payload.items():
        if _is_long(value):
            text = str(value)
            cut = text if longest is None or len(text) <= longest else f"{text[:longest]} …"
            lines += ["", f"{escape(name)}:", "", *(_quoted(line) for line in cut.splitlines())]
    return lines


def _review(case: Shown, console: str, references: str) -> str:
    """Return the review as it reads, its numbers leading to the console; empty: what would be sent is none."""
    if not is_review(case.execute):
        return ""
    from interlock.reporting.markdown import render_markdown
    from interlock.reporting.view import View

    try:
        view = View.of(case.execute, case.case)
        text = render_markdown(view, console=console, level=4, with_sources=False, references=references)
    except (ValueError, TypeError):  # its case has no facts: it is shown by its fields
        return ""
    return _ADDRESS.sub("\\1\u200b", text)


def _quoted(line: str) -> str:
    # Two blanks at its end keep the line one of its own.
    return f"> {escape(line)}  " if line.strip() else ">"


def _short(payload: Mapping[str, Any], *, longest: int | None = LONGEST) -> str:
    fields = []
    for name, value in payload.items():
        if value in EMPTY:  # an empty code mark would take what follows into it
            continue
        if isinstance(value, list) and isinstance(value[0], Mapping) and longest is not None:
            text = ", ".join(" ".join(str(v) for v in list(item.values())[:2])[:60] for item in value[:3])
        elif isinstance(value, (list, tuple)) and not any(isinstance(item, Mapping) for item in value):
            text = ", ".join(map(str, value))
        else:
            text = str(value)
        cut = text if longest is None else text[:160]
        fields.append(f"{escape(name)} `{' '.join(cut.replace('`', chr(39)).split())}`")
    return " · ".join(fields)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > 60 or "\n" in value)


def escape(text: str) -> str:
    """
    Return *text* with Markdown's marks made harmless, as a line of its own or within one.

    GitHub's Markdown links bare addresses whatever is escaped in them, so a blank without width breaks them up.
    """
    marked = _MARKS.sub(r"\\\1", text.replace("\r", ""))
    started = _LINE_START.sub(lambda found: f"{found[1]}{found[2]}\\", marked)
    return _ADDRESS.sub("\\1\u200b", started)
