"""
What a proposed policy would have done with decisions that were made: which flip, and what that means for people.

Nothing is guessed. A decision whose proposal reads what nobody knows any more is *not replayable*, and its case counts
in no figure of load or error. What follows a flip is not known either: a case that would have gone to another agent
would have got an answer that was never given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from interlock.domain.cases.wiring import Wiring
from interlock.domain.policy.policy import Policy
from interlock.domain.routing.routing import Decision, Router
from interlock.errors import ConfigurationError

NAMED_CASES = 20
"""Flips that a report names; the rest are counted."""

FORGOTTEN = "(forgotten)"
"""Stands for a variable where all that a decision read was forgotten together with its case."""

DecidedBy = Literal["rules", "checks", "people"]


@dataclass(frozen=True, kw_only=True)
class RecordedDecision:
    """A decision as it was made."""

    case_id: str
    business_key: str
    by: DecidedBy
    rule: str
    route: str
    error: str | None = None
    confidence: float | None = None
    is_gated: bool = False
    """Its route led to people, by the policy of that time."""


@dataclass(frozen=True, kw_only=True)
class Again:
    """What the proposal says of a recorded decision of the rules."""

    rule: str
    route: str
    error: str | None = None
    unknown: tuple[str, ...] = ()
    """Variables that the proposal reads and nobody knows any more: then the rest says nothing."""


UNASKED = Again(rule="", route="")
"""For decisions of people and of checks, which are not replayed."""


def decide_again(router: Router, known: Mapping[str, Any]) -> Decision | tuple[str, ...]:
    """
    Return what *router* decides on *known*, or the names that it read and that are not in *known*.

    A name whose value is None is known to have been absent. A name that only a rule behind the deciding one reads is
    not missed.
    """
    decision = router.decide(known)
    unknown = tuple(name for name in decision.inputs if name not in known)
    return unknown or decision


def carried_out(wiring: Wiring | None, task_id: str, decision: Decision) -> Again:
    """
    Return *decision* as the branch *task_id* can carry it out: what no task serves goes to people, or stops.
    """
    route, error = decision.route, decision.error
    if wiring is not None and task_id in wiring.tasks:
        for held_back in ("review", "stop"):
            problem = None if route == "stop" else _unserved(wiring, task_id, route)
            if problem is None:
                break
            route, error = held_back if route != "review" else "stop", problem
    return Again(rule=decision.rule, route=route, error=error)


def _unserved(wiring: Wiring, task_id: str, route: str) -> str | None:
    try:
        following = wiring.next_task(task_id, route)
    except ConfigurationError as error:
        return str(error)
    if following is None:
        return f"nothing of ours follows task {task_id!r}, and its cases are not done"
    if following.kind == "execution":
        return f"execution {following.task_id!r} follows {task_id!r} without a validation or a gate"
    return None


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One decision that would be another."""

    case: str
    confidence: float | None
    before: str
    after: str
    rule_before: str
    rule_after: str
    error_after: str | None


@dataclass
class Automatic:
    """Cases that become automatic, or stop being so."""

    cases: int = 0
    expected_errors: float = 0.0
    """Sum of 1 - confidence; a case without a confidence counts as 1."""
    without_confidence: int = 0

    def add(self, confidence: float | None) -> None:
        """Count a case."""
        self.cases += 1
        self.without_confidence += confidence is None
        self.expected_errors += 1.0 if confidence is None else 1.0 - confidence


@dataclass
class Load:
    """How many cases go to people, of those whose end is known both ways."""

    cases: int = 0
    before: int = 0
    after: int = 0
    unknown: int = 0
    """Cases that would go to another agent, whose answer was never given, or that are not replayable."""
    minutes_per_review: float = 3.0

    def as_json(self) -> dict[str, Any]:
        """Return it with shares and hours."""
        share = {name: count / self.cases if self.cases else 0.0 for name, count in self._both().items()}
        hours = {name: count * self.minutes_per_review / 60 for name, count in self._both().items()}
        return {**asdict(self), "share": share, "hours": hours}

    def _both(self) -> dict[str, int]:
        return {"before": self.before, "after": self.after}


@dataclass
class Comparison:
    """What a replay came to."""

    decisions: int = 0
    replayed: int = 0
    by_people: int = 0
    by_checks: int = 0
    after_a_flip: int = 0
    """Decisions of the rules that would not have been made: an earlier one of their case flips."""
    not_replayable: int = 0
    unknown_variables: Counter[str] = field(default_factory=Counter)
    unevaluated_before: int = 0
    unevaluated_after: int = 0
    """Closed: a rule could not be evaluated, or no task serves its route. The case goes to people, or stops."""
    other_rule: int = 0
    """Same route, by another rule."""
    routes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Flips by route before and after."""
    flips: list[Flip] = field(default_factory=list)
    """The first :data:`NAMED_CASES`, the latest decision first."""
    load: Load = field(default_factory=Load)
    become_automatic: Automatic = field(default_factory=Automatic)
    stop_being_automatic: Automatic = field(default_factory=Automatic)

    @property
    def flipped(self) -> int:
        """How many decisions would be others."""
        return self.routes.total()

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            **{name: value for name, value in vars(self).items() if isinstance(value, int)},
            "flipped": self.flipped,
            "unknown_variables": dict(self.unknown_variables.most_common()),
            "routes": [
                {"before": before, "after": after, "decisions": count}
                for (before, after), count in self.routes.most_common()
            ],
            "flips": [asdict(flip) for flip in self.flips],
            "load": self.load.as_json(),
            "become_automatic": asdict(self.become_automatic),
            "stop_being_automatic": asdict(self.stop_being_automatic),
        }


def compare(
    pairs: Iterable[tuple[RecordedDecision, Again]], policy: Policy, *, minutes_per_review: float = 3.0
) -> Comparison:
    """
    Return what *policy* changes.

    :param pairs: decisions in the order in which they were made, each with what the proposal says of it
        (:data:`UNASKED` for those of people and checks).
    """
    found = Comparison(load=Load(minutes_per_review=minutes_per_review))
    ways: dict[str, list[tuple[RecordedDecision, Again]]] = {}
    for recorded, again in pairs:
        ways.setdefault(recorded.case_id, []).append((recorded, again))
        found.decisions += 1
        found.by_people += recorded.by == "people"
        found.by_checks += recorded.by == "checks"
    gated = {route for gate in policy.gates.values() for route in gate.routes}
    for way in reversed(ways.values()):
        _follow(way, gated, found)
    return found


def _follow(way: list[tuple[RecordedDecision, Again]], gated: set[str], found: Comparison) -> None:
    """Go a case's way up to the first decision that flips, and count where it ends before and after."""
    flip: tuple[RecordedDecision, Again] | None = None
    is_known = True
    for recorded, again in way:
        if recorded.by != "rules":
            continue
        if flip is not None:
            found.after_a_flip += 1
        elif again.unknown:
            found.not_replayable += 1
            found.unknown_variables.update(again.unknown)
            is_known = False
        else:
            found.replayed += 1
            found.unevaluated_before += recorded.error is not None
            found.unevaluated_after += again.error is not None
            if again.route != recorded.route:
                flip = (recorded, again)
                _count_flip(recorded, again, found)
            elif again.rule != recorded.rule:
                found.other_rule += 1
    if all(recorded.by == "people" for recorded, _ in way):
        return
    if not is_known or (flip is not None and flip[1].route == "fallback"):
        found.load.unknown += 1
        return
    _count_end(way, flip, gated, found)


def _count_flip(recorded: RecordedDecision, again: Again, found: Comparison) -> None:
    found.routes[(recorded.route, again.route)] += 1
    if len(found.flips) < NAMED_CASES:
        found.flips.append(
            Flip(
                case=recorded.business_key,
                confidence=recorded.confidence,
                before=recorded.route,
                after=again.route,
                rule_before=recorded.rule,
                rule_after=again.rule,
                error_after=again.error,
            )
        )


def _count_end(
    way: list[tuple[RecordedDecision, Again]],
    flip: tuple[RecordedDecision, Again] | None,
    gated: set[str],
    found: Comparison,
) -> None:
    last, route = way[-1][0], way[-1][0].route
    if flip is not None:
        # A check's verdict is on the draft, whatever route brought it there; a case that stops has no draft.
        checked = next((recorded for recorded, _ in reversed(way) if recorded.by == "checks"), None)
        route = flip[1].route if checked is None or flip[1].route == "stop" else checked.route
    found.load.cases += 1
    found.load.before += last.is_gated
    found.load.after += route in gated
    if flip is None or (route == "auto") == (last.route == "auto"):
        return
    if route == "auto":
        found.become_automatic.add(flip[0].confidence)
    else:
        found.stop_being_automatic.add(last.confidence)
