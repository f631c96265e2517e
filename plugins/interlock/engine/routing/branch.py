"""Deciding where each case goes, by the pinned policy's rules; every decision is kept with all that it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interlock.domain.cases.case import CaseState
from interlock.domain.routing.routing import Decision
from interlock.engine.routing.pilot_and_sampling import Restraint
from interlock.engine.routing.rule_input import capped, threshold_of, variables
from interlock.engine.runs.session import GROUP, Session
from interlock.errors import ConfigurationError
from interlock.ledger.cases.case import CaseFile, cases_at, load_files, lock_cases, move
from interlock.ledger.cases.handoff import agent_reports, load_handoffs
from interlock.ledger.routing.decision import DecisionEntry, record_decisions
from interlock.ledger.store.record import UNSET, CaseChange, Handoff


def route_cases(session: Session) -> dict[str, int]:
    """Decide the route of every case that stands at the branch; return counts by route."""
    after = ""
    while True:
        with session.read() as connection:
            rows = cases_at(connection, session.run, session.task.task_id, limit=GROUP, after=after)
            files = load_files(connection, rows)
            handoffs = load_handoffs(connection, [r.handoff_id for r in rows if r.handoff_id])
            reports = agent_reports(connection, sorted({h.agent_digest for h in handoffs.values()}))
        if not rows:
            break
        after = rows[-1].id
        _route_group(session, files, handoffs, reports)
    return session.finish()


def _route_group(
    session: Session, files: list[CaseFile], handoffs: Mapping[str, Handoff], reports: Mapping[str, Any]
) -> None:
    bundle = session.version.bundle
    decided = []
    thresholds = {agent: threshold_of(bundle.policy, report) for agent, report in reports.items()}
    unknown = threshold_of(bundle.policy, None)
    for file in files:
        said = handoffs.get(file.case.handoff_id or "")
        confidence = capped(said.confidence, file) if said else None
        threshold = thresholds.get(said.agent_digest, unknown) if said else unknown
        inputs = variables(file, bundle, confidence=confidence, threshold=threshold)
        decided.append((file, session.router.decide(inputs), confidence, threshold))
    restraint = Restraint.of(session)
    with session.write() as tx:
        unchanged = {row.id: row for row in lock_cases(tx, [file.case for file, *_ in decided])}
        restraint.begin(tx)
        moves = []
        here = [entry for entry in decided if entry[0].id in unchanged]
        session.count("changed_meanwhile", len(decided) - len(here))
        entries = []
        for file, decision, confidence, threshold in here:
            held = restraint.hold_back(file, decision)
            served, change = _destination(session, held.decision)
            if not file.case.handoff_id and file.case.reason:  # what the runbook sent here without an answer
                reasons = (change.reason if change.reason is not UNSET else None, file.case.reason)
                change = replace(change, reason="; ".join(reason for reason in reasons if reason))
            entries.append(DecisionEntry(file, served, confidence, threshold, held.policy_route, held.sample_rate))
            session.count(served.route)
            change = replace(change, route=served.route, attempt=file.case.attempt + 1)
            moves.append((file, change))
        ids = record_decisions(tx, session.run, session.task.task_id, entries)
        move(
            tx,
            [(file.case, replace(change, decision_id=ids[file.id])) for file, change in moves],
            kind="case.routed",
        )
    session.log.info("routed: %s", ", ".join(f"{count} {route}" for route, count in session.counts.items()))


def _destination(session: Session, decision: Decision) -> tuple[Decision, CaseChange]:
    """
    Return the decision as it can be carried out, and where the case goes; what no task serves goes to people or stops.
    """
    if decision.route == "stop":
        return decision, CaseChange(state=CaseState.DEAD, reason=f"rule {decision.rule!r} stops it")
    try:
        change = session.place_after(decision.route)
    except ConfigurationError as error:
        held = Decision(rule=decision.rule, route="review", error=str(error), inputs=decision.inputs)
        if decision.route == "review":
            return (
                Decision(rule=decision.rule, route="stop", error=str(error), inputs=decision.inputs),
                CaseChange(state=CaseState.DEAD, reason=str(error)),
            )
        return _destination(session, held)
    return decision, CaseChange(state=CaseState.ROUTED, reason=_reason(decision)) | change


def _reason(decision: Decision) -> str | None:
    if decision.error:
        return f"rule {decision.rule!r} could not be evaluated: {decision.error}"
    return None if decision.route == "auto" else decision.rule
