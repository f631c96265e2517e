"""
What holds cases back that the rules would let go on by themselves: the pilot's scope and cap, and the sampled review.

They only ever send a case to people. What the rules alone said is kept beside it, so that a replay holds rules against
rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.domain.base.expression import Expression
from interlock.domain.policy.check import case_types
from interlock.domain.policy.workflow import Pilot
from interlock.domain.routing.routing import Decision
from interlock.domain.routing.sampling import Samplings, is_drawn, sampling_for
from interlock.engine.routing.rule_input import variables
from interlock.engine.runs.session import Session
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.policy.pilot_usage import count_automatic
from interlock.ledger.store.transaction import Transaction


@dataclass(frozen=True)
class Held:
    """A decision as it is carried out."""

    decision: Decision
    policy_route: str | None = None
    sample_rate: float | None = None


@dataclass
class Restraint:
    """For the cases of one group of a branch."""

    session: Session
    samplings: Samplings
    pilot: Pilot | None
    scope: Expression | None
    left: int | None = field(default=None)
    """Cases that may still go on by themselves today; None: as many as there are."""

    @classmethod
    def of(cls, session: Session) -> Restraint:
        """Return what the pinned version holds back."""
        bundle = session.version.bundle
        types = case_types(bundle)
        pilot = bundle.settings.pilot if bundle.settings.phase == "pilot" else None
        return cls(
            session,
            [(sampling, Expression(sampling.when, types)) for sampling in bundle.policy.sampling],
            pilot,
            Expression(pilot.scope, types) if pilot else None,
        )

    def begin(self, tx: Transaction) -> None:
        """Look how much of the daily cap is left, and let other branches wait for their turn to do so."""
        if self.pilot is None or self.pilot.daily_cap is None:
            return
        run = self.session.run
        tx.take_turns(f"pilot:{run.environment}:{run.workflow}")
        since = self.session.company.calendar.day_start(tx.at)
        gone = count_automatic(tx.connection, run.environment, run.workflow, since=since)
        self.left = self.pilot.daily_cap - gone

    def hold_back(self, file: CaseFile, decision: Decision) -> Held:
        """Return *decision*, or one that sends the case to people instead."""
        known = variables(file, self.session.version.bundle)
        if decision.route == "auto" and (why := self._outside_the_pilot(known)):
            return Held(_to_people(decision, why), policy_route="auto")
        sampling = sampling_for(self.samplings, decision.route, known)
        if sampling is not None and is_drawn(file.secret, sampling):
            why = f"drawn for review ({sampling.name}, rate {sampling.rate:g})"
            return Held(_to_people(decision, why), policy_route=decision.route, sample_rate=sampling.rate)
        if decision.route == "auto" and self.left is not None:
            self.left -= 1
        return Held(decision, sample_rate=sampling.rate if sampling is not None else None)

    def _outside_the_pilot(self, known: Mapping[str, Any]) -> str:
        if self.pilot is None or self.scope is None:
            return ""
        if self.scope.evaluate(known).value is not True:
            return "outside the pilot's scope"
        if self.left is not None and self.left <= 0:
            return f"the pilot's daily cap of {self.pilot.daily_cap} is reached"
        return ""


def _to_people(decision: Decision, why: str) -> Decision:
    return Decision(rule=f"{why}; by the rules: {decision.rule}"[:300], route="review", inputs=decision.inputs)
