"""
What became of the cases of a task, and writing it: the handoff, the usage and the case's move in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from interlock.domain.agents.agent_protocol import Answer, Usage
from interlock.domain.cases.case import CaseState
from interlock.domain.cost.price import tell_dollars, to_nano
from interlock.domain.routing.routing import Decision
from interlock.engine.agents.budget_reservation import Purse
from interlock.engine.agents.fallback_chain import Carrier
from interlock.engine.incidents.incident import report_failures
from interlock.engine.runs.session import Session
from interlock.errors import AgentError, InterlockError, StaleContext, Stopped, SwitchedOff
from interlock.ledger.cases.case import CaseFile, lock_cases, move
from interlock.ledger.cases.handoff import Made, unwritten, write_handoffs, write_usage
from interlock.ledger.routing.decision import DecisionEntry, record_decisions
from interlock.ledger.store.record import UNSET, CaseChange, Handoff
from interlock.ledger.store.transaction import Transaction

if TYPE_CHECKING:
    from interlock.engine.agents.role import Role

TELL_SECONDS = 5.0
"""How often the log tells of progress."""


@dataclass
class Settled:
    """What became of a case and is not written yet."""

    file: CaseFile
    carrier: Carrier
    """Who is asked about it, or was last."""
    input_digest: str = ""
    answer: Answer | None = None
    there: Handoff | None = None
    """A handoff of an earlier attempt over the same input."""
    error: InterlockError | None = None
    wait: tuple[str, datetime | None] | None = None
    """For what it waits, and until when."""
    asked: set[str] = field(default_factory=set)
    """Agents that were asked."""
    lacks: str = ""
    """The contract of an earlier answer that is not there: the role is left out, and people take the case over."""
    stale: StaleContext | None = None
    """What was too old, where people see the case before anything is done: they are told why."""

    @property
    def is_settled(self) -> bool:
        """Whether there is an answer or an error."""
        return self.answer is not None or self.error is not None


class Settlement:
    """Writes what became of the cases of one task, and keeps count."""

    def __init__(self, session: Session, role: Role, purse: Purse) -> None:
        self.session, self.role, self.purse = session, role, purse
        self.policy = session.version.bundle.policy
        self.is_replaced = False
        """The task's own agent is off, and another works in its place."""
        self.delivered: set[str] = set()
        """Agents whose answers were taken."""
        self.in_trouble: set[str] = set()
        """Agents that an incident was reported of, and the task when it gave up cases that no agent saw."""
        self.given_up = 0
        """Cases that an agent failed on, wherever the runbook sent them, and all that are dead letters now."""
        self.total = 0
        """Cases that stood at the task when it began."""
        self.spent = Decimal(0)
        self._usage: list[tuple[str, str, Usage]] = []
        """Calls as (case, agent, usage) that are not written yet."""
        self.started = self.told = time.monotonic()

    def took(self, case: Settled, agent: str, calls: Iterable[Usage]) -> None:
        """
        Note what calls took, to be written with the next group, whether their case is settled then or asked again.

        What they had set aside of a budget is free for others only then.
        """
        self._usage += [(case.file.id, agent, used) for used in calls]

    def write(self, settled: Sequence[Settled]) -> None:
        """Write what became of cases, and what calls took."""
        if not settled:
            self.keep_usage()
            self._tell(())
            return
        try:
            self._write_all(settled)
        except SwitchedOff:  # its answers are not taken, but the calls were paid for
            self.keep_usage()
            raise

    def keep_usage(self, *, failed: Sequence[Settled] = ()) -> None:
        """Record what calls took, and what went wrong with *failed*, which stay where they are."""
        if not self._usage and not failed:
            return
        with self.session.write(settles=True) as tx:
            self._write_usage(tx)
            self._report(tx, [(_subject(case), case.error) for case in failed if case.error is not None])
        self._usage = []

    def _write_all(self, settled: Sequence[Settled]) -> None:
        session = self.session
        with session.write(settles=self.is_replaced) as tx:
            unchanged = {row.id: row for row in lock_cases(tx, [case.file.case for case in settled])}
            here = [case for case in settled if case.file.id in unchanged]
            session.count("changed_meanwhile", len(settled) - len(here))
            written: dict[str, Handoff] = {}
            for carrier in {case.carrier.name: case.carrier for case in here if case.answer is not None}.values():
                made = [_made(case, case.answer) for case in here if case.answer and case.carrier is carrier]
                written |= write_handoffs(tx, session.run, carrier.maker, made)
            self._write_usage(tx)
            moves: dict[str, CaseChange] = {}
            given_up, rerouted = [], []
            for case in here:
                row = case.there or written.get(case.file.id)
                moves[case.file.id] = self._move(case, row)
                if case.error is not None and row is None:
                    given_up.append((_subject(case), case.error))
                if moves[case.file.id].route is not UNSET:
                    rerouted.append(self._by_the_runbook(case))
            for case_id, decision_id in record_decisions(tx, session.run, session.task.task_id, rerouted).items():
                moves[case_id] = replace(moves[case_id], decision_id=decision_id)
            move(tx, [(unchanged[i], change) for i, change in moves.items()], kind=f"{self.role.name}.done")
            self._report(tx, given_up)
            self.delivered |= {case.carrier.name for case in here if case.file.id in written}
        self._usage = []
        self._tell(here)

    def _report(self, tx: Transaction, failed: Sequence[tuple[str, InterlockError]]) -> None:
        """Open an incident for each class and subject of *failed*, or count them into the one that is open."""
        report_failures(tx, self.session, failed)
        self.in_trouble |= {subject for subject, _ in failed}

    def _write_usage(self, tx: Transaction) -> None:
        self.write_calls(tx, self._usage)

    def write_calls(self, tx: Transaction, calls: Sequence[tuple[str, str, Usage]]) -> None:
        """Write what calls took, given as (case id, agent, usage), and settle it with the budgets, each once."""
        calls = unwritten(tx, calls)
        write_usage(tx, self.session.run, self.session.task.task_id, calls)
        self.purse.settle(tx, [(case_id, used) for case_id, _, used in calls])
        self._report(tx, [(agent, used.overrun) for _, agent, used in calls if used.overrun is not None])
        self.spent += sum((used.cost for _, _, used in calls if used.cost is not None), Decimal(0))

    def _move(self, case: Settled, handoff: Handoff | None) -> CaseChange:
        row = case.file.case
        if handoff is not None:
            self.session.count("done")
            self.session.count("done_before", int(case.there is not None))
            context = {**row.context, self.role.contract.__name__: handoff.id}
            change = CaseChange(context=context, handoff_id=handoff.id)
            if self.role.name == "drafting":
                change = replace(change, draft_id=handoff.id)
            if case.stale is not None:
                reason = self._reason(case.stale)
                return replace(change, reason=reason) | (self.session.place_before_people(row.route) or CaseChange())
            return change | self.session.place_after(row.route)
        if case.lacks:
            self.session.count("left_to_people")
            reason = row.reason or f"{self.session.task.task_id} was left out: there is no {case.lacks}"
            return CaseChange(reason=reason) | (self.session.place_before_people(row.route) or CaseChange())
        if case.wait is not None:
            self.session.count("waiting")
            told, until = case.wait
            return CaseChange(state=CaseState.WAITING, wait_for=told, wait_until=until, reason=f"waits for {told}")
        error = case.error
        assert error is not None
        reason = self._reason(error)
        then = self.policy.recovery(error).then
        if then == "wait" and getattr(error, "scope", None) != "case":  # time gives a case no new budget
            self.session.count("waiting")
            until = getattr(error, "until", None)
            return CaseChange(state=CaseState.WAITING, wait_for=type(error).__name__, wait_until=until, reason=reason)
        branches = self._branch_follows(row.route)
        place: CaseChange | None
        if then == "stop":
            place = None
        elif branches:
            place = self.session.place_after(row.route)
        else:
            place = self.session.place_before_people(row.route)
        if place is None:
            self.given_up += 1
            self.session.count("failed")
            return CaseChange(state=CaseState.DEAD, reason=reason)
        self.given_up += isinstance(error, AgentError)  # one that is too old, or has no budget, tells nothing of agents
        self.session.count("uncertain" if branches else "left_to_people")
        return CaseChange(reason=reason, handoff_id=None) | place

    def _by_the_runbook(self, case: Settled) -> DecisionEntry:
        """Return the decision that takes a case off its route to people."""
        error = case.error or case.stale
        why = type(error).__name__ if error is not None else f"no {case.lacks}"
        rule = f"runbook: {why} at {self.session.task.task_id}"
        return DecisionEntry(case.file, Decision(rule=rule, route="review", inputs={}))

    def _reason(self, error: InterlockError) -> str:
        return f"{type(error).__name__} at {self.session.task.task_id}: {error}"

    def _branch_follows(self, route: str | None) -> bool:
        following = self.session.run.wiring.next_task(self.session.task.task_id, route)
        return following is not None and following.kind == "branch"

    def _tell(self, written: Sequence[Settled]) -> None:
        counts, now = self.session.counts, time.monotonic()
        done = counts.get("done", 0)
        over = sum(counts.get(name, 0) for name in ("done", "failed", "waiting", "uncertain", "left_to_people"))
        if now - self.told >= TELL_SECONDS or (written and over >= self.total):
            rate = over / max(now - self.started, 1e-6)
            left = max(self.total - over, 0) / max(rate, 1e-6)
            self.session.log.info(
                "%d of %d done, %d failed, %.0f a second, %s, about %.0f s left",
                done,
                self.total,
                self.given_up,
                rate,
                self._money(),
                left,
            )
            self.told = now
        stop = self.policy.stop_when
        tried = done + self.given_up
        if written and tried >= stop.at_least and self.given_up / tried > stop.failed_share:
            raise Stopped(
                f"{self.given_up} of {tried} cases failed at {self.session.task.task_id!r}, more than the policy's "
                f"stop_when lets pass ({stop.failed_share:.0%}). What went wrong: airflow interlock incidents list "
                f"--workflow {self.session.run.workflow}"
            )

    def _money(self) -> str:
        spent = f"{tell_dollars(to_nano(self.spent))} spent"
        return spent if self.purse.left is None else f"{spent}, {tell_dollars(self.purse.left)} left to reserve"


def _subject(case: Settled) -> str:
    """What failed: the agent, or the task when no agent was asked because the input was too old."""
    return case.carrier.session.task.task_id if isinstance(case.error, StaleContext) else case.carrier.name


def _made(case: Settled, answer: Answer) -> Made:
    return Made(
        file=case.file,
        input_digest=case.input_digest,
        payload=answer.payload,
        confidence=answer.confidence,
        provenance=answer.provenance,
    )
