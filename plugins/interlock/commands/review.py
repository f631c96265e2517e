"""``airflow interlock review …``: people's decisions, as a client of the API."""

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
    """List the cases that wait for human review."""
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
            "digest": "DIGEST",
            "opened_at": "SINCE",
            "why": "WHY",
        },
        empty="No case waits for human review",
    )


@command
def show(args: Any) -> None:
    """Print what a case would send, and its digest."""
    found = _case_in_review(args.case)
    if args.json:
        print_json(found)
        return
    lines = [f"{found['business_key']} on route {found['route']} at gate {found['gate']}: {found['why']}", "", "case"]
    lines += field_lines(found["case"])
    for name, payload in found["handoffs"].items():
        lines += ["", name, *field_lines(payload)]
    if found.get("unwritten"):
        fields = " ".join(f"--set {name}=…" for name in found["draft_schema"]["properties"])
        lines += [
            "",
            f"there is no {found['unwritten']} yet. Write it: airflow interlock review edit {args.case} {fields}",
        ]
    else:
        lines += ["", f"to be sent by {found['action']}", *field_lines(found["execute"])]
    lines += [
        "",
        f"digest {found['digest']}",
        f"waiting for: {found['asks_now']}",
    ]
    lines += [reason for reason in (found["refused"], found["barred_from"]) if reason]
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
    """Ask the owner of a case as the person who is logged in."""
    _send_message(args, "question")


@command
def reply(args: Any) -> None:
    """Answer a reviewer's question as the person who is logged in."""
    _send_message(args, "reply")


@command
def handover(args: Any) -> None:
    """Hand a case over as the person who is logged in."""
    _send_message(args, "hand-over", to=args.to)


def _send_message(args: Any, what: str, **more: str) -> None:
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/{what}", {"text": args.text, **more})
    print(f"{answer['case']} still waits for a decision; notified: {', '.join(answer['told']) or 'nobody'}")


@command
def break_glass(args: Any) -> None:
    """Sign off a case alone, in an emergency, as the person who is logged in."""
    body = {"reason": args.reason, "digest": _digest(args)}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/break-glass", body)
    print(f"{answer['case']} is {answer['state']}; {answer['note']}")


@command
def unreviewed(args: Any) -> None:
    """List emergency sign-offs that still need their review."""
    rows = call("GET", "/break-glass")["unreviewed"]
    if args.json:
        print_json(rows)
        return
    columns = {"business_key": "CASE", "workflow": "WORKFLOW", "gate": "GATE", "person": "BY", "created_at": "AT"}
    print_table(rows, {**columns, "reason": "WHY"}, empty="No emergency sign-off needs a review")


@command
def confirm(args: Any) -> None:
    """Review an emergency sign-off as the person who is logged in."""
    rows = {row["business_key"]: row for row in call("GET", "/break-glass")["unreviewed"]}
    if args.case not in rows:
        raise InputError(f"no emergency sign-off of {args.case!r} needs a review (known: {', '.join(rows) or 'none'})")
    body = {
        "answer": "reject" if args.reject else "approve",
        "digest": rows[args.case]["seen_digest"],
        "reason": args.reason or None,
    }
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/confirmation", body)
    print(f"the emergency sign-off of {answer['case']} is reviewed: {answer['answer']}; the case is {answer['state']}")


@command
def answer(args: Any) -> None:
    """Cast the votes in a file as the person who is logged in."""
    votes = read_votes(Path(args.file))
    refused = 0
    for start in range(0, len(votes), 500):
        for vote in call("POST", "/votes", {"votes": votes[start : start + 500]})["votes"]:
            refused += not vote["counts"]
            result = f"counted, the request is {vote['state']}" if vote["counts"] else vote["refused"]
            print(f"{vote['case']}: {result}")
    if refused:
        raise InputError(f"{refused} of {len(votes)} votes were refused (see above); the others count")


def read_votes(path: Path) -> list[dict[str, Any]]:
    """
    Return the votes of a CSV file with the columns case, answer, digest and, optionally, reason.

    :raises InputError: it is not such a file; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{str(path)!r} cannot be read as a CSV file of votes: {error}") from None
    votes = []
    for number, line in enumerate(lines, start=2):
        missing = [column for column in ("case", "answer", "digest") if not (line.get(column) or "").strip()]
        if missing:
            raise InputError(
                f"line {number} of {str(path)!r} lacks {', '.join(missing)}. The columns are case, answer (approve or "
                "reject), digest (from airflow interlock review list --json) and reason. No vote was cast"
            )
        vote = {column: line[column].strip() for column in ("case", "answer", "digest")}
        votes.append({**vote, "reason": (line.get("reason") or "").strip() or None})
    if not votes:
        raise InputError(f"{str(path)!r} contains no votes")
    return votes


@command
def edit(args: Any) -> None:
    """Edit a draft as the person who is logged in."""
    changes = read_changes(args.set)
    if not changes:
        raise InputError("nothing to change. Give --set FIELD=VALUE")
    body = {"changes": changes, "digest": _digest(args)}
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/edit", body)
    print(f"{answer['case']} was edited and waits for approval again")
    for warning in answer["warnings"]:
        print(f"warning: check failed: {warning}")


@command
def request(args: Any) -> None:
    """Return a case to human review as the person who is logged in."""
    answer = call("POST", f"/cases/{quote(args.case, safe='')}/review-request", {"reason": args.reason})
    note = f"; {answer['note']}" if answer.get("note") else ""
    print(f"{answer['case']} is {answer['state']}{note}")


def _case_in_review(name: str) -> dict[str, Any]:
    return call("GET", f"/reviews/{quote(name, safe='')}")


def _digest(args: Any) -> str:
    found = _case_in_review(args.case)["digest"]
    if args.digest and not str(found).startswith(args.digest):
        raise InputError(
            f"case {args.case!r} has digest {found[:12]} now, not {args.digest[:12]}. Look at it again: "
            f"airflow interlock review show {args.case}"
        )
    return str(found)


def _vote(args: Any, answer: str) -> None:
    body = {"answer": answer, "digest": _digest(args), "reason": args.reason or None}
    result = call("POST", f"/cases/{quote(args.case, safe='')}/vote", body)
    rest = "; no case waits at this gate any more, so its task continues" if result["gate_is_done"] else ""
    print(f"{result['case']}: your vote counts, the request is {result['state']}{rest}")
