"""A case's history as a page of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def case_text(found: Mapping[str, Any]) -> str:
    """Return the history from :func:`interlock.ledger.audit.case_history.show_case` as text."""
    case = found["case"]
    lines = [
        f"{case['business_key']}  {case['state']}"
        + (f" on route {case['route']}" if case["route"] else "")
        + (f" at {case['task']}" if case["task"] else ""),
        f"id {case['id']}, {case['workflow']} in {case['environment']}, from {case['source']}",
    ]
    if case["reason"]:
        lines.append(f"reason: {case['reason']}")
    if found["forgotten"]:
        lines += ["", f"forgotten at {found['forgotten']['at']}: its content and its texts were erased"]
    else:
        lines += ["", "content", *field_lines(case["content"])]
    for handoff in found["handoffs"]:
        confidence = "none" if handoff["confidence"] is None else f"{handoff['confidence']:.3f}"
        lines += ["", f"{handoff['task']}: {handoff['contract']} by {handoff['agent']}, confidence {confidence}"]
        lines += field_lines(handoff["payload"] or {})
    for decision in found["decisions"]:
        lines += [
            "",
            f"{decision['task']}: rule {decision['rule']!r} leads to {decision['route']}, by {decision['decided_by']}",
        ]
        lines += field_lines(decision["inputs"] or {})
    for vote in found["votes"]:
        why = f": {vote['reason']}" if vote["reason"] else ""
        lines += ["", f"{vote['person']} voted {vote['answer']} at {vote['created_at']}{why}"]
    for grant in found["authorisations"]:
        until = f", withdrawn by {grant['withdrawn_by']}" if grant["withdrawn_at"] else ""
        lines += ["", f"authorised: {grant['action']} on the basis of {grant['basis']}{until}"]
    for effect in found["effects"]:
        lines += [
            "",
            f"effect {effect['key'][:12]}: {effect['state']} by {effect['action']}, receipt {effect['receipt']}",
        ]
    lines += ["", "events", *(f"  {event['at']}  {event['kind']}" for event in found["events"])]
    return "\n".join(lines)


def field_lines(payload: Mapping[str, Any]) -> list[str]:
    """Return a payload's fields as lines of text, one or more for each field."""
    lines = []
    for name, value in payload.items():
        first, *rest = [str(value)] if not isinstance(value, str) else value.splitlines() or [""]
        lines += [f"  {name}: {first}", *(f"    {line}" for line in rest)]
    return lines
