"""What leads to automatic work, escalation, fallback, retry and hard stop, as one page of text."""

from __future__ import annotations

from interlock.domain.base.duration import format_duration
from interlock.domain.policy.policy import Policy, TrainingThreshold


def matrix_text(policy: Policy, *, title: str) -> str:
    """Return the matrix of *policy*."""
    own = [route for gate in policy.gates.values() for route in gate.routes if route != "review"]
    lines = [title, ""]
    lines += [_threshold(policy), ""]
    lines += ["AUTOMATIC: goes on without people", *_rules(policy, ["auto"]), ""]
    lines += ["ESCALATION: people must sign off", *_rules(policy, ["review", *own])]
    lines += [f"  check fails: {check.name}  ({check.asks})" for check in policy.checks if check.on_failure == "review"]
    for name, gate in policy.gates.items():
        lines.append(
            f"  gate {name!r}: routes {', '.join(gate.routes)}; {gate.votes} of group {gate.voters!r}; "
            f"undecided after {format_duration(gate.release_after.total_seconds())}: waits in the ledger"
        )
    lines += ["", "FALLBACK: another agent looks", *_rules(policy, ["fallback"]), ""]
    lines += ["RETRY: inside the task, with a growing pause, then as said", *_runbook(policy), ""]
    lines += ["HARD STOP: a dead letter, nothing is sent", *_rules(policy, ["stop"])]
    lines += [f"  check fails: {check.name}  ({check.asks})" for check in policy.checks if check.on_failure == "stop"]
    stop = policy.stop_when
    lines.append(f"  the whole task: more than {stop.failed_share:.0%} of at least {stop.at_least} cases fail")
    return "\n".join(lines)


def _threshold(policy: Policy) -> str:
    if isinstance(policy.threshold, TrainingThreshold):
        return (
            f"threshold: the lowest confidence whose error in training, out of fold, is at most "
            f"{policy.threshold.training_error:.1%}; each agent has its own"
        )
    return f"threshold: {policy.threshold}"


def _rules(policy: Policy, routes: list[str]) -> list[str]:
    lines = [
        f"  {number}. {rule.name}: {' '.join(rule.when.split())}" + (f"  → {rule.route}" if len(routes) > 1 else "")
        for number, rule in enumerate(policy.rules, start=1)
        if rule.route in routes
    ]
    if policy.default in routes:
        lines.append(f"  default: what no rule decides  → {policy.default}")
    return lines or ["  nothing"]


def _runbook(policy: Policy) -> list[str]:
    lines = [
        f"  {failure}: {recovery.retries} times, first pause {format_duration(recovery.backoff_seconds)}, "
        f"then {recovery.then}"
        for failure, recovery in policy.runbook.items()
    ]
    return lines or ["  any failure: 2 times, first pause 0.5 s, then stop"]
