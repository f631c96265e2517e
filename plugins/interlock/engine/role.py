"""
Carrying a role out over all cases whose turn it is.

Each case succeeds or fails by itself. Answers are checked against the contract and written in groups, the handoff and
the case's move in one transaction, so a task that was killed finds its cases where they stand and takes up what is
missing. What fails is repeated by the policy's runbook, then it is a dead letter; the task itself fails only for what a
retry of the task can help, or when ``stop_when`` says that too many cases fail.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock.domain.canonical import keyed_digest
from interlock.domain.case import CaseState
from interlock.domain.contract import Contract, check_payload, contract_digest
from interlock.domain.work import Agent, Answer, Failure, Usage, Work
from interlock.engine.bundle import check_contract
from interlock.engine.permission import declared_agent, view_of
from interlock.engine.session import Session
from interlock.errors import (
    AgentTimeout,
    AgentUnavailable,
    ConfigurationError,
    ContractViolation,
    InterlockError,
    LedgerError,
    MalformedOutput,
    Stopped,
    SwitchedOff,
)
from interlock.ledger.case import CaseFile, cases_at, count_at, load_files, lock_cases, move
from interlock.ledger.handoff import Made, Maker, handoffs_there, record_agent, write_handoffs, write_usage
from interlock.ledger.transaction import Row, Transaction

GROUP = 2000
"""Cases that are handed to the agent at once: between two groups a slow model stands idle for up to one call."""
FLUSH_CASES = 200
FLUSH_SECONDS = 1.0
"""Answers are written when so many are there or so much time has passed: what a crash can lose."""
TELL_SECONDS = 5.0
"""How often the log tells of progress."""


@dataclass(frozen=True)
class Role:
    """What a task does to its cases."""

    name: str
    """One of the seven roles."""
    contract: type[Contract]
    reads: tuple[type[Contract], ...] = ()
    """Contracts of the earlier handoffs that it sees."""


@dataclass
class _Settled:
    """What became of a case and is not written yet."""

    file: CaseFile
    input_digest: str
    answer: Answer | None = None
    there: Row | None = None
    """A handoff of an earlier attempt over the same input."""
    error: InterlockError | None = None
    usage: list[Usage] = field(default_factory=list)


def run_role(session: Session, agent: Agent, role: Role) -> dict[str, int]:
    """
    Let *agent* carry *role* out over all cases that stand at the task; return counts.

    :raises AgentUnavailable: the service is down: no case of a group got an answer. A retry of the task can help.
    :raises ConfigurationError: the agent cannot work at all.
    :raises NotAuthorised: it may not use what it works with.
    :raises Stopped: too many cases fail.
    :raises SwitchedOff: a person stopped the workflow or the agent. What was not written yet is asked again later.
    """
    session.check_switches()
    worker = _Worker(session, agent, role)
    worker.prepare()
    after = ""
    while True:
        with session.read() as connection:
            rows = cases_at(connection, session.run, session.task.task_id, limit=GROUP, after=after)
            files = load_files(connection, rows, contracts=[c.__name__ for c in role.reads])
        if not rows:
            break
        after = rows[-1]["id"]
        session.check_switches()
        worker.work(files)
    return session.finish()


class _Worker:
    def __init__(self, session: Session, agent: Agent, role: Role) -> None:
        self.session, self.agent, self.role = session, agent, role
        self.policy = session.version.bundle.policy
        for contract in (role.contract, *role.reads):
            check_contract(session.version.bundle, contract)
        declared_agent(session, role.name)
        self.view = view_of(session, role.name)
        self.maker = Maker(
            task=session.task.task_id,
            agent=agent.name,
            agent_digest=agent.digest,
            contract=role.contract.contract_ref(),
            contract_name=role.contract.__name__,
            contract_digest=contract_digest(role.contract),
        )
        self.started = self.told = time.monotonic()
        self.total = 0

    def prepare(self) -> None:
        session = self.session
        with session.read() as connection:
            self.total = count_at(connection, session.run, session.task.task_id)
        report = self.agent.prepare()
        record_agent(
            session.ledger,
            session.run,
            agent=self.agent.name,
            kind=self.agent.kind,
            agent_digest=self.agent.digest,
            report=report,
        )
        if report.get("accuracy") is not None:
            session.log.info(
                "agent %r, out of fold: accuracy %.3f, calibration error %.3f, coverage by error %s",
                self.agent.name,
                report["accuracy"],
                report.get("calibration_error", float("nan")),
                report.get("coverage", {}),
            )

    def work(self, files: Sequence[CaseFile]) -> None:
        """Settle every file of a group and write it."""
        pending: dict[str, _Settled] = {}
        works: dict[str, Work] = {}
        settled: list[_Settled] = []
        for file in files:
            payload = dict(self.view("case", file.payload))
            handoffs = {name: dict(self.view(name, p)) for name, p in file.context.items()}
            seen = {"case": payload, "handoffs": handoffs}
            case = _Settled(file, keyed_digest(file.secret, seen))
            problem = self._problem(file)
            if problem is not None:
                case.error = problem
                settled.append(case)
                continue
            pending[file.id] = case
            works[file.id] = Work(case_id=file.id, case=payload, handoffs=handoffs)
        with self.session.read() as connection:
            keys = {case_id: self.maker.key(case.input_digest) for case_id, case in pending.items()}
            for case_id, there in handoffs_there(connection, self.maker, keys).items():
                pending[case_id].there = there
                settled.append(pending.pop(case_id))
        last_flush = time.monotonic()
        served = False
        down: list[_Settled] = []
        try:
            for case in self._ask(pending, works):
                served = served or not isinstance(case.error, (AgentUnavailable, AgentTimeout))
                (down if isinstance(case.error, AgentUnavailable) and not served else settled).append(case)
                if len(settled) >= FLUSH_CASES or time.monotonic() - last_flush > FLUSH_SECONDS:
                    writing, settled, last_flush = settled, [], time.monotonic()
                    self._write(writing)
        except (LedgerError, Stopped, SwitchedOff):
            raise
        except BaseException:  # what was answered is paid for, whatever broke off: an agent, a timeout, a signal
            self._write([case for case in settled if case.error is None])
            raise
        self._write(settled + (down if served else []))
        if down and not served:
            raise AgentUnavailable(
                f"agent {self.agent.name!r} answered none of {len(down)} cases: {down[0].error}. "
                "The cases stand where they were; the task can be tried again"
            )

    def _problem(self, file: CaseFile) -> InterlockError | None:
        for contract in self.role.reads:
            payload = file.context.get(contract.__name__)
            if payload is None:
                return ContractViolation(
                    contract.contract_ref(), [f"(whole): no handoff of the case is a {contract.__name__}"]
                )
            try:
                check_payload(contract, payload)
            except ContractViolation as violation:
                return violation
        return None

    def _ask(self, pending: dict[str, _Settled], works: Mapping[str, Work]) -> Iterator[_Settled]:
        """Ask the agent, and again by the runbook; yield each case once, when it is settled."""
        attempt = 0
        while pending:
            attempt += 1
            again: dict[str, _Settled] = {}
            pause = 0.0
            for said in self.agent.answer([works[case_id] for case_id in pending], self.role.contract):
                case = pending[said.case_id]
                case.usage += [_with_attempt(used, attempt) for used in said.usage]
                error = self._take(case, said)
                if error is None:
                    yield case
                    continue
                if isinstance(error, ConfigurationError):
                    raise error
                recovery = self.policy.recovery(error)
                if error.retryable and attempt <= recovery.retries:
                    again[said.case_id] = case
                    wait = recovery.backoff_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
                    pause = max(pause, wait, getattr(error, "retry_after_seconds", None) or 0.0)
                    continue
                case.error = error
                yield case
            unanswered = [case_id for case_id in pending if case_id not in again and not _is_settled(pending[case_id])]
            for case_id in unanswered:
                pending[case_id].error = MalformedOutput(f"agent {self.agent.name!r} gave no answer for the case")
                yield pending[case_id]
            pending = again
            if pending:
                self.session.count("repeated", len(pending))
                self.session.log.info(
                    "%d cases are asked again in %.1f s (attempt %d)", len(pending), pause, attempt + 1
                )
                time.sleep(pause)

    def _take(self, case: _Settled, said: Answer | Failure) -> InterlockError | None:
        if isinstance(said, Failure):
            return said.error
        try:
            payload = check_payload(self.role.contract, said.payload).model_dump(mode="json")
        except ContractViolation as violation:
            return MalformedOutput(f"agent {self.agent.name!r}: {violation}")
        confidence = said.confidence
        if confidence is not None and not 0.0 <= confidence <= 1.0:
            return MalformedOutput(f"agent {self.agent.name!r} gives a confidence of {confidence}; it must be 0 to 1")
        case.answer = Answer(case_id=said.case_id, payload=payload, confidence=confidence, provenance=said.provenance)
        return None

    def _write(self, settled: Sequence[_Settled]) -> None:
        if not settled:
            return
        try:
            self._write_all(settled)
        except SwitchedOff:  # its answers are not taken, but the calls were paid for
            with self.session.write(settles=True) as tx:
                self._write_usage(tx, settled)
            raise

    def _write_all(self, settled: Sequence[_Settled]) -> None:
        session = self.session
        with session.write() as tx:
            unchanged = {row["id"]: row for row in lock_cases(tx, [case.file.row for case in settled])}
            here = [case for case in settled if case.file.id in unchanged]
            session.count("changed_meanwhile", len(settled) - len(here))
            made = [
                Made(
                    file=case.file,
                    input_digest=case.input_digest,
                    payload=case.answer.payload,
                    confidence=case.answer.confidence,
                    provenance=case.answer.provenance,
                )
                for case in here
                if case.answer is not None
            ]
            written = write_handoffs(tx, session.run, self.maker, made)
            self._write_usage(tx, settled)
            moves = []
            for case in here:
                row = case.there or written.get(case.file.id)
                moves.append((unchanged[case.file.id], self._move(case, row)))
            move(tx, moves, kind=f"{self.role.name}.done")
        self._tell(here)

    def _write_usage(self, tx: Transaction, settled: Sequence[_Settled]) -> None:
        calls = [(case.file.id, used) for case in settled for used in case.usage]
        write_usage(tx, self.session.run, self.session.task.task_id, self.agent.name, calls)

    def _move(self, case: _Settled, handoff: Row | None) -> dict[str, Any]:
        row = case.file.row
        if handoff is not None:
            self.session.count("done")
            self.session.count("done_before", int(case.there is not None))
            change: dict[str, Any] = {
                "context": {**row["context"], self.role.contract.__name__: handoff["id"]},
                "handoff_id": handoff["id"],
                **self.session.place_after(row["route"]),
            }
            if self.role.name == "drafting":
                change["draft_id"] = handoff["id"]
            return change
        error = case.error
        assert error is not None
        reason = f"{type(error).__name__} at {self.session.task.task_id}: {error}"
        if self.policy.recovery(error).then == "review" and self._branch_follows(row["route"]):
            self.session.count("uncertain")
            return {"reason": reason, "handoff_id": None, **self.session.place_after(row["route"])}
        self.session.count("failed")
        return {"state": CaseState.DEAD, "reason": reason}

    def _branch_follows(self, route: str | None) -> bool:
        following = self.session.run.wiring.next_task(self.session.task.task_id, route)
        return following is not None and following.kind == "branch"

    def _tell(self, written: Sequence[_Settled]) -> None:
        counts, now = self.session.counts, time.monotonic()
        done, failed = counts.get("done", 0), counts.get("failed", 0)
        if now - self.told >= TELL_SECONDS or done + failed >= self.total:
            rate = (done + failed) / max(now - self.started, 1e-6)
            left = max(self.total - done - failed, 0) / max(rate, 1e-6)
            self.session.log.info(
                "%d of %d done, %d failed, %.0f a second, about %.0f s left", done, self.total, failed, rate, left
            )
            self.told = now
        stop = self.policy.stop_when
        tried = done + failed
        if written and tried >= stop.at_least and failed / tried > stop.failed_share:
            raise Stopped(
                f"{failed} of {tried} cases failed at {self.session.task.task_id!r}, more than the policy's stop_when "
                f"lets pass ({stop.failed_share:.0%}). See: airflow interlock cases list --state dead"
            )


def _is_settled(case: _Settled) -> bool:
    return case.answer is not None or case.error is not None


def _with_attempt(used: Usage, attempt: int) -> Usage:
    from dataclasses import replace

    return replace(used, attempt=attempt)
