"""Deciding where each case goes, by the pinned policy's rules; every decision is kept with all that it read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interlock.domain.cases.case import CaseState
from interlock.domain.routing.routing import Decision
from interlock.engine.cases.station import CaseStep, Group, Passage, Station, run_step
from interlock.engine.routing.pilot_and_sampling import Restraint
from interlock.engine.routing.rule_input import capped, threshold_of, variables
from interlock.engine.runs.session import Session
from interlock.errors import ConfigurationError
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.cases.handoff import agent_reports
from interlock.ledger.routing.decision import DecisionEntry
from interlock.ledger.store.record import CaseChange
from interlock.ledger.store.transaction import Transaction


def route_cases(session: Session) -> dict[str, int]:
    """Decide the route of every case at the branch; return counts by route."""
    return run_step(Station(session, handoffs=["handoff_id"]), _Branch(session))


@dataclass(frozen=True)
class _Decided:
    decision: Decision
    confidence: float | None
    threshold: float | None


class _Branch(CaseStep):
    kind = "case.routed"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._restraint = Restraint.of(session)
        self._decided: dict[str, _Decided] = {}

    def prepare(self, group: Group) -> None:
        policy = self.session.version.bundle.policy
        with self.session.read() as connection:
            agents = {answer.agent_digest for file in group.files if (answer := group.answer_of(file)) is not None}
            reports = agent_reports(connection, sorted(agents))
        thresholds = {agent: threshold_of(policy, report) for agent, report in reports.items()}
        unknown = threshold_of(policy, None)
        self._decided = {}
        for file in group.files:
            answer = group.answer_of(file)
            confidence = capped(answer.confidence, file) if answer else None
            threshold = thresholds.get(answer.agent_digest, unknown) if answer else unknown
            known = variables(file, self.session.version.bundle, confidence=confidence, threshold=threshold)
            self._decided[file.id] = _Decided(self.session.router.decide(known), confidence, threshold)

    def begin(self, tx: Transaction, here: Sequence[CaseFile]) -> None:
        self._restraint.begin(tx)

    def passage(self, file: CaseFile) -> Passage:
        decided = self._decided[file.id]
        held = self._restraint.hold_back(file, decided.decision)
        served, change = _destination(self.session, held.decision)
        if not file.case.handoff_id and file.case.reason:  # what the runbook sent here without an answer
            reasons = (change.reason or "", file.case.reason)
            change = replace(change, reason="; ".join(str(reason) for reason in reasons if reason))
        return Passage(
            file=file,
            change=replace(change, route=served.route, attempt=file.case.attempt + 1),
            counts=(served.route,),
            decision=DecisionEntry(
                file, served, decided.confidence, decided.threshold, held.policy_route, held.sample_rate
            ),
        )


def _destination(session: Session, decision: Decision) -> tuple[Decision, CaseChange]:
    """
    Return the decision as it can be carried out, and where the case goes; what no task serves goes to people or stops.
    """
    if decision.route == "stop":
        return decision, CaseChange(state=CaseState.DEAD, reason=f"rule {decision.rule!r} stops it")
    try:
        change = session.place_after(decision.route)
    except ConfigurationError as error:
        if decision.route != "review":
            return _destination(session, replace(decision, route="review", error=str(error)))
        stopped = replace(decision, route="stop", error=str(error))
        return stopped, CaseChange(state=CaseState.DEAD, reason=str(error))
    return decision, CaseChange(state=CaseState.ROUTED, reason=_reason(decision)) | change


def _reason(decision: Decision) -> str | None:
    if decision.error:
        return f"rule {decision.rule!r} could not be evaluated: {decision.error}"
    return None if decision.route == "auto" else decision.rule
