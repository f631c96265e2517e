"""
A gate's turn: asking people about the cases that wait, and counting an answer that came through Airflow's own request.

Votes are rows of the ledger, one a case. Airflow's request is the bell: its answer counts for the undecided cases that
it listed, and only where what would be sent is still what it showed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from cel_expr_python import cel

from interlock.domain.approvals.access import Identity
from interlock.domain.approvals.approval import CASE_TYPES, Stage, stages_for
from interlock.domain.approvals.eligibility import Electorate
from interlock.domain.base.canonical import keyed_digest
from interlock.domain.base.expression import Expression
from interlock.domain.cases.case import CaseState
from interlock.domain.cases.wiring import Wiring
from interlock.domain.policy.policy import Gate
from interlock.domain.policy.version import Bundle, WorkflowVersion
from interlock.engine.cases.station import Station
from interlock.engine.routing.rule_input import variables
from interlock.engine.runs.session import Session
from interlock.errors import ConfigurationError, InterlockError
from interlock.ledger.approvals.gate import (
    NOTHING,
    Answer,
    Ask,
    cast_vote,
    decided_at,
    listing_of,
    open_at,
    open_requests,
    votes_on,
    write_listing,
)
from interlock.ledger.cases.case import CaseFile, cases_at, load_files
from interlock.ledger.cases.handoff import draft_of, load_handoffs
from interlock.ledger.policy.company import company_at
from interlock.ledger.runs.run import WorkflowRun, triggered_by
from interlock.ledger.store.transaction import Actor, Connection

PERSON = "person:"
LISTED = 100
"""Cases that Airflow's own request shows at most; the rest are answered one by one."""


@dataclass(frozen=True)
class Turn:
    """How a gate stands."""

    undecided: int
    decided: Mapping[str, int]
    """Approved and rejected, of the cases that were asked about in this run."""
    release_at: datetime
    """When the gate ends, whoever is undecided."""
    voters: tuple[str, ...]
    """Who may vote on some undecided case, as far as they are known by id."""


@dataclass(frozen=True)
class Shown:
    """What a voter sees of a case: what the vote is bound to."""

    business_key: str
    route: str
    why: str
    case: Mapping[str, Any]
    handoffs: Mapping[str, Mapping[str, Any]]
    action: str
    execute: Mapping[str, Any]
    """Exactly what is sent when it is approved."""
    version: int
    unwritten: str = ""
    """The contract of what should be sent and that nobody has written yet: it can be rejected, not approved."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "case": dict(self.case),
            "handoffs": {name: dict(payload) for name, payload in self.handoffs.items()},
            "action": self.action,
            "execute": dict(self.execute),
            "version": self.version,
            **({"unwritten": self.unwritten} if self.unwritten else {}),
        }


def gate_of(version: WorkflowVersion, name: str | None) -> Gate:
    """
    Return the gate *name* of the policy.

    :raises ConfigurationError: the policy has no such gate.
    """
    gates = version.bundle.policy.gates
    if name not in gates:
        raise ConfigurationError(f"the policy has no gate {name!r}; it has: {', '.join(sorted(gates)) or 'none'}")
    return gates[name]


def shown(
    file: CaseFile, *, gate: Gate, action: str, draft: Mapping[str, Any], version: WorkflowVersion, unwritten: str = ""
) -> Shown:
    """Return what a voter at *gate* sees of a case."""
    return Shown(
        business_key=str(file.case.business_key),
        route=str(file.case.route or ""),
        why=str(file.case.reason or ""),
        case=file.payload,
        handoffs={name: file.context[name] for name in gate.sees if name in file.context},
        action=action,
        execute=draft,
        version=version.number,
        unwritten=unwritten,
    )


def action_after(wiring: Wiring, task_id: str, route: str | None) -> tuple[str, str | None]:
    """Return what an approval at the gate *task_id* allows (the connector), and the task that carries it out."""
    following = wiring.next_task(task_id, route)
    if following is None:
        return "", None
    return following.connector or "", following.task_id


def unwritten_of(file: CaseFile, wiring: Wiring, task_id: str) -> str:
    """Return the contract of the draft that a case should have at *task_id* and has not; empty: nothing is missing."""
    drafting = wiring.drafted_before(task_id)
    return str(drafting.contract) if drafting is not None and file.case.draft_id is None else ""


def ask_for(connection: Connection, file: CaseFile, *, run: WorkflowRun, task_id: str) -> tuple[Ask, Shown]:
    """Return what people are asked about one case at the gate *task_id* of *run*, and what they see."""
    name, version = run.wiring.tasks[task_id].gate, run.version
    gate = gate_of(version, name)
    drafts = load_handoffs(connection, [file.case.draft_id] if file.case.draft_id else [])
    action, _ = action_after(run.wiring, task_id, file.case.route)
    unwritten = unwritten_of(file, run.wiring, task_id)
    draft, payload_digest = ({}, NOTHING) if unwritten else draft_of(file, drafts)
    seen = shown(file, gate=gate, action=action, draft=draft, version=version, unwritten=unwritten)
    stages = stages_of_case(file, run=run, gate_name=str(name), gate=gate, action=action)
    edited_by = next((d.agent.removeprefix(PERSON) for d in drafts.values() if d.agent.startswith(PERSON)), None)
    did = {
        "edited": (edited_by, "edited the draft"),
        "proposed": (version.author.removeprefix(PERSON), "wrote the policy"),
        "triggered": (triggered_by(connection, file.id), "triggered the run"),
    }
    ask = Ask(
        case=file.case,
        gate=str(name),
        task=task_id,
        action=action,
        payload_digest=payload_digest,
        seen_digest=keyed_digest(file.secret, seen.to_json()),
        stages=stages,
        voters=Electorate(str(name), stages, run.company.access).voters(),
        barred={who: what for duty in gate.separation for who, what in [did[duty]] if who},
        version_id=version.id,
    )
    return ask, seen


def stages_of_case(file: CaseFile, *, run: WorkflowRun, gate_name: str, gate: Gate, action: str) -> tuple[Stage, ...]:
    """Return the votes that a case takes: those of the gate, of the pilot, and of the company's approval matrix."""
    bundle = run.version.bundle
    floor = bundle.settings.pilot.votes if bundle.settings.phase == "pilot" else 1
    inputs = {
        "environment": run.environment,
        "workflow": run.workflow,
        "gate": gate_name,
        "route": file.case.route or "",
        "action": action,
        **exposure_of(file, bundle),
    }
    matrix = stages_for(run.company.approvals.cases, CASE_TYPES, inputs)
    return (*gate.asked(at_least=floor), *(stage for _, stage in matrix))


def exposure_of(file: CaseFile, bundle: Bundle) -> dict[str, Any]:
    """Return ``amount``, ``risk`` and ``kind`` of a case, None where the policy does not say or it is not known."""
    exposure, inputs = bundle.policy.exposure, variables(file, bundle)
    return {
        name: None if text is None else Expression(text, bundle.types, gives=gives).evaluate(inputs).value
        for name, text, gives in (
            ("amount", exposure.amount, cel.Type.DOUBLE),
            ("risk", exposure.risk, cel.Type.STRING),
            ("kind", exposure.kind, cel.Type.STRING),
        )
    }


def open_gate(session: Session) -> Turn:
    """Ask about every case that waits here; what is asked already and unchanged stays asked. Safe to repeat."""
    gate = gate_of(session.version, session.task.gate)
    station = Station(session, states=[CaseState.WAITING])
    for group in station.groups():
        with session.read() as connection:
            asks = {f.id: ask_for(connection, f, run=session.run, task_id=session.task.task_id)[0] for f in group.files}
        with session.write() as tx:
            open_requests(tx, session.run, [asks[file.id] for file in station.lock(tx, group.files)])
    with session.write() as tx:
        if listing_of(tx.connection, session.run, session.task.task_id) is None:
            waiting = open_at(tx.connection, session.run, session.task.task_id)[:LISTED]
            listed = {row.id: row.seen_digest for row in waiting}
            if listed:
                write_listing(tx, session.run, session.task.task_id, listed, tx.at + gate.release_after)
    return look(session)


def look(session: Session) -> Turn:
    """Return how the gate stands."""
    gate = gate_of(session.version, session.task.gate)
    with session.read() as connection:
        undecided = open_at(connection, session.run, session.task.task_id)
        decided = decided_at(connection, session.run, session.task.task_id)
        listing = listing_of(connection, session.run, session.task.task_id)
    release_at = listing.release_at if listing else session.ledger.clock() + gate.release_after
    voters = dict.fromkeys(person for request in undecided for person in request.voters)
    return Turn(len(undecided), decided, release_at, tuple(voters))


def listed_cases(session: Session) -> list[Shown]:
    """Return what Airflow's request shows: the listed cases, in their order."""
    with session.read() as connection:
        listing = listing_of(connection, session.run, session.task.task_id)
        asked = [
            r for r in open_at(connection, session.run, session.task.task_id) if listing and r.id in listing.listed
        ]
        wanted = {row.case_id for row in asked}
        rows = [
            row
            for row in cases_at(
                connection, session.run, session.task.task_id, limit=100_000, states=[CaseState.WAITING]
            )
            if row.id in wanted
        ]
        return [
            ask_for(connection, f, run=session.run, task_id=session.task.task_id)[1]
            for f in load_files(connection, rows)
        ]


def answer_listed(
    session: Session, *, person: Identity, answer: Literal["approve", "reject"], reason: str | None
) -> int:
    """
    Count *person*'s answer to Airflow's request as a vote on every listed case that is undecided and unchanged.

    Returns how many votes were recorded. A person who may not vote has voted on nothing.
    """
    task_id = session.task.task_id
    with session.read() as connection:
        listing = listing_of(connection, session.run, task_id)
        rows = open_at(connection, session.run, task_id)
        routes = {
            row.id: row.route
            for row in cases_at(connection, session.run, task_id, limit=100_000, states=[CaseState.WAITING])
        }
    listed = listing.listed if listing else {}
    counted = 0
    for row in rows:
        if listed.get(row.id) != row.seen_digest or row.case_id not in routes:
            continue
        _, next_task = action_after(session.run.wiring, task_id, routes[row.case_id])
        try:
            with session.write(Actor("person", person.id), settles=True) as tx:
                if any(v.person == person.id for v in votes_on(tx.connection, row.id)):
                    continue
                given = Answer(
                    person=person,
                    answer=answer,
                    seen_digest=row.seen_digest,
                    way="required_actions",
                    reason=reason,
                )
                access = company_at(tx.connection, session.ledger).access
                cast_vote(tx, row.id, given, access=access, next_task=next_task)
            counted += 1
        except InterlockError as error:
            session.log.warning("the answer does not count for case %s: %s", row.case_id, error)
    return counted
