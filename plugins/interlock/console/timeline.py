"""
The history of one case as entries in the order in which they happened, for people to read.

Handoffs, decisions, votes and effects contain all that their audit events do, so only other events get an entry of
their own; all events are listed below the history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from interlock.console.rendering import percent
from interlock.domain.cost.price import format_dollars, to_nano

_TITLES = {
    "case.taken_in": "taken in",
    "case.taken_up": "resumed by a later run",
    "case.resubmitted": "resubmitted",
    "case.corrected": "the source brought it again, corrected",
    "case.closed": "closed",
    "case.completed": "closed by its outcome",
    "case.undone": "its effect was undone: nothing goes out again by itself",
    "case.overridden": "a person overrode the decision",
    "case.expired": "nobody decided in time: nothing is sent",
    "gate.asked_back": "a voter asked a question before deciding",
    "gate.answered": "the question was answered",
    "gate.handed_over": "handed over to another voter",
    "case.late": "past its service level; its owner was notified",
    "case.rejected": "rejected: nothing is sent",
    "review.asked": "a person asked for a review",
    "draft.edited": "a person edited the draft",
    "execution.failed": "sending failed",
    "execution.refused": "the other system refused it",
    "quality.quarantined": "quarantined by a data check",
    "case.forgotten": "forgotten: its content and the texts beside it were erased",
}
"""Events with an entry of their own."""


def entries(history: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return entries (``at``, ``mark``, ``title``, ``lines``, ``payload``, ``meta``) of a case's *history*."""
    parts = (_events, _handoffs, _failures, _decisions, _gates, _effects)
    found = [entry for part in parts for entry in part(history)]
    return sorted(found, key=lambda entry: str(entry["at"]))


def _entry(at: str, mark: str, title: str, **more: Any) -> dict[str, Any]:
    return {"at": at, "mark": mark, "title": title, "lines": [], "payload": None, "meta": {}, **more}


def _events(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    source = history["case"]["source"]
    for event in history["events"]:
        if event["kind"] in _TITLES:
            lines = [f"from {source}"] if event["kind"] == "case.taken_in" else []
            yield _entry(event["at"], "event", _TITLES[event["kind"]], lines=lines)


def _handoffs(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    spent: dict[tuple[str, str], dict[str, Any]] = {}
    for use in history["usage"]:
        total = spent.setdefault((use["task"], use["agent"]), {"calls": 0, "tokens": 0, "seconds": 0.0, "cost": None})
        total["calls"] += 1
        total["tokens"] += use["input_tokens"] + use["output_tokens"]
        total["seconds"] = round(total["seconds"] + use["seconds"], 2)
        if use["cost"] is not None:
            total["cost"] = (total["cost"] or Decimal(0)) + Decimal(use["cost"])
    for row in history["handoffs"]:
        confidence = "" if row["confidence"] is None else f", confidence {percent(row['confidence'])}"
        used = {name: value for name, value in spent.get((row["task"], row["agent"]), {}).items() if value}
        if "cost" in used:
            used["cost"] = format_dollars(to_nano(used["cost"]))
        yield _entry(
            row["created_at"],
            "agent" if not str(row["agent"]).startswith("person:") else "person",
            f"{row['agent']} delivered {row['contract']}{confidence}",
            lines=[f"at {row['task']}"],
            payload=row["payload"],
            meta={**(row["provenance"] or {}), **used},
        )


def _failures(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for use in history["usage"]:
        if use["outcome"] != "ok":
            lines = [f"at {use['task']}, attempt {use['attempt']}"]
            yield _entry(use["created_at"], "agent", f"{use['agent']} did not deliver: {use['outcome']}", lines=lines)


def _decisions(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in history["decisions"]:
        lines = [f"rule: {row['rule']}", f"at {row['task']}, decided by {row['decided_by']}"]
        if row["confidence"] is not None and row["threshold"] is not None:
            lines.append(f"confidence {percent(row['confidence'])}, threshold {percent(row['threshold'])}")
        if row["error"]:
            lines.append(f"a rule could not be evaluated: {row['error']}")
        yield _entry(row["created_at"], "rule", f"routed to {row['route']}", lines=lines)


def _gates(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in history["gate_requests"]:
        votes = f"{row['votes_needed']} of {', '.join(row['voters']) or 'nobody'}"
        yield _entry(
            row["opened_at"], "gate", f"review requested at gate {row['gate']}", lines=[f"votes needed: {votes}"]
        )
        if row["state"] == "void":
            yield _entry(row["decided_at"], "gate", "the request became void: the draft changed")
    for row in history["votes"]:
        word = "approved" if row["answer"] == "approve" else "rejected"
        lines = [row["reason"]] if row["reason"] else []
        ways = {"api": "in the console or a terminal", "required_actions": "in Airflow's Required Actions"}
        lines.append(ways.get(row["way"], f"by {row['way']}"))
        yield _entry(row["created_at"], "person", f"{row['person']} {word}", lines=lines)


def _effects(history: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in history["authorisations"]:
        basis = "by a rule" if row["basis"].startswith("decision:") else "by votes"
        yield _entry(row["created_at"], "rule", f"sending by {row['action']} was authorised {basis}")
        if row["withdrawn_at"]:
            yield _entry(row["withdrawn_at"], "event", f"the authorisation was withdrawn by {row['withdrawn_by']}")
    for row in history["effects"]:
        if row["committed_at"]:
            meta = dict(row["receipt"]) if isinstance(row["receipt"], Mapping) else {}
            yield _entry(
                row["committed_at"], "sent", f"sent by {row['action']}", lines=[f"at {row['task']}"], meta=meta
            )
        else:
            yield _entry(row["intended_at"], "sent", f"sending by {row['action']} began, and is {row['state']}")
