"""
The figures of :func:`interlock.ledger.reports.summary.summarize` as a page of text.

Figures that a run does not have are omitted, not printed as zero: no accuracy where the right answers are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from interlock.commands.terminal import format_fields
from interlock.domain.base.plural import counted
from interlock.domain.cost.price import format_dollars, to_nano
from interlock.domain.reports.cost import KINDS

_NAMES = len("data quality")
_NAMED = 5
"""The maximum number of stuck cases to name: one is enough to find the cause."""


def describe_summary(summary: Mapping[str, Any]) -> str:
    """Return *summary* as lines for a terminal."""
    fields = [
        *_facts(summary["facts"]),
        ("cases", _cases(summary)),
        ("by route", _counts(summary["by_route"])),
        ("automatic", _automatic(summary)),
        ("sent", f"{summary['effects_sent']}"),
        *(("waiting", _waiting(entry)) for entry in summary["waiting"]),
        ("provider", _with_provider(summary["with_provider"])),
        *(("held back", f"{count} × {reason}") for reason, count in summary["reasons"].items()),
        *(("data quality", _quality(entry)) for entry in summary["quality"]),
        ("cost", _cost(summary["cost"])),
        *(("stage", _stage(entry)) for entry in summary["stages"]),
        ("stuck", _unplaced(summary["unplaced"])),
    ]
    title = f"{summary['workflow']}, run {summary['run_id']}, version {summary['version']} in {summary['environment']}"
    return f"{title}\n{format_fields(((name, text) for name, text in fields if text), indent=2, width=_NAMES)}"


def _unplaced(cases: Sequence[Mapping[str, Any]]) -> str:
    if not cases:
        return ""
    listing = [f"{entry['case']} ({entry['state']})" for entry in cases]
    more = " and more" if len(listing) > _NAMED else ""
    return f"no task processes these cases: {', '.join(listing[:_NAMED])}{more}"


def _cases(summary: Mapping[str, Any]) -> str:
    if not summary["cases_total"]:
        return "no new cases"
    return f"{summary['cases_total']} taken in: {_counts(summary['by_state'])}"


def _facts(facts: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if facts is None:
        return []
    withheld = f", {facts['withheld']} withheld" if facts["withheld"] else ""
    return [("as of", format_instant(facts["as_of"])), ("facts", f"{facts['stated']} stated{withheld}")]


def format_instant(text: str) -> str:
    """Return an ISO timestamp as people read it: ``2014-08-04 00:00 UTC``."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)


def _automatic(summary: Mapping[str, Any]) -> str:
    if summary["automatic_share"] is None:
        return ""
    text = f"{summary['automatic']} of {summary['cases_total']} ({summary['automatic_share']:.1%})"
    if not summary["automatic_labelled"]:
        return text
    return (
        f"{text}; of {summary['automatic_labelled']} with a known answer {summary['automatic_right']} are right "
        f"({summary['automatic_accuracy']:.1%})"
    )


def _waiting(entry: Mapping[str, Any]) -> str:
    people = ", ".join(entry["people"]) or "nobody: the policy names no voters"
    return f"{entry['cases']} at {entry['task']} (route {entry['route']}) for {people}"


def _with_provider(out: Mapping[str, Any] | None) -> str:
    if out is None:
        return ""
    since, until = (out[name][:16].replace("T", " ") for name in ("since", "until"))
    cases, batches = counted(out["cases"], "case", "are"), counted(out["batches"], "batch")
    return f"{cases} with the provider since {since} UTC, in {batches} until {until}"


def _quality(entry: Mapping[str, Any]) -> str:
    return f"{entry['suite']} {'passed' if entry['passed'] else 'failed'}, {entry['row_count']} rows"


def _cost(cost: Mapping[str, Any]) -> str:
    kinds = {kind: Decimal(usd) for kind, usd in cost.get("by_kind", {}).items()}
    parts = [f"{_usd(usd)} {KINDS[kind]}" for kind, usd in kinds.items() if usd]
    text = f"{_usd(Decimal(cost['usd']))}: {', '.join(parts)}" if len(parts) > 1 else ", ".join(parts)
    if cost["calls"]:
        unpriced = f", {cost['unpriced_calls']} without a price" if cost["unpriced_calls"] else ""
        tokens = cost["input_tokens"] + cost["output_tokens"]
        calls = f"{cost['calls']} model calls{unpriced}, {tokens} tokens"
        text = f"{text}; {calls}" if text else calls
    if text and cost.get("usd_per_outcome"):
        text += f"; {_usd(Decimal(cost['usd_per_outcome']))} for each of {cost['outcomes']} completed outcomes"
    return text


def _usd(amount: Decimal) -> str:
    return format_dollars(to_nano(amount))


def _stage(entry: Mapping[str, Any]) -> str:
    tried = f", {entry['attempts']} attempts" if entry["attempts"] > 1 else ""
    done = ", ".join(f"{count} {what}" for what, count in entry["counts"].items())
    return f"{entry['task']:<16}{entry['seconds']:>7.1f} s{tried}{'   ' if done else ''}{done}"
