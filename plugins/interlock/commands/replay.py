"""``airflow interlock policy replay``: which past decisions a proposed policy would change, as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interlock.commands.policy import find_wiring
from interlock.commands.terminal import command, print_json, print_table
from interlock.domain.routing.replay import Automatic, Comparison, Load
from interlock.engine.policy.bundle import read_bundle
from interlock.engine.routing.replay import replay_policy
from interlock.errors import InputError
from interlock.hooks.ledger import LedgerHook
from interlock.hooks.setting import include_path
from interlock.ledger.policy.version import version_numbered


@command
def replay(args: Any) -> None:
    """Replay past decisions with the files in include, or with a version."""
    ledger = LedgerHook().get_conn()
    if args.version is not None and args.include:
        raise InputError("give --version or --include, not both: each names a proposal")
    if args.version is not None:
        proposal, name = version_numbered(ledger, args.workflow, args.version).bundle, f"version {args.version}"
    else:
        include = Path(args.include).resolve() if args.include else include_path()
        proposal, name = read_bundle(include, args.workflow), "include"
    wiring = find_wiring(args.dag, required=True) if args.dag else None
    found = replay_policy(ledger, proposal, last=args.last, wiring=wiring, minutes_per_review=args.minutes)
    if args.json:
        print_json({"workflow": args.workflow, "proposal": name, "digest": proposal.digest, **found.to_json()})
        return
    print(f"{args.workflow}: {name} (digest {proposal.digest[:12]}) on the last decisions in {ledger.environment!r}\n")
    print_comparison(found)


def print_comparison(found: Comparison) -> None:
    """Print the result of a replay."""
    not_replayed = [
        (found.by_people, "made by people, so not replayed"),
        (found.by_checks, "made by checks of drafts or by the runbook, so not replayed"),
        (found.after_a_flip, "after an earlier changed decision of the same case, so they would not have been made"),
        (found.not_replayable, "not replayable"),
    ]
    print(f"{found.decisions} decisions, {found.replayed} replayed, {found.flipped} would change")
    for count, why in not_replayed:
        if count:
            print(f"  {count} {why}")
    for name, count in found.unknown_variables.most_common():
        print(f"    {count} times {name} is unknown")
    if found.other_rule:
        print(f"  {found.other_rule} keep their route, by a different rule")
    before, after = found.unevaluated_before, found.unevaluated_after
    print(f"  held back because no rule or route could be applied: {before} before, {after} after")
    if found.routes:
        print()
        print_table(
            [{"before": b, "after": a, "count": count} for (b, a), count in found.routes.most_common()],
            {"before": "ROUTE BEFORE", "after": "AFTER", "count": "DECISIONS"},
            empty="",
        )
        print()
        print_table(
            [
                {
                    "case": flip.case,
                    "confidence": "" if flip.confidence is None else f"{flip.confidence:.3f}",
                    "before": f"{flip.before}: {flip.rule_before}",
                    "after": f"{flip.after}: {flip.error_after or flip.rule_after}",
                }
                for flip in found.flips
            ],
            {"case": "CASE", "confidence": "CONFIDENCE", "before": "BEFORE", "after": "AFTER"},
            empty="",
        )
        if found.flipped > len(found.flips):
            print(f"… and {found.flipped - len(found.flips)} more")
    print()
    print(_load(found.load))
    print(_automatic("become automatic", found.become_automatic))
    print(_automatic("stop being automatic", found.stop_being_automatic))


def _load(load: Load) -> str:
    figures = load.as_json()
    share, hours = figures["share"], figures["hours"]
    text = (
        f"Human reviews: {load.before} of {load.cases} cases before ({share['before']:.1%}, {hours['before']:.1f} h), "
        f"{load.after} after ({share['after']:.1%}, {hours['after']:.1f} h), {load.minutes_per_review:g} minutes each"
    )
    return text + (f"; unknown for {load.unknown} more cases" if load.unknown else "")


def _automatic(what: str, cases: Automatic) -> str:
    text = f"{cases.cases} cases {what}: {cases.expected_errors:.2f} expected errors among them (sum of 1 - confidence)"
    none = cases.without_confidence
    return text + (f"; {none} without a confidence count as 1 each" if none else "")
