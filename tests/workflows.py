"""
A tiny workflow of its own for tests: refunds that are judged, drafted, checked, signed off and sent.

Its files are written to a new include folder, its wiring stands here by hand, and each stage runs in this process. A
case says in its text what its judge shall be sure of: ``sure=0.95``; without it, the judge has no confidence.
"""

from __future__ import annotations

import os
import re
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from interlock.agents.load import load_agent
from interlock.connectors.outbox import Outbox
from interlock.domain.agents.agent_protocol import Answer, Failure, Work
from interlock.domain.base.contract import Contract
from interlock.domain.cases.wiring import WiredTask, Wiring
from interlock.domain.data.source import SourceRow
from interlock.domain.effects.connector import OutboxConnector
from interlock.domain.policy.company import COMPANY
from interlock.domain.policy.version import WorkflowVersion
from interlock.engine.agents.role import Role, run_role
from interlock.engine.approvals.gate import Turn, open_gate
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.effects.execution import execute_cases
from interlock.engine.policy.bundle import load_contracts, read_bundle
from interlock.engine.reports.run_report import report_run
from interlock.engine.routing.branch import route_cases
from interlock.engine.routing.validation import validate_cases
from interlock.engine.runs.session import Session, open_session
from interlock.ledger.cost.usage_row import LOCAL, MODEL
from interlock.ledger.policy.deployment import deployment_of, set_deployment
from interlock.ledger.policy.version import publish
from interlock.ledger.store.ledger import Ledger, as_dict
from interlock.ledger.store.record import Case
from interlock.ledger.store.schema import case, usage
from interlock.ledger.store.transaction import Actor
from sealing import SEAL
from sqlalchemy import select

NAME = "refunds"

CONTRACTS = """
from interlock.domain.contract import Contract
from pydantic import Field


class Refund(Contract):
    refund_id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    amount: float = 0.0
    tier: str = "standard"
    account_id: str | None = None


class Verdict(Contract):
    kind: str = Field(min_length=1)


class Letter(Contract):
    text: str = Field(min_length=1)
    amount: float
"""

POLICY = """
policy: refunds
contract: Refund
threshold: 0.8
rules:
  - {name: far too much, when: "case.amount > 10000.0", route: stop}
  - {name: private banking has a person, when: "case.tier == 'private'", route: review}
  - {name: certain enough, when: "confidence >= threshold", route: auto}
  - {name: ask again, when: "attempt == 1", route: fallback}
default: review
autonomy: {payout: automatic}
gates:
  leads: {routes: [review], voters: leads, votes: 1, release_after: 8h, sees: [Verdict, Letter]}
checks:
  - {name: no card number leaves, that: "!letter.text.matches(r'[0-9]{16}')", on_failure: stop}
  - {name: nothing is promised, that: "!letter.text.contains('promise')", on_failure: review}
runbook:
  MalformedOutput: {retries: 1, backoff_seconds: 0.0, then: stop}
  AgentRefused: {retries: 0, backoff_seconds: 0.0, then: review}
  default: {retries: 2, backoff_seconds: 0.0, then: stop}
stop_when: {failed_share: 0.5, at_least: 20}
"""

AGENTS = """
judge: {kind: function, function: "workflows:judge"}
careful_judge: {kind: function, function: "workflows:judge_again"}
writer:
  kind: template
  fields:
    text: "About your {{ verdict.kind }}: {{ case.text }}"
    amount: "{{ case.amount | tojson }}"
"""

WORKFLOW = """
workflow: refunds
title: Refunds
owner: {name: Ann, email: ann@example.com, escalation: [{name: Zoe, email: zoe@example.com}]}
maintainer: {name: Ben, email: ben@example.com, escalation: [{name: Zoe, email: zoe@example.com}]}
approver: {name: Cleo, email: cleo@example.com, escalation: [{name: Zoe, email: zoe@example.com}]}
phase: production
intake: {contract: Refund, key: refund_id}
contracts: [Refund, Verdict, Letter]
"""

ACCESS = """
groups:
  leads: [lea, leo]
  others: [otto]
  makers: [cleo, admin, otto]
rights:
  deploy: [makers]
  propose: [makers]
  approve: [makers, leads]
  promote: [makers]
  switch: [makers]
  correct: [makers, leads]
  override: [makers]
  break_glass: [makers]
  read_personal: [makers, leads]
  read_audit: [makers, leads]
  forget: [makers]
connections:
  payout: {environments: [test]}
  nowhere: {environments: [test]}
  supervised_target: {environments: [test]}
  mail_server: {environments: [test]}
  llm: {environments: [test]}
uses:
  - roles: [enrichment, reasoning, drafting]
    tools: [workflows.judge, workflows.judge_again]
    connections: [llm]
"""

ECOSYSTEM = """
connectors: {payout: {kind: outbox, conn_id: payout, undo: withdraw, timeout_seconds: 1.0}}
"""

SERVED = {"auto": "draft", "review": "draft"}

WIRING = Wiring(
    {
        task.task_id: task
        for task in (
            WiredTask(task_id="intake", kind="intake", downstream=("judge",), contract="Refund"),
            WiredTask(task_id="judge", kind="role", downstream=("route",), agent="judge", contract="Verdict"),
            WiredTask(
                task_id="route",
                kind="branch",
                downstream=("again", "draft"),
                branches={**SERVED, "fallback": "again"},
            ),
            WiredTask(
                task_id="again", kind="role", downstream=("route_again",), agent="careful_judge", contract="Verdict"
            ),
            WiredTask(task_id="route_again", kind="branch", downstream=("draft",), branches=SERVED),
            WiredTask(
                task_id="draft",
                kind="role",
                downstream=("validate",),
                agent="writer",
                contract="Letter",
                drafts=True,
            ),
            WiredTask(task_id="validate", kind="validation", downstream=("send", "sign_off")),
            WiredTask(task_id="send", kind="execution", downstream=("report",), routes=("auto",), connector="payout"),
            WiredTask(task_id="sign_off", kind="gate", downstream=("send_signed",), gate="leads"),
            WiredTask(
                task_id="send_signed",
                kind="execution",
                downstream=("report",),
                routes=("review",),
                connector="payout",
            ),
            WiredTask(task_id="report", kind="report"),
        )
    }
)


def rewired(**changes: Mapping[str, Any]) -> Wiring:
    """Return the wiring with fields of some tasks changed."""
    return Wiring({name: replace(task, **changes.get(name, {})) for name, task in WIRING.tasks.items()})


def judge(case: Mapping[str, Any], handoffs: Mapping[str, Any]) -> Answer:
    """Judge a refund, as sure as its text says."""
    return _judged(case, "sure")


def ends_its_process(case: Mapping[str, Any], handoffs: Mapping[str, Any]) -> dict[str, Any]:
    """Answer, but for a case with ``boom`` in its text, which ends the process."""
    if "boom" in case["text"]:
        os._exit(13)
    return {"kind": "refund"}


def judge_again(case: Mapping[str, Any], handoffs: Mapping[str, Any]) -> Answer:
    """Judge a refund a second time, as sure as its text says under ``surer=``."""
    return _judged(case, "surer")


def _judged(case: Mapping[str, Any], word: str) -> Answer:
    said = re.search(rf"\b{word}=([0-9.]+)", case["text"])
    return Answer(case_id="", payload={"kind": "refund"}, confidence=float(said[1]) if said else None)


def rows(*texts: str, **fields: Any) -> list[SourceRow]:
    """Return rows of a source, one per text, with keys ``R1``, ``R2`` …"""
    return [
        SourceRow(number=number, values={"refund_id": f"R{number}", "text": text, **fields})
        for number, text in enumerate(texts, 1)
    ]


@dataclass
class ScriptedAgent:
    """An agent whose answer to each piece of work is what *say* returns, or raises as the failure of the whole call."""

    say: Callable[[Work], Answer | Failure]
    name: str = "judge"
    kind: str = "function"
    digest: str = "0" * 64
    asked: list[str] = field(default_factory=list)
    """Case ids, once per question."""
    report: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self) -> Mapping[str, Any]:
        return self.report

    def answer(self, work: Sequence[Work], contract: type[Contract]) -> Iterator[Answer | Failure]:
        for one in work:
            self.asked.append(one.case_id)
            yield self.say(one)


def verdict(one: Work, *, confidence: float | None = 0.95, kind: str = "refund") -> Answer:
    """Return a good answer of a judge."""
    return Answer(case_id=one.case_id, payload={"kind": kind}, confidence=confidence)


def put_in_force(ledger: Ledger, include: Path, workflow: str) -> WorkflowVersion:
    """Put what stands in *include* in force for *workflow*, the company's files first, and deploy it."""
    cleo = Actor("person", "cleo")
    publish(ledger, read_bundle(include, COMPANY), author=cleo, reason="a test asks for it")
    version, _ = publish(ledger, read_bundle(include, workflow), author=cleo, reason="a test asks for it")
    with ledger.read() as connection:
        now = deployment_of(connection, ledger.environment, workflow)
    if now is None or now.state != "deployed":
        set_deployment(ledger, workflow, "deployed", actor=cleo, reason="a test asks for it")
    return version


class Workflow:
    """The workflow of this module, written to *folder* and published in *ledger*, which is sealed."""

    def __init__(self, folder: Path, ledger: Ledger, **files: str) -> None:
        self.ledger = ledger
        self.wiring = WIRING
        self.outbox_folder = folder / "outbox"
        # contracts.py is imported once under the folder's name, so every workflow has a folder of its own
        self.include = folder / f"include_{uuid.uuid4().hex[:12]}"
        self.write("contracts.py", files.pop("contracts", CONTRACTS))
        for name, text in {"policy": POLICY, "agents": AGENTS, "workflow": WORKFLOW}.items():
            self.write(f"{name}.yaml", files.pop(name, text))
        self.write("../company/access.yaml", files.pop("access", ACCESS))
        self.write("../company/ecosystem.yaml", files.pop("ecosystem", ECOSYSTEM))
        assert not files
        self.version = self.publish()

    @property
    def ledger(self) -> Ledger:
        """The ledger, with the tests' key where it was opened without one."""
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._ledger = ledger if ledger.seal is not None else replace(ledger, seal=SEAL)

    def write(self, path: str, text: str) -> None:
        """Write a file of the workflow."""
        file = self.include / NAME / path
        (self.include / NAME).mkdir(parents=True, exist_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")

    def publish(self) -> WorkflowVersion:
        """Put what is written in force, the company's files first, and deploy it."""
        return put_in_force(self.ledger, self.include, NAME)

    def contract(self, name: str) -> type[Contract]:
        """Return a contract of the workflow."""
        return load_contracts(self.include, NAME, [name])[name]

    def session(self, task: str, *, run: str = "r1", is_resume: bool = False) -> Session:
        """Take the turn at *task* of Dag run *run*."""
        return open_session(
            self.ledger,
            workflow=NAME,
            dag_id=NAME,
            run_id=run,
            task_id=task,
            wiring=self.wiring,
            include=self.include,
            is_resume=is_resume,
        )

    def intake(self, given: Iterable[SourceRow], *, run: str = "r1") -> dict[str, int]:
        """Take rows in."""
        return take_in_rows(
            self.session("intake", run=run), given, contract=self.contract("Refund"), source="inbox.csv"
        )

    def role(self, task: str, *, agent: Any = None, run: str = "r1", session: Session | None = None) -> dict[str, int]:
        """Let the agent that the wiring names, or *agent*, work at *task*."""
        session = session or self.session(task, run=run)
        wired = self.wiring.tasks[task]
        if agent is None:
            declared = session.version.bundle.agents[wired.agent or ""]
            agent = load_agent(wired.agent or "", declared, session.files, cache=self.include)
        name = "drafting" if task == "draft" else "reasoning"
        reads = (self.contract("Verdict"),) if task == "draft" else ()
        return run_role(session, agent, Role(name, self.contract(wired.contract or ""), reads))

    def branch(self, task: str = "route", *, run: str = "r1") -> dict[str, int]:
        """Route the cases that stand at *task*."""
        return route_cases(self.session(task, run=run))

    def validate(self, *, run: str = "r1") -> dict[str, int]:
        """Check the drafts."""
        return validate_cases(self.session("validate", run=run))

    def gate(self, *, run: str = "r1") -> Turn:
        """Ask people."""
        return open_gate(self.session("sign_off", run=run))

    def outbox(self) -> Outbox:
        """Return the connector that the wiring names, as a folder."""
        declared = OutboxConnector(kind="outbox", conn_id="payout", undo="withdraw", timeout_seconds=1.0)
        return Outbox("payout", declared, self.outbox_folder)

    def sent(self) -> list[Path]:
        """Return the effects that are in the outbox."""
        return sorted(self.outbox_folder.glob("*.json"))

    def execute(
        self, task: str = "send", *, connector: Any = None, run: str = "r1", session: Session | None = None
    ) -> dict[str, int]:
        """Carry out what is authorised."""
        return execute_cases(session or self.session(task, run=run), connector or self.outbox())

    def report(self, *, run: str = "r1") -> dict[str, Any]:
        """End the run."""
        return report_run(self.session("report", run=run))

    def up_to(self, stop: str, given: Iterable[SourceRow], *, run: str = "r1") -> None:
        """Run every task in order before *stop*."""
        steps: dict[str, Callable[[], Any]] = {
            "intake": lambda: self.intake(given, run=run),
            "judge": lambda: self.role("judge", run=run),
            "route": lambda: self.branch("route", run=run),
            "again": lambda: self.role("again", run=run),
            "route_again": lambda: self.branch("route_again", run=run),
            "draft": lambda: self.role("draft", run=run),
            "validate": lambda: self.validate(run=run),
            "send": lambda: self.execute("send", run=run),
            "sign_off": lambda: self.gate(run=run),
            "send_signed": lambda: self.execute("send_signed", run=run),
            "report": lambda: self.report(run=run),
        }
        for task, step in steps.items():
            if task == stop:
                return
            step()

    def cases(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the cases by business key."""
        return {row["business_key"]: row for row in self.table(case)}

    def case_records(self) -> dict[str, Case]:
        """Return the cases by business key, as the ledger's functions give and take them."""
        return {key: Case.from_values(row) for key, row in self.cases().items()}

    def states(self) -> dict[str, str]:
        """Return the state of each case by business key."""
        return {key: row["state"] for key, row in self.cases().items()}

    def calls(self) -> list[dict[str, Any]]:
        """Return what calls of agents took."""
        return [row for row in self.table(usage) if row["kind"] in (MODEL, LOCAL)]

    def table(self, table: Any) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        with self.ledger.read() as connection:
            return [as_dict(row) for row in connection.execute(select(table))]


def together(*actions: Callable[[], Any]) -> list[Any]:
    """Do *actions* in threads that start at the same instant; return what each returned or raised, in their order."""
    barrier = threading.Barrier(len(actions))
    said: list[Any] = [None] * len(actions)

    def _do(index: int) -> None:
        barrier.wait()
        try:
            said[index] = actions[index]()
        except Exception as error:
            said[index] = error

    threads = [threading.Thread(target=_do, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        """Move it: ``seconds=20``."""
        self.now += timedelta(**by)
