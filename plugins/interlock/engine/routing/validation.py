"""
Checking drafts, and authorising those that policy lets go by themselves.

An authorisation is written here or by votes at a gate, and nowhere else. Only the route ``auto`` is authorised here, on
the basis of its routing decision and bound to the digest of exactly what will be executed.
"""

from __future__ import annotations

from dataclasses import replace

from interlock.domain.base.contract import Contract, contract_digest
from interlock.domain.cases.case import CaseState
from interlock.domain.cases.wiring import WiredTask
from interlock.domain.policy.policy import Check
from interlock.domain.routing.routing import Decision
from interlock.engine.agents.permission import why_not_automatic
from interlock.engine.routing.rule_input import variables
from interlock.engine.runs.session import GROUP, Session
from interlock.errors import ConfigurationError
from interlock.ledger.cases.case import CaseFile, cases_at, load_files, lock_cases, move
from interlock.ledger.cases.handoff import Made, Maker, handoffs_there, load_handoffs, write_handoffs
from interlock.ledger.effects.authorisation import authorise
from interlock.ledger.routing.decision import DecisionEntry, record_decisions
from interlock.ledger.store.record import UNSET, CaseChange, Handoff
from interlock.ledger.store.transaction import Transaction

NO_DRAFT = Check(name="there is no draft", that="false", on_failure="review")
"""What a case fails that no role wrote anything for; the policy's own checks would read what is not there."""


class Validation(Contract):
    """What the policy's checks said of a draft."""

    passed: bool
    failed: list[str]
    """Names of the checks that it does not satisfy, each with why when it could not be evaluated."""


def validate_cases(session: Session) -> dict[str, int]:
    """Check the draft of every case that stands at the task, and hand it on; return counts."""
    after = ""
    while True:
        with session.read() as connection:
            rows = cases_at(connection, session.run, session.task.task_id, limit=GROUP, after=after)
            files = load_files(connection, rows)
            drafts = load_handoffs(connection, [row.draft_id for row in rows if row.draft_id])
        if not rows:
            break
        after = rows[-1].id
        with session.write() as tx:
            unchanged = {row.id for row in lock_cases(tx, rows)}
            session.count("changed_meanwhile", len(rows) - len(unchanged))
            _validate_group(tx, session, [file for file in files if file.id in unchanged], drafts)
    return session.finish()


def _validate_group(tx: Transaction, session: Session, files: list[CaseFile], drafts: dict[str, Handoff]) -> None:
    bundle = session.version.bundle
    maker = Maker(
        task=session.task.task_id,
        agent="policy checks",
        agent_digest=session.version.bundle.digest,
        contract=Validation.contract_ref(),
        contract_name=Validation.__name__,
        contract_digest=contract_digest(Validation),
    )
    failed: dict[str, list[tuple[Check, str | None]]] = {
        file.id: session.router.failed_checks(variables(file, bundle)) if file.case.draft_id else [(NO_DRAFT, None)]
        for file in files
    }
    made = [
        Made(
            file=file,
            input_digest=drafts[file.case.draft_id].payload_digest if file.case.draft_id else file.case.payload_digest,
            payload={"passed": not failed[file.id], "failed": [told(*entry) for entry in failed[file.id]]},
            confidence=None,
            provenance={"version": session.version.number},
        )
        for file in files
    ]
    there = handoffs_there(tx.connection, maker, {m.file.id: maker.key(m.input_digest) for m in made})
    written = there | write_handoffs(tx, session.run, maker, [m for m in made if m.file.id not in there])
    overruled: list[DecisionEntry] = []
    moves: dict[str, CaseChange] = {}
    grants: dict[str, list[tuple[str, str, str]]] = {}
    for file in files:
        change, decision, grant = _place(session, file, failed[file.id], drafts)
        context = {**file.case.context, Validation.__name__: written[file.id].id}
        moves[file.id] = replace(change, context=context)
        if decision is not None:
            overruled.append(DecisionEntry(file, decision))
        if grant is not None:
            grants.setdefault(grant[0], []).append((file.id, *grant[1:]))
    for case_id, decision_id in record_decisions(tx, session.run, session.task.task_id, overruled).items():
        moves[case_id] = replace(moves[case_id], decision_id=decision_id)
    for action, granted in grants.items():
        authorise(tx, granted, action=action, version_id=session.version.id)
    move(tx, [(file.case, moves[file.id]) for file in files], kind="case.validated")


def _place(
    session: Session, file: CaseFile, failed: list[tuple[Check, str | None]], drafts: dict[str, Handoff]
) -> tuple[CaseChange, Decision | None, tuple[str, str, str] | None]:
    """Return how a case moves, the decision that overrules its route, and what is authorised: action, digest, basis."""
    draft = drafts.get(file.case.draft_id or "")
    if draft is None:
        return _without_draft(session, file)
    route, decision = file.case.route, None
    if failed:
        on_failure = "stop" if any(check.on_failure == "stop" for check, _ in failed) else "review"
        names = ", ".join(told(check, error) for check, error in failed)
        decision = Decision(rule=f"failed check: {names}"[:300], route=on_failure, inputs={"failed": names})
        session.count("failed_checks")
        if on_failure == "stop":
            session.count("dead")
            return CaseChange(state=CaseState.DEAD, route="stop", reason=f"failed check: {names}"), decision, None
        route = "review"
    elif route == "auto" and file.case.review_asked_by:
        decision = Decision(rule=f"asked for by {file.case.review_asked_by}", route="review", inputs={})
        route = "review"
    following = session.run.wiring.next_task(session.task.task_id, route)
    if route == "auto" and following is not None and following.kind == "execution":
        why = why_not_automatic(session, following.connector or "", draft.contract_name)
        if why is not None:
            decision = Decision(rule=f"autonomy: {why}"[:300], route="review", inputs={"autonomy": why})
            route = "review"
            session.count("held_by_autonomy")
            following = session.run.wiring.next_task(session.task.task_id, route)
    if following is None:
        raise ConfigurationError(f"nothing takes route {route!r} over from {session.task.task_id!r}")
    change = CaseChange(route=route, task=following.task_id)
    if decision is not None:
        change = replace(change, reason=decision.rule)
    session.count(route or "none")
    return _handed_on(session, file, change, following, draft, decision)


def _without_draft(session: Session, file: CaseFile) -> tuple[CaseChange, Decision | None, None]:
    """Bring a case to people who can write what a role could not; where no gate follows, it is a dead letter."""
    place = session.place_before_people(file.case.route)
    if place is None:
        session.count("dead")
        return CaseChange(state=CaseState.DEAD, reason=f"{NO_DRAFT.name} to check or to send"), None, None
    session.count("without_draft")
    change = CaseChange(reason=file.case.reason or NO_DRAFT.name) | place
    if place.route is UNSET or place.route is None:
        return change, None, None
    return change, Decision(rule=f"failed check: {NO_DRAFT.name}", route=place.route, inputs={}), None


def _handed_on(
    session: Session,
    file: CaseFile,
    change: CaseChange,
    following: WiredTask,
    draft: Handoff,
    decision: Decision | None,
) -> tuple[CaseChange, Decision | None, tuple[str, str, str] | None]:
    if following.kind != "execution":
        return (replace(change, state=CaseState.WAITING) if following.kind == "gate" else change), decision, None
    if change.route != "auto" or not file.case.decision_id or following.connector is None:
        raise ConfigurationError(
            f"route {change.route!r} reaches execution {following.task_id!r} without votes; only 'auto' may"
        )
    grant = (following.connector, draft.payload_digest, f"decision:{file.case.decision_id}")
    return replace(change, state=CaseState.AUTHORISED), decision, grant


def told(check: Check, error: str | None) -> str:
    """Return a failed check for a person."""
    return f"{check.name} ({error})" if error else check.name
