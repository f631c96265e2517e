"""
Which route a case takes: the policy's rules in order, first match wins.

What cannot be evaluated is not skipped: a rule that fails to evaluate sends the case to people, because a rule that was
written to hold a case back must not let it through when its input is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.domain.base.expression import Expression
from interlock.domain.policy.policy import Check, Policy, Rule
from interlock.domain.policy.version import Bundle
from interlock.domain.reviews.review import review_problems

NEVER = 1.01
"""A threshold that no confidence reaches: nothing is automatic."""
MAX_PROBLEMS = 5
"""The most problems of a draft's numbers that a message lists."""
DEFAULT_RULE = "no rule fits, the policy's default"
"""Stands for a rule's name where the policy's ``default`` decided."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Where one case goes, and why."""

    rule: str
    route: str
    error: str | None = None
    """Why the rule could not be evaluated, when it could not."""
    inputs: Mapping[str, Any]
    """Every input that the rules read up to and including the one that matched, so that it can be replayed."""


class Router:
    """A policy's rules and checks, compiled."""

    def __init__(self, policy: Policy, types: Mapping[str, Any]) -> None:
        """
        Compile the rules and checks of *policy* against the variables in *types*.

        :raises PolicyError: at the first that does not compile; all are found by
            :func:`~interlock.domain.policy.check.check_policy`.
        """
        self.policy = policy
        self.rules: Sequence[tuple[Rule, Expression]] = [(r, Expression(r.when, types)) for r in policy.rules]
        self.checks: Sequence[tuple[Check, Expression | None]] = [
            (check, None if check.that is None else Expression(check.that, types)) for check in policy.checks
        ]

    @classmethod
    def of(cls, bundle: Bundle) -> Router:
        """Return the rules and checks of *bundle*'s policy, compiled."""
        return cls(bundle.policy, bundle.types)

    def decide(self, inputs: Mapping[str, Any]) -> Decision:
        """Return the decision on *inputs*: variable name to value; an absent or None value is unknown."""
        read: dict[str, Any] = {}
        certain = uncertain_if_unknown(inputs)
        for rule, expression in self.rules:
            read |= {name: inputs.get(name) for name in expression.reads}
            result = expression.evaluate(certain)
            if result.value is None:
                return Decision(rule=rule.name, route="review", error=result.error, inputs=read)
            if result.value:
                return Decision(rule=rule.name, route=rule.route, inputs=read)
        return Decision(rule=DEFAULT_RULE, route=self.policy.default, inputs=read)

    def failed_checks(self, inputs: Mapping[str, Any]) -> list[tuple[Check, str | None]]:
        """Return the checks that *inputs* do not satisfy, each with the reason when it could not be evaluated."""
        failed: list[tuple[Check, str | None]] = []
        certain = uncertain_if_unknown(inputs)
        for check, expression in self.checks:
            if expression is None:
                if problems := _uncarried(check.numbers or "", inputs):
                    failed.append((check, problems))
                continue
            result = expression.evaluate(certain)
            if result.value is not True:
                failed.append((check, result.error))
        return failed


def _uncarried(contract: str, inputs: Mapping[str, Any]) -> str:
    """Return what is wrong with the numbers of the draft *contract*; empty: each is one of the case's facts."""
    review, finding = _under(contract, inputs), _under("case", inputs)
    if not review:
        return f"there is no {contract}"
    problems = review_problems(review, finding)
    listed = "; ".join(map(str, problems[:MAX_PROBLEMS]))
    return f"{listed}; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else listed


def _under(prefix: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in inputs.items() if name.startswith(start)}


def uncertain_if_unknown(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *inputs* with no confidence read as 0 and no threshold as one that nothing reaches."""
    closed = {"confidence": 0.0, "threshold": NEVER}
    return {**inputs, **{name: value for name, value in closed.items() if inputs.get(name) is None}}
