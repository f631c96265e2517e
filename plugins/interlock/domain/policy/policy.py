"""
The rules, gates and checks of a workflow, as written in ``policy.yaml``.

This is the parsed text; whether its rules type-check and its routes are served is the matter of
:mod:`interlock.domain.policy.check`. The words are those of a policy author, so every problem is shown with the place
where it stands.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interlock.domain.approvals.approval import Stage
from interlock.domain.approvals.escalation import Ladder
from interlock.domain.base.contract import explain
from interlock.domain.base.duration import Duration
from interlock.domain.base.redaction import KINDS
from interlock.domain.cost.budget import Budget
from interlock.domain.policy.autonomy import Autonomy
from interlock.errors import PolicyError

BUILT_IN_ROUTES = ("auto", "fallback", "retry", "review", "stop")
"""Routes that every workflow knows; any other name is the workflow's own."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Frozen):
    """A condition and the route it leads to."""

    name: str = Field(min_length=1)
    when: str = Field(min_length=1)
    """CEL; true means that the rule matches."""
    route: str = Field(min_length=1)


class TrainingThreshold(_Frozen):
    """The lowest confidence whose out-of-fold error, measured in training, is at most this."""

    training_error: float = Field(gt=0, lt=1)


Duty = Literal["triggered", "proposed", "edited"]
"""Who may not approve: who triggered the run, who wrote the policy, who edited the draft."""


class Gate(_Frozen):
    """A point where people must sign off."""

    routes: tuple[str, ...] = Field(min_length=1)
    """Routes whose cases wait here."""
    voters: str
    """Group of ``access.yaml`` whose members may vote."""
    votes: int = Field(default=1, ge=1)
    """Distinct people who must approve. One rejection rejects."""
    release_after: Duration = timedelta(hours=8)
    """The gate's task ends after this; who is undecided then waits in the ledger for a resume run."""
    sees: tuple[str, ...] = ()
    """Contracts whose latest handoffs the voter is shown, beside the case itself and what will be executed."""
    stages: tuple[Stage, ...] = ()
    """Votes that are asked for beside those of ``voters``; the company's approval matrix adds its own."""
    separation: tuple[Duty, ...] = ("triggered", "proposed", "edited")
    ladder: Ladder = Ladder()
    """What happens while nobody answers."""

    def asked(self, *, at_least: int = 1) -> tuple[Stage, ...]:
        """Return the stages of this gate; *at_least* is a floor for the votes of its own group."""
        own = Stage(name=self.voters, groups=(self.voters,), votes=max(self.votes, at_least))
        return (own, *(s if s.name else s.model_copy(update={"name": ", ".join(s.groups)}) for s in self.stages))


class Check(_Frozen):
    """A condition that a draft must satisfy."""

    name: str = Field(min_length=1)
    that: str | None = Field(default=None, min_length=1)
    """CEL; true means that the draft is fine. What cannot be evaluated is not fine."""
    numbers: str | None = Field(default=None, min_length=1)
    """A draft that is a review (``review``, as rules name it): each of its numbers must be one of the case's facts."""
    on_failure: Literal["review", "stop"] = "review"

    @model_validator(mode="after")
    def _one_of_two(self) -> Check:
        if (self.that is None) == (self.numbers is None):
            raise ValueError("give either 'that' or 'numbers'")
        return self

    @property
    def asks(self) -> str:
        """What it asks, for people."""
        return self.that if self.that is not None else f"every number of {self.numbers} is a fact's"

    @property
    def refuses_edits(self) -> bool:
        """Whether a draft that a person edits must satisfy it: no person can make a number a fact."""
        return self.on_failure == "stop" or self.numbers is not None


class Recovery(_Frozen):
    """What to do with one class of failure."""

    retries: int = Field(default=2, ge=0, le=20)
    backoff_seconds: float = Field(default=0.5, ge=0)
    """Pause before the first repeat; doubled each time, with jitter. ``Retry-After`` wins when it is longer."""
    fallback: bool = True
    """After the repeats, ask the agent's ``fallback`` when it has one, before ``then``."""
    then: Literal["stop", "review", "wait"] = "stop"
    """Where the case goes when nobody answered: dead letter, people, or the ledger, where a later run resumes it."""
    tell: tuple[Literal["owner", "maintainer", "approver"], ...] = ("owner",)
    """Who is notified, once an incident. Nobody when it is empty."""


USUAL: dict[str, Recovery] = {
    "BudgetExhausted": Recovery(retries=0, then="wait"),
    "StaleContext": Recovery(retries=0, fallback=False, then="review"),
}
"""What a runbook that does not name them says of failures that no repeat helps and that are nobody's fault."""


class StopWhen(_Frozen):
    """When so many cases fail that the task must stop instead of going on."""

    failed_share: float = Field(default=0.5, gt=0, le=1)
    at_least: int = Field(default=20, ge=1)
    """Cases that must have been tried before the share counts."""


class Exposure(_Frozen):
    """What is at stake in a case, in the words of the company's approval matrix; each is CEL."""

    amount: str | None = None
    """A number."""
    risk: str | None = None
    """A word."""
    kind: str | None = None
    """A word."""


class Sampling(_Frozen):
    """A share of the cases that would go on by themselves, drawn at random for people to review."""

    name: str = Field(min_length=1)
    route: str = "auto"
    when: str = Field(default="true", min_length=1)
    """CEL over the case alone: the draw must not know how sure an agent was."""
    rate: float = Field(gt=0, le=1)


class Redaction(_Frozen):
    """What is masked before a prompt leaves for a model."""

    names: Literal["as_is", "required"] = "as_is"
    """``required``: people, places and organisations too, and nothing is sent where nobody can find them."""
    keeps: tuple[str, ...] = ()
    """Kinds that a prompt may carry: ``EMAIL``, ``PHONE`` …; a secret never."""

    @field_validator("keeps")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for kind in value:
            if kind not in KINDS or kind == "SECRET":
                raise ValueError(f"{kind!r} is no kind that may leave (known: {', '.join(KINDS[1:])})")
        return value


class Reviewed(_Frozen):
    """When people last went through the policy, and how often they must."""

    last: date
    every: Duration
    """Calendar days: ``180d``."""

    @property
    def until(self) -> date:
        """The last day on which the policy counts as reviewed."""
        return self.last + self.every


class Policy(_Frozen):
    """All that decides what may go on by itself."""

    policy: str
    contract: str
    """The intake contract: its fields are ``case.<field>`` in rules."""
    threshold: TrainingThreshold | float | None = None
    rules: tuple[Rule, ...] = ()
    default: str = "review"
    gates: dict[str, Gate] = Field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    runbook: dict[str, Recovery] = Field(default_factory=dict)
    stop_when: StopWhen = StopWhen()
    budgets: tuple[Budget, ...] = ()
    """Per case, run and workflow; those of teams and the company belong in ``budgets.yaml``."""
    fresh: dict[str, Duration] = Field(default_factory=dict)
    """Contract to how old its handoff may be when a role reads it; the intake contract's name: the case itself."""
    exposure: Exposure = Exposure()
    sampling: tuple[Sampling, ...] = ()
    reviewed: Reviewed | None = None
    redaction: Redaction = Redaction()
    autonomy: dict[str, Autonomy] = Field(default_factory=dict)
    """Action, by the name of its connector, to whether it may go on without a vote. Default: it may not."""

    def recovery(self, error: BaseException) -> Recovery:
        """Return the runbook's entry for the class of *error* or its nearest base, what is usual, or ``default``."""
        for cls in type(error).__mro__:
            if cls.__name__ in self.runbook:
                return self.runbook[cls.__name__]
            if cls.__name__ in USUAL:
                return USUAL[cls.__name__]
        return self.runbook.get("default", Recovery())

    def gate_for(self, route: str) -> str | None:
        """Return the name of the gate whose cases take *route*, or None."""
        return next((name for name, gate in self.gates.items() if route in gate.routes), None)

    def routes(self) -> set[str]:
        """Return every route that a rule, the default or a check can lead to."""
        return {rule.route for rule in self.rules} | {self.default} | {check.on_failure for check in self.checks}


def parse_policy(document: Any, *, where: str = "policy.yaml") -> Policy:
    """
    Return the policy of a parsed YAML *document*.

    :raises PolicyError: with each problem as ``place: what is wrong``.
    """
    try:
        policy = Policy.model_validate(document)
    except ValidationError as error:
        raise PolicyError(f"{where} cannot be used: " + "; ".join(explain(error))) from None
    problems = []
    for kind, names in (("rule", [r.name for r in policy.rules]), ("check", [c.name for c in policy.checks])):
        problems += [f"two {kind}s are named {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    served = [route for gate in policy.gates.values() for route in gate.routes]
    problems += [f"route {r!r} is served by two gates" for r in sorted({r for r in served if served.count(r) > 1})]
    if "auto" in served:
        problems.append("a gate lists route 'auto', which means that nobody is asked")
    if problems:
        raise PolicyError(f"{where} cannot be used: " + "; ".join(problems))
    return policy
