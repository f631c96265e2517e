"""``airflow interlock review …``: what people decide, as a client of the API."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from interlock.commands.case_text import field_lines
from interlock.commands.person import call
from interlock.commands.terminal import command, print_json, print_table, print_text, read_changes
from interlock.errors import InputError


@command
def list_(args: Any) -> None:
    """List what waits for people."""
    query = urlencode({"limit": args.limit, **({"workflow": args.workflow} if args.workflow else {})})
    rows = call("GET", f"/reviews?{query}")["reviews"]
    if args.json:
        print_json(rows)
        return
    print_table(
        [{**row, "digest": row["digest"][:12], "mine": "yes" if row["mine"] else ""} for row in rows],
        {
            "business_key": "CASE",
            "route": "ROUTE",
            "gate": "GATE",
            "mine": "YOURS",
            "digest": "SHOWS",
            "opened_at": "SINCE",
            "why": "WHY",
        },
        empty="Nothing waits for people",
    )


@command
def show(args: Any) -> None:
    """Print what is to be decided."""
    found = _see(args.case)
    if args.json:
        print_json(found)
        return
    lines = [f"{found['business_key']} on route {found['route']} at gate {found['gate']}: {found['why']}", "", "case"]
    lines += field_lines(found["case"])
    for name, payload in found["handoffs"].items():
        lines += ["", name, *field_lines(payload)]
    if found.get("unwritten"):
        fields = " ".join(f"--set {name}=…" for name in found["draft_schema"]["properties"])
        lines += ["", f"there is no {found['unwritten']} yet: airflow interlock review edit {args.case} {fields}"]
    else:
        lines += ["", f"to be sent by {found['action']}", *field_lines(found["execute"])]
    lines += [
        "",
        f"digest {found['digest']}",
        f"asked now: {found['asks_now']}",
    ]
    lines += [told for told in (found["refused"], found["barred_from"]) if told]
    print_text("\n".join(lines))


@command
def approve(args: Any) -> None:
    """Approve as the person who is logged in."""
    _vote(args, "approve")


@command
def reject(args: Any) -> None:
    """Reject as the person who is logged in."""
    _vote(args, "reject")


@command
def ask(args: Any) -> None:
    """Ask back as the person who is logged in."""
    _say(args, "question")


@command
def reply(args: Any) -> None:
    """Answer what was asked back as the person who is logged in."""
    _say(args, "reply")


@command
def handover(args: Any) -> None:
    """Hand a case over as the person who is logged in."""
    _say(args, "hand-over", to=args.to)


def _say(args: Any, what: str, **more: str) -> None:
    came = call("POST", f"/cases/{quote(args.case, safe='')}/{what}", {"text": args.text, **more})
    print(f"{came['case']} goes on waiting; told: {', '.join(came['told']) or 'nobody'}")


@command
def break_glass(args: Any) -> None:
    """Sign a case off alone as the person who is logged in."""
    body = {"reason": args.reason, "digest": _digest(args)}
    came = call("POST", f"/cases/{quote(args.case, safe='')}/break-glass", body)
    print(f"{came['case']} is {came['state']}; {came['note']}")


@command
def unreviewed(args: Any) -> None:
    """List what was signed off by breaking the glass and awaits its review."""
    rows = call("GET", "/break-glass")["unreviewed"]
    if args.json:
        print_json(rows)
        return
    columns = {"business_key": "CASE", "workflow": "WORKFLOW", "gate": "GATE", "person": "BY", "created_at": "AT"}
    print_table(rows, {**columns, "reason": "WHY"}, empty="Nothing awaits a review")


@command
def confirm(args: Any) -> None:
    """Review a break-glass as the person who is logged in."""
    rows = {row["business_key"]: row for row in call("GET", "/break-glass")["unreviewed"]}
    if args.case not in rows:
        raise InputError(f"no break-glass on {args.case!r} awaits a review (known: {', '.join(rows) or 'none'})")
    body = {
        "answer": "reject" if args.reject else "approve",
        "digest": rows[args.case]["seen_digest"],
        "reason": args.reason or None,
    }
    came = call("POST", f"/cases/{quote(args.case, safe='')}/confirmation", body)
    print(f"the break-glass on {came['case']} is reviewed: {came['answer']}; the case is {came['state']}")


@command
def answer(args: Any) -> None:
    """Cast the votes of a file as the person who is logged in."""
    votes = read_votes(Path(args.file))
    refused = 0
    for start in range(0, len(votes), 500):
        for came in call("POST", "/votes", {"votes": votes[start : start + 500]})["votes"]:
            refused += not came["counts"]
            print(
                f"{came['case']}: " + (f"counts, the request is {came['state']}" if came["counts"] else came["refused"])
            )
    if refused:
        raise InputError(f"{refused} of {len(votes)} votes do not count: see above. The others do")


def read_votes(path: Path) -> list[dict[str, Any]]:
    """
    Return the votes of a CSV file with the columns case, answer, digest and, where there is one, reason.

    :raises InputError: it is no such file; the message has the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{str(path)!r} cannot be read as a CSV file of votes: {error}") from None
    votes = []
    for number, line in enumerate(lines, start=2):
        lacking = [column for column in ("case", "answer", "digest") if not (line.get(column) or "").strip()]
        if lacking:
            raise InputError(
                f"line {number} of {str(path)!r} lacks {', '.join(lacking)}. The columns are case, answer (approve or "
                "reject), digest (of airflow interlock review list --json) and reason; nothing was voted"
            )
        vote = {column: line[column].strip() for column in ("case", "answer", "digest")}
        votes.append({**vote, "reason": (line.get("reason") or "").strip() or None})
    if not votes:
        raise InputError(f"{str(path)!r} holds no vote")
    return votes


@command
def edit(args: Any) -> None:
    """Edit as the person who is logged in."""
    changes = read_changes(args.set)
    if not changes:
        raise InputError("say what to change: --set FIELD=VALUE")
    body = {"changes": changes, "digest": _digest(args)}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/edit", body)
    print(f"{answer['case']} was edited and waits for approval again")
    for warning in answer["warnings"]:
        print(f"warning: check not satisfied: {warning}")


@command
def request(args: Any) -> None:
    """Ask for a review as the person who is logged in."""
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/review-request", {"reason": args.reason})
    note = f"; {answer['note']}" if answer.get("note") else ""
    print(f"{answer['case']} is {answer['state']}{note}")


def _see(name: str) -> dict[str, Any]:
    return call("GET", f"/reviews/{quote(name, safe='')}")


def _digest(args: Any) -> str:
    found = _see(args.case)["digest"]
    if args.digest and not str(found).startswith(args.digest):
        raise InputError(f"case {args.case!r} shows {found[:12]} now, not {args.digest[:12]}: look at it again")
    return str(found)


def _vote(args: Any, answer: str) -> None:
    body = {"answer": answer, "digest": _digest(args), "reason": args.reason or None}
    came_of_it = call("POST", f"/cases/{quote(args.case, safe='')}/vote", body)
    rest = "; it was the last one of its gate, whose task goes on" if came_of_it["gate_is_done"] else ""
    print(f"{came_of_it['case']}: your vote counts, the request is {came_of_it['state']}{rest}")
