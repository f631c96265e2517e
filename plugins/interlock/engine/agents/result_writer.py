"""
What became of the cases of a task, and writing it: the handoff, the usage and the case's move in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from interlock.domain.agents.agent_protocol import Answer, Usage
from interlock.domain.cases.case import CaseState
from interlock.domain.cost.price import format_dollars, to_nano
from interlock.domain.routing.routing import Decision
from interlock.engine.agents.budget_reservation import Purse
from interlock.engine.agents.work_item import Role, WorkItem
from interlock.engine.cases.station import Passage, Station
from interlock.engine.incidents.incident import report_failures
from interlock.errors import AgentError, InterlockError, LedgerError, StaleContext, Stopped
from interlock.ledger.cases.handoff import Made, unwritten, write_handoffs, write_usage
from interlock.ledger.routing.decision import DecisionEntry
from interlock.ledger.store.record import UNSET, CaseChange, Handoff
from interlock.ledger.store.transaction import Transaction

REPORT_SECONDS = 5.0
"""How often the log says how far the task is."""
FLUSH_CASES = 200
FLUSH_SECONDS = 1.0
"""Answers are written when there are so many, or after so much time: what a crash can lose."""


class ResultWriter:
    """Writes what became of the cases of one task, group by group, and keeps count."""

    def __init__(self, station: Station, role: Role, purse: Purse) -> None:
        self.station, self.session, self.role, self.purse = station, station.session, role, purse
        self.policy = self.session.version.bundle.policy
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
        self.started = self._reported_at = self._written_at = time.monotonic()
        self._ready: list[WorkItem] = []
        """WorkItem, and not written yet."""

    def begin(self, ready: Sequence[WorkItem]) -> None:
        """Begin a group with those of its cases that need no answer."""
        self._ready, self._written_at = list(ready), time.monotonic()

    def add(self, item: WorkItem) -> None:
        """Take over a case that is settled, to be written with others."""
        self._ready.append(item)

    def write_if_due(self) -> None:
        """Write what is settled when it is much, or old."""
        if len(self._ready) >= FLUSH_CASES or time.monotonic() - self._written_at > FLUSH_SECONDS:
            ready, self._ready, self._written_at = self._ready, [], time.monotonic()
            self.write(ready)

    def write_rest(self, more: Sequence[WorkItem] = ()) -> None:
        """Write what is settled, and *more*."""
        ready, self._ready = self._ready, []
        self.write([*ready, *more])

    def write_answers(self) -> None:
        """Write what was answered and so paid for, whatever broke off."""
        ready, self._ready = self._ready, []
        self.write([item for item in ready if item.error is None])

    def took(self, case: WorkItem, agent: str, calls: Iterable[Usage]) -> None:
        """
        Note what calls took, to be written with the next group, whether their case is settled then or asked again.

        What they had set aside of a budget is free for others only then.
        """
        self._usage += [(case.file.id, agent, used) for used in calls]

    def write(self, settled: Sequence[WorkItem]) -> None:
        """Write what became of cases, and what calls took."""
        if not settled:
            self.keep_usage()
            self._tell(())
            return
        try:
            self._write_all(settled)
        except LedgerError:
            raise
        except Exception:  # somebody switched it off, or it broke off: answers are not taken, but calls were paid for
            self.keep_usage()
            raise

    def keep_usage(self, *, failed: Sequence[WorkItem] = ()) -> None:
        """Record what calls took, and what went wrong with *failed*, which stay where they are."""
        if not self._usage and not failed:
            return
        with self.session.write(settles=True) as tx:
            self._write_usage(tx)
            self._report(tx, [(_subject(case), case.error) for case in failed if case.error is not None])
        self._usage = []

    def _write_all(self, settled: Sequence[WorkItem]) -> None:
        session = self.session
        with session.write(settles=self.is_replaced) as tx:
            unchanged = {file.id for file in self.station.lock(tx, [item.file for item in settled])}
            here = [item for item in settled if item.file.id in unchanged]
            written: dict[str, Handoff] = {}
            for carrier in {item.carrier.name: item.carrier for item in here if item.answer is not None}.values():
                made = [_made(item, item.answer) for item in here if item.answer and item.carrier is carrier]
                written |= write_handoffs(tx, session.run, carrier.maker, made)
            self._write_usage(tx)
            handoffs = {item.file.id: item.there or written.get(item.file.id) for item in here}
            passages = [self._passage(item, handoffs[item.file.id]) for item in here]
            self.station.pass_on(tx, passages, kind=f"{self.role.name}.done")
            failed = [(_subject(item), item.error) for item in here if handoffs[item.file.id] is None]
            self._report(tx, [(subject, error) for subject, error in failed if error is not None])
            self.delivered |= {item.carrier.name for item in here if item.file.id in written}
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

    def _passage(self, item: WorkItem, handoff: Handoff | None) -> Passage:
        if handoff is not None:
            return self._handed_on(item, handoff)
        if item.lacks:
            return self._skipped(item)
        if item.wait is not None:
            waits_for, until = item.wait
            change = CaseChange(
                state=CaseState.WAITING, wait_for=waits_for, wait_until=until, reason=f"waits for {waits_for}"
            )
            return Passage(file=item.file, change=change, counts=("waiting",))
        return self._given_up(item, item.error)

    def _handed_on(self, item: WorkItem, handoff: Handoff) -> Passage:
        row = item.file.case
        counts = ("done",) if item.there is None else ("done", "done_before")
        context = {**row.context, self.role.contract.__name__: handoff.id}
        change = CaseChange(context=context, handoff_id=handoff.id)
        if self.role.name == "drafting":
            change = replace(change, draft_id=handoff.id)
        if item.stale is None:
            return Passage(file=item.file, change=change | self.session.place_after(row.route), counts=counts)
        place = self.session.place_before_people(row.route) or CaseChange()
        return self._rerouted(item, replace(change, reason=self._reason(item.stale)) | place, counts)

    def _skipped(self, item: WorkItem) -> Passage:
        row = item.file.case
        reason = row.reason or f"{self.session.task.task_id} was left out: there is no {item.lacks}"
        place = self.session.place_before_people(row.route) or CaseChange()
        return self._rerouted(item, CaseChange(reason=reason) | place, ("left_to_people",))

    def _given_up(self, item: WorkItem, error: InterlockError | None) -> Passage:
        """Return where the runbook sends a case that got no answer."""
        assert error is not None
        reason, then = self._reason(error), self.policy.recovery(error).then
        if then == "wait" and getattr(error, "scope", None) != "case":  # time gives a case no new budget
            until = getattr(error, "until", None)
            change = CaseChange(state=CaseState.WAITING, wait_for=type(error).__name__, wait_until=until, reason=reason)
            return Passage(file=item.file, change=change, counts=("waiting",))
        route = item.file.case.route
        decided_next = self._branch_follows(route)
        place = None
        if then != "stop":
            place = self.session.place_after(route) if decided_next else self.session.place_before_people(route)
        if place is None:
            self.given_up += 1
            return Passage(file=item.file, change=CaseChange(state=CaseState.DEAD, reason=reason), counts=("failed",))
        self.given_up += isinstance(error, AgentError)  # one that is too old, or has no budget, tells nothing of agents
        counts = ("uncertain" if decided_next else "left_to_people",)
        return self._rerouted(item, CaseChange(reason=reason, handoff_id=None) | place, counts)

    def _rerouted(self, item: WorkItem, change: CaseChange, counts: Sequence[str]) -> Passage:
        """Return the passage of a case; where it leaves its route for another, that is recorded as a decision."""
        decision = self._by_the_runbook(item) if change.route is not UNSET else None
        return Passage(file=item.file, change=change, counts=counts, decision=decision)

    def _by_the_runbook(self, case: WorkItem) -> DecisionEntry:
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

    def _tell(self, written: Sequence[WorkItem]) -> None:
        counts, now = self.session.counts, time.monotonic()
        done = counts.get("done", 0)
        over = sum(counts.get(name, 0) for name in ("done", "failed", "waiting", "uncertain", "left_to_people"))
        if now - self._reported_at >= REPORT_SECONDS or (written and over >= self.total):
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
            self._reported_at = now
        stop = self.policy.stop_when
        tried = done + self.given_up
        if written and tried >= stop.at_least and self.given_up / tried > stop.failed_share:
            raise Stopped(
                f"{self.given_up} of {tried} cases failed at {self.session.task.task_id!r}, more than the policy's "
                f"stop_when lets pass ({stop.failed_share:.0%}). What went wrong: airflow interlock incidents list "
                f"--workflow {self.session.run.workflow}"
            )

    def _money(self) -> str:
        spent = f"{format_dollars(to_nano(self.spent))} spent"
        return spent if self.purse.left is None else f"{spent}, {format_dollars(self.purse.left)} left to reserve"


def _subject(case: WorkItem) -> str:
    """What failed: the agent, or the task when no agent was asked because the input was too old."""
    return case.carrier.session.task.task_id if isinstance(case.error, StaleContext) else case.carrier.name


def _made(case: WorkItem, answer: Answer) -> Made:
    return Made(
        file=case.file,
        input_digest=case.input_digest,
        payload=answer.payload,
        confidence=answer.confidence,
        provenance=answer.provenance,
    )
