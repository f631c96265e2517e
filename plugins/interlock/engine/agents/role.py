"""
Carrying a role out over all cases whose turn it is.

Each case succeeds or fails by itself. Answers are checked against the contract and written in groups, the handoff and
the case's move in one transaction, so a task that was killed finds its cases where they stand and takes up what is
missing. What fails is repeated by the policy's runbook, then another agent is asked, then the case goes where the
runbook says; the task itself fails only for what a retry of the task can help, or when ``stop_when`` says that too many
cases fail.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from numbers import Real

from interlock.domain.agents.agent_protocol import Agent, Answer, Failure, Work
from interlock.domain.base.backoff import backoff_seconds
from interlock.domain.base.contract import accept
from interlock.domain.base.door import as_kept
from interlock.domain.base.plural import counted
from interlock.engine.agents.batch import Batches, Returned
from interlock.engine.agents.budget_reservation import Purse
from interlock.engine.agents.fallback_chain import Carrier, MakeAgent
from interlock.engine.agents.result_writer import ResultWriter
from interlock.engine.agents.role_input import Inputs
from interlock.engine.agents.work_item import Role, WorkItem
from interlock.engine.cases.station import Station
from interlock.engine.incidents.incident import report_recovery, report_setup, stop_reported
from interlock.engine.policy.bundle import check_contract
from interlock.engine.runs.session import Session
from interlock.errors import (
    AgentTimeout,
    AgentUnavailable,
    CircuitOpen,
    ConfigurationError,
    ContractViolation,
    InterlockError,
    LedgerError,
    MalformedOutput,
    Stopped,
    SwitchedOff,
)
from interlock.ledger.cases.case import CaseFile
from interlock.ledger.cases.handoff import handoffs_there
from interlock.ledger.cost.budget import spent_on
from interlock.ledger.runs.kill_switch import refuse_if_off

GROUP = 2000
"""Cases that are handed to the agent at once: between two groups a slow model stands idle for up to one call."""
BREATH = 0.5
"""Seconds of a pause after which what is there is written."""


def run_role(session: Session, agent: Agent, role: Role, *, make: MakeAgent | None = None) -> dict[str, int]:
    """
    Let *agent* carry *role* out over all cases that stand at the task; return counts.

    :param make: makes the agents that are asked in its place; left out, nobody is.
    :raises AgentUnavailable: the service is down: no case of a group got an answer. A retry of the task can help.
    :raises ConfigurationError: the agent cannot work at all.
    :raises NotAuthorised: it may not use what it works with.
    :raises Stopped: too many cases fail.
    :raises SwitchedOff: a person stopped the workflow or the agent. What was not written yet is asked again later.
    """
    worker = _Worker(session, agent, role, make)
    with session.ended_if_it_fails(), stop_reported(session), closing(worker):
        try:
            worker.check_switches()
        except SwitchedOff:
            worker.batches.call_back()
            raise
        worker.prepare()
        worker.collect()
        for group in worker.station.groups():
            worker.work(group.files)
        worker.tell_recovery()
    return session.finish()


@dataclass
class _Unserved:
    """The cases of a group that the service did not answer."""

    down: list[WorkItem] = field(default_factory=list)
    """It was away, and had answered none yet."""
    left: list[WorkItem] = field(default_factory=list)
    """The breaker is open: nobody was asked."""
    served: bool = False
    """It answered some case."""

    def takes(self, item: WorkItem) -> bool:
        """Take *item* over if it was not served, and return whether."""
        if isinstance(item.error, CircuitOpen):
            self.left.append(item)
            return True
        self.served = self.served or not isinstance(item.error, (AgentUnavailable, AgentTimeout))
        if isinstance(item.error, AgentUnavailable) and not self.served:
            self.down.append(item)
            return True
        return False


class _Worker:
    def __init__(self, session: Session, agent: Agent, role: Role, make: MakeAgent | None) -> None:
        self.session, self.role, self.make = session, role, make
        self.policy = session.version.bundle.policy
        for contract in (role.contract, *role.reads):
            check_contract(session.version.bundle, contract)
        self.inputs = Inputs(session, role.reads)
        self.purse = Purse(session)
        self.first = Carrier(session, agent, role.name, role.contract, self.purse)
        self.carriers = {self.first.name: self.first}
        contracts = [contract.__name__ for contract in role.reads]
        self.station = Station(session, limit=GROUP, contracts=contracts, check=self.check_switches)
        self.writer = ResultWriter(self.station, role, self.purse)
        self.batches = Batches(self.first, role.contract, self.writer)

    def prepare(self) -> None:
        self.writer.total = self.station.count()
        self.first.prepare()

    def check_switches(self) -> None:
        """
        Let the task go on.

        :raises SwitchedOff: a person stopped its workflow, or its agent while the runbook names nobody in its place.
        """
        try:
            self.session.check_switches()
        except SwitchedOff as error:
            if not self._replaces_who_is_off(self.first, error):
                raise
            self.writer.is_replaced = True

    def tell_recovery(self) -> None:
        """Close the incidents of the agents that worked and gave up no case."""
        writer = self.writer
        if writer.delivered:
            report_recovery(self.session, {*writer.delivered, self.session.task.task_id} - writer.in_trouble)

    def close(self) -> None:
        """Give back what the task holds of limits and budgets."""
        for carrier in self.carriers.values():
            carrier.close()
        self.purse.close()

    def collect(self) -> None:
        """Settle the cases whose batch is over."""
        if self.writer.is_replaced:
            self.batches.call_back()
            return
        for returned in self.batches.returned():
            files = self.batches.take_up(returned)
            self.writer.total += len(files)
            for start in range(0, len(files), GROUP):
                self.work(files[start : start + GROUP], returned)
            self.batches.close(returned)

    def work(self, files: Sequence[CaseFile], returned: Returned | None = None) -> None:
        """
        Settle every file of a group and write it.

        :param returned: the batch that was asked already; left out, the agent is.
        """
        settled, pending = self._triage(files, returned)
        if self.purse.counts_cases:
            with self.session.read() as connection:
                self.purse.know(spent_on(connection, [file.id for file in files]))
        self.writer.begin(settled)
        unserved = _Unserved()
        try:
            for item in self._ask_all(pending, returned):
                if item is not None and not unserved.takes(item):
                    self.writer.add(item)
                self.writer.write_if_due()
        except (LedgerError, Stopped, SwitchedOff):
            raise
        except BaseException:  # what was answered is paid for, whatever broke off: an agent, a timeout, a signal
            self.writer.write_answers()
            raise
        self._conclude(unserved)

    def _triage(self, files: Sequence[CaseFile], returned: Returned | None) -> tuple[list[WorkItem], list[WorkItem]]:
        """Return the cases of a group that need no answer, and those that are to be asked about."""
        settled: list[WorkItem] = []
        pending: list[WorkItem] = []
        now = self.session.ledger.clock()
        stale = self.inputs.stale(files, now)
        for file in files:
            item = WorkItem(file, self.first, error=self.inputs.problem(file), stale=stale.get(file.id))
            if item.stale is not None and not self.inputs.people_decide(file):
                item.error = item.error or item.stale
            if item.error is None:
                item.lacks = self.inputs.lacks(file)
            if item.error is None and not item.lacks and returned is None:
                until = self.first.waits_until(now, file.case.due_at)
                item.wait = ("off_peak", until) if until is not None else None
            (pending if item.is_open else settled).append(item)
        return settled, pending

    def _conclude(self, unserved: _Unserved) -> None:
        """Write the rest of a group; what nobody answered stays where it is and fails the task."""
        left, down = unserved.left, unserved.down
        self.writer.write_rest(down if unserved.served else ())
        if unserved.served:
            down = []
        if left or down:
            self.writer.keep_usage(failed=down)
        if left:
            raise left[0].error or AgentUnavailable("")
        if down:
            raise AgentUnavailable(
                f"agent {down[0].carrier.name!r} answered none of {len(down)} cases: {down[0].error}. "
                "The cases stand where they were; the task can be tried again"
            )

    def _ask_all(self, pending: list[WorkItem], returned: Returned | None) -> Iterator[WorkItem | None]:
        """
        Ask about all cases, and others after the first agent; yield each case once, when it is settled.

        What is sent in a batch is not settled, and its case waits.
        """
        ahead: list[tuple[Carrier, list[WorkItem]]] = [(self.first, pending)] if pending else []
        while ahead:
            carrier, cases = ahead.pop(0)
            handed_on: dict[str, list[WorkItem]] = {}
            for case in self._ask_carrier(carrier, cases, returned if carrier is self.first else None):
                following = self._following(case) if case is not None and case.error is not None else None
                if case is None or following is None:
                    yield case
                    continue
                handed_on.setdefault(following, []).append(case)
            for name, group in handed_on.items():
                self.session.count("handed_on", len(group))
                self.session.log.info(
                    "%s handed on from %r to %r", counted(len(group), "case", "are"), carrier.name, name
                )
                ahead.append((self._carrier(name), group))

    def _following(self, case: WorkItem) -> str | None:
        """Return the agent that is asked about *case* next; None when it stays with its error."""
        assert case.error is not None
        name = case.carrier.next_agent(case.error)
        return name if self.make is not None and name is not None and name not in case.asked else None

    def _carrier(self, name: str) -> Carrier:
        if name not in self.carriers:
            assert self.make is not None
            carrier = Carrier(self.session, self.make(name), self.role.name, self.role.contract, self.purse)
            carrier.prepare()
            self.carriers[name] = carrier
        return self.carriers[name]

    def _replaces_who_is_off(self, carrier: Carrier, error: SwitchedOff) -> bool:
        """Tell whether only *carrier*'s agent is off, and the runbook says by name that another is asked instead."""
        named = self.policy.runbook.get("SwitchedOff")
        agent = ("agent", f"{self.session.run.workflow}/{carrier.name}")
        if self.make is None or named is None or not named.fallback or carrier.declaration.fallback is None:
            return False
        others = [switch for switch in self.session.switches if switch != agent]
        with self.session.read() as connection:
            refuse_if_off(connection, self.session.run.environment, others, workflow=self.session.run.workflow)
        return True

    def _is_off(self, carrier: Carrier) -> SwitchedOff | None:
        agent = ("agent", f"{self.session.run.workflow}/{carrier.name}")
        try:
            with self.session.read() as connection:
                refuse_if_off(connection, self.session.run.environment, [agent], workflow=self.session.run.workflow)
        except SwitchedOff as error:
            return error
        return None

    def _ask_carrier(
        self, carrier: Carrier, cases: list[WorkItem], returned: Returned | None
    ) -> Iterator[WorkItem | None]:
        works: dict[str, Work] = {}
        pending: dict[str, WorkItem] = {}
        off = self._is_off(carrier)
        for case in cases:
            case.carrier, case.error = carrier, off
            case.asked.add(carrier.name)
            works[case.file.id], case.input_digest = carrier.see(case.file)
            pending[case.file.id] = case
        with self.session.read() as connection:
            keys = {case_id: carrier.maker.key(case.input_digest) for case_id, case in pending.items()}
            for case_id, there in handoffs_there(connection, carrier.maker, keys).items():
                case = pending.pop(case_id)
                case.there, case.error = there, None
                yield case
        if off is not None:
            if carrier.declaration.fallback is None:
                raise off
            yield from pending.values()
            return
        if carrier is self.first and returned is None:
            pending = self.batches.send(pending, works)
        yield from self._ask(carrier, pending, works, returned)

    def _ask(
        self, carrier: Carrier, pending: dict[str, WorkItem], works: Mapping[str, Work], returned: Returned | None
    ) -> Iterator[WorkItem | None]:
        """
        Ask an agent, and again by the runbook; yield each case once, when it is settled.

        :param returned: a batch that holds what was said to the first question.
        """
        attempt = 0
        while pending:
            attempt += 1
            again: dict[str, WorkItem] = {}
            pause = 0.0
            asked = [works[case_id] for case_id in pending]
            first = returned if attempt == 1 else None
            trouble: ConfigurationError | None = None
            for said in carrier.ask(asked) if first is None else self.batches.read(first, asked):
                if said is None:
                    carrier.keep()
                    yield None
                    continue
                case = pending[said.case_id]
                error = self._take(case, said)
                # After that: what broke off before is read again from a batch, as long as it was not counted.
                self.writer.took(case, carrier.name, [replace(used, attempt=attempt) for used in said.usage])
                if error is None:
                    yield case
                    continue
                if isinstance(error, ConfigurationError):  # it says nothing about the case, which stays where it is
                    trouble = trouble or error
                    yield None
                    continue
                recovery = self.policy.recovery(error)
                repeats = error.retryable and attempt <= recovery.retries and not isinstance(error, CircuitOpen)
                if repeats:
                    again[said.case_id] = case
                    wait = backoff_seconds(
                        attempt,
                        first=recovery.backoff_seconds,
                        uniform=random.uniform,
                        retry_after=getattr(error, "retry_after_seconds", None),
                    )
                    pause = max(pause, wait)
                    yield None
                    continue
                case.error = error
                yield case
            if trouble is not None:  # what was asked meanwhile is answered by now, and paid for
                report_setup(self.session, carrier.name, trouble)
                raise trouble
            unanswered = [case_id for case_id in pending if case_id not in again and not pending[case_id].is_settled]
            for case_id in unanswered:
                pending[case_id].error = MalformedOutput(f"agent {carrier.name!r} gave no answer for the case")
                yield pending[case_id]
            pending = again
            if pending:
                self.session.count("repeated", len(pending))
                again_now = counted(len(pending), "case", "are")
                self.session.log.info("%s asked again in %.1f s (attempt %d)", again_now, pause, attempt + 1)
                yield from self._rest(pause)

    def _rest(self, seconds: float) -> Iterator[None]:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, BREATH))
            yield None

    def _take(self, case: WorkItem, said: Answer | Failure) -> InterlockError | None:
        agent = case.carrier.name
        if isinstance(said, Failure):
            return said.error
        try:
            payload = accept(self.role.contract, said.payload)
        except ContractViolation as violation:
            return MalformedOutput(f"agent {agent!r}: {violation}")
        confidence = said.confidence
        if confidence is not None:
            if not isinstance(confidence, Real) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
                return MalformedOutput(f"agent {agent!r} gives a confidence that is not a number from 0 to 1")
            confidence = float(confidence)
        provenance = as_kept(said.provenance)
        case.error = None
        case.answer = Answer(
            case_id=said.case_id,
            payload=payload,
            confidence=confidence,
            provenance=provenance if isinstance(provenance, dict) else {},
        )
        return None
