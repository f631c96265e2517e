"""
Checking drafts, and authorising those that policy lets go by themselves.

An authorisation is written here or by votes at a gate, and nowhere else. Only the route ``auto`` is authorised here, on
the basis of its routing decision and bound to the digest of exactly what will be executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from interlock.domain.base.contract import Contract, contract_digest
from interlock.domain.cases.case import CaseState
from interlock.domain.cases.wiring import WiredTask
from interlock.domain.policy.policy import Check
from interlock.domain.routing.routing import Decision
from interlock.engine.agents.permission import why_not_automatic
from interlock.engine.cases.station import CaseStep, Grant, Group, Passage, Station, run_step
from interlock.engine.routing.rule_input import variables
from interlock.engine.runs.session import Session
from interlock.errors import ConfigurationError
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.cases.handoff import Made, Maker, handoffs_there, write_handoffs
from interlock.ledger.routing.decision import DecisionEntry
from interlock.ledger.store.record import CaseChange, Handoff
from interlock.ledger.store.transaction import Transaction

NO_DRAFT = Check(name="there is no draft", that="false", on_failure="review")
"""What a case fails that no role wrote anything for; the policy's own checks would read what is not there."""


FailedCheck = tuple[Check, str | None]
"""A check that a draft does not satisfy, with why when it could not be evaluated."""


class Validation(Contract):
    """What the policy's checks said of a draft."""

    passed: bool
    failed: list[str]
    """Names of the checks that it does not satisfy, each with why when it could not be evaluated."""


def validate_cases(session: Session) -> dict[str, int]:
    """Check the draft of every case at the task, and hand it on; return counts."""
    return run_step(Station(session, handoffs=["draft_id"]), _Validating(session))


class _Validating(CaseStep):
    kind = "case.validated"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._maker = Maker(
            task=session.task.task_id,
            agent="policy checks",
            agent_digest=session.version.bundle.digest,
            contract=Validation.contract_ref(),
            contract_name=Validation.__name__,
            contract_digest=contract_digest(Validation),
        )
        self._drafts: dict[str, Handoff] = {}
        """The drafts of a group, by case."""
        self._failed: dict[str, list[FailedCheck]] = {}
        self._written: dict[str, Handoff] = {}

    def prepare(self, group: Group) -> None:
        bundle, router = self.session.version.bundle, self.session.router
        self._drafts = {file.id: draft for file in group.files if (draft := group.draft_of(file)) is not None}
        self._failed = {
            file.id: router.failed_checks(variables(file, bundle)) if file.id in self._drafts else [(NO_DRAFT, None)]
            for file in group.files
        }

    def begin(self, tx: Transaction, here: Sequence[CaseFile]) -> None:
        made = [self._made(file) for file in here]
        existing = handoffs_there(
            tx.connection, self._maker, {m.file.id: self._maker.key(m.input_digest) for m in made}
        )
        fresh = [one for one in made if one.file.id not in existing]
        self._written = existing | write_handoffs(tx, self.session.run, self._maker, fresh)

    def _made(self, file: CaseFile) -> Made:
        draft, failed = self._drafts.get(file.id), self._failed[file.id]
        return Made(
            file=file,
            input_digest=draft.payload_digest if draft is not None else file.case.payload_digest,
            payload={"passed": not failed, "failed": [told(*one) for one in failed]},
            confidence=None,
            provenance={"version": self.session.version.number},
        )

    def passage(self, file: CaseFile) -> Passage:
        draft = self._drafts.get(file.id)
        passage = self._without_draft(file) if draft is None else self._with_draft(file, draft)
        context = {**file.case.context, Validation.__name__: self._written[file.id].id}
        return replace(passage, change=replace(passage.change, context=context))

    def _without_draft(self, file: CaseFile) -> Passage:
        """Bring a case to people who can write what a role could not; where no gate follows, it is a dead letter."""
        place = self.session.place_before_people(file.case.route)
        if place is None:
            dead = CaseChange(state=CaseState.DEAD, reason=f"{NO_DRAFT.name} to check or to send")
            return Passage(file=file, change=dead, counts=("dead",))
        decision = None
        if isinstance(place.route, str):
            decision = Decision(rule=f"failed check: {NO_DRAFT.name}", route=place.route, inputs={})
        change = CaseChange(reason=file.case.reason or NO_DRAFT.name) | place
        return Passage(file=file, change=change, counts=("without_draft",), decision=_entry(file, decision))

    def _with_draft(self, file: CaseFile, draft: Handoff) -> Passage:
        decision, counts = self._overruled(file, draft)
        if decision is not None and decision.route == "stop":
            dead = CaseChange(state=CaseState.DEAD, route="stop", reason=f"failed check: {decision.inputs['failed']}")
            return Passage(file=file, change=dead, counts=(*counts, "dead"), decision=_entry(file, decision))
        route = file.case.route if decision is None else decision.route
        following = self._following(route)
        if following is None:
            raise ConfigurationError(f"nothing takes route {route!r} over from {self.session.task.task_id!r}")
        change, grant = CaseChange(route=route, task=following.task_id), None
        if decision is not None:
            change = replace(change, reason=decision.rule)
        if following.kind == "gate":
            change = replace(change, state=CaseState.WAITING)
        elif following.kind == "execution":
            change, grant = replace(change, state=CaseState.AUTHORISED), _grant(file, draft, route, following)
        counts = (*counts, route or "none")
        return Passage(file=file, change=change, counts=counts, decision=_entry(file, decision), grant=grant)

    def _overruled(self, file: CaseFile, draft: Handoff) -> tuple[Decision | None, tuple[str, ...]]:
        """Return the decision that takes the case off its route, and under what that is counted; None: it stays."""
        failed, route = self._failed[file.id], file.case.route
        if failed:
            on_failure = "stop" if any(check.on_failure == "stop" for check, _ in failed) else "review"
            names = ", ".join(told(check, error) for check, error in failed)
            rule = f"failed check: {names}"[:300]
            return Decision(rule=rule, route=on_failure, inputs={"failed": names}), ("failed_checks",)
        if route != "auto":
            return None, ()
        if file.case.review_asked_by:
            return Decision(rule=f"asked for by {file.case.review_asked_by}", route="review", inputs={}), ()
        following = self._following(route)
        if following is not None and following.kind == "execution":
            why = why_not_automatic(self.session, following.connector or "", draft.contract_name)
            if why is not None:
                held = Decision(rule=f"autonomy: {why}"[:300], route="review", inputs={"autonomy": why})
                return held, ("held_by_autonomy",)
        return None, ()

    def _following(self, route: str | None) -> WiredTask | None:
        return self.session.run.wiring.next_task(self.session.task.task_id, route)


def _entry(file: CaseFile, decision: Decision | None) -> DecisionEntry | None:
    return None if decision is None else DecisionEntry(file, decision)


def _grant(file: CaseFile, draft: Handoff, route: str | None, following: WiredTask) -> Grant:
    if route != "auto" or not file.case.decision_id or following.connector is None:
        raise ConfigurationError(
            f"route {route!r} reaches execution {following.task_id!r} without votes; only 'auto' may"
        )
    return Grant(following.connector, draft.payload_digest, f"decision:{file.case.decision_id}")


def told(check: Check, error: str | None) -> str:
    """Return a failed check for a person."""
    return f"{check.name} ({error})" if error else check.name
