"""
The shipped support triage cut small: its own policy, rules, prompts and wiring, on some intents of its data.

The signed replies go to the help desk over HTTP instead of the outbox, so that one run shows both connectors.
"""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from interlock.agents.load import load_agent
from interlock.connectors.load import open_connector
from interlock.domain.approvals.access import Identity
from interlock.domain.cases.wiring import Wiring
from interlock.domain.data.source import parse_source
from interlock.domain.effects.connector import ConnectionFields
from interlock.engine.agents.role import Role, run_role
from interlock.engine.approvals import review_action
from interlock.engine.approvals.gate import open_gate
from interlock.engine.cases.intake import take_in_rows
from interlock.engine.datasets.quality import check_cases
from interlock.engine.effects.execution import connector_of, execute_cases
from interlock.engine.policy.bundle import load_contracts
from interlock.engine.reports.run_report import report_run
from interlock.engine.routing.branch import route_cases
from interlock.engine.routing.validation import validate_cases
from interlock.engine.runs.session import Session, open_session
from interlock.engine.sources.source import read_rows
from interlock.ledger.store.ledger import Ledger
from live_airflow import PROJECT
from workflows import put_in_force

NAME = "support_triage"
INTENTS = {
    *("request_refund", "Refund_not_showing_up", "top_up_reverted", "declined_card_payment"),
    *("card_delivery_estimate", "order_physical_card", "atm_support", "why_verify_identity"),
}
EXAMPLES = 8
"""Of each intent, for training."""
ROLES = {
    "triage": ("intent_classifier", "reasoning", "Triage", ()),
    "second_opinion": ("careful_classifier", "reasoning", "Triage", ()),
    "context": ("policy_passages", "enrichment", "Context", ("Triage",)),
    "draft": ("reply_writer", "drafting", "Reply", ("Triage", "Context")),
}
SEND_SIGNED = 'task_id="send_signed", connector="outbox"'


def write_project(folder: Path) -> None:
    """Write the small copy of ``include``."""
    include = folder / "include"
    for part in (NAME, "company"):
        shutil.copytree(PROJECT / "include" / part, include / part, ignore=shutil.ignore_patterns("__pycache__"))
    data = include / NAME / "data"
    _cut(data / "inbox.csv", lambda row, seen: row["intent"] in INTENTS)
    _cut(data / "train.csv", lambda row, seen: row["label"] in INTENTS and seen[row["label"]] <= EXAMPLES)
    with (data / "inbox.csv").open("a", encoding="utf-8") as inbox:
        inbox.write("T-900001,,standard,normal,en,app,2026-03-02T00:27:00+00:00,AC-1,atm_support\n")
        inbox.write("T-900002,$$$ 100,standard,normal,en,app,2026-03-02T00:27:00+00:00,AC-1,atm_support\n")
    ecosystem = include / "company" / "ecosystem.yaml"
    document = yaml.safe_load(ecosystem.read_text())
    for connector in document["connectors"].values():
        connector["timeout_seconds"] = 1.0
    document["connectors"]["helpdesk"] |= {"path": "/effects", "look_path": "/effects/{key}"}
    ecosystem.write_text(yaml.safe_dump(document))
    access = include / "company" / "access.yaml"
    access.write_text(access.read_text().replace("environments: [production]", "environments: [test]"))
    policy = include / NAME / "policy.yaml"
    policy.write_text(policy.read_text().replace("backoff_seconds: 2.0", "backoff_seconds: 0.05"))


def dag_text(more: str) -> str:
    """Return the shipped Dag file with the signed replies going to the help desk, and *more* behind it."""
    text = (PROJECT / "dags" / f"{NAME}.py").read_text()
    assert SEND_SIGNED in text
    text = text.replace(SEND_SIGNED, SEND_SIGNED.replace("outbox", "helpdesk"))
    body, call, _ = text.rpartition(f"{NAME}()\n")
    assert call
    return f"{body}DAG = {call}{more}"


def wiring(dag_file: Path) -> Wiring:
    """Return the wiring of the Dag in *dag_file*."""
    from interlock.operators.runtime import wiring_of

    spec = importlib.util.spec_from_file_location("faults_support_triage", dag_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return wiring_of(module.DAG)


class UndisturbedRun:
    """The same work in this process from one end to the other: what a disturbed run must come to."""

    def __init__(self, folder: Path, include: Path, ledger: Ledger, wired: Wiring, helpdesk: str) -> None:
        self.folder, self.include, self.ledger, self.wired = folder, include, ledger, wired
        self.contracts = load_contracts(include, NAME, ["Ticket", "Triage", "Context", "Reply"])
        self.fields = {
            "interlock_outbox": ConnectionFields(conn_id="interlock_outbox", extra={"path": str(folder / "outbox")}),
            "interlock_helpdesk": ConnectionFields(conn_id="interlock_helpdesk", host=helpdesk),
        }
        put_in_force(ledger, include, NAME)

    def session(self, task: str) -> Session:
        """Take the turn at *task*."""
        return open_session(
            self.ledger,
            workflow=NAME,
            dag_id=NAME,
            run_id="control",
            task_id=task,
            wiring=self.wired,
            include=self.include,
        )

    def go(self, answers: Callable[[list[str]], Mapping[str, str]]) -> dict[str, Any]:
        """
        Do all the work and return the report.

        :param answers: what people say, by business key, to the keys of the cases that wait.
        """
        rows = read_rows(
            parse_source(f"include/{NAME}/data/inbox.csv"), connection=_no_connection, base=self.include.parent
        )
        take_in_rows(self.session("intake"), rows, contract=self.contracts["Ticket"], source="inbox.csv")
        check_cases(self.session("check"), "tickets")
        self.role("triage")
        route_cases(self.session("route"))
        self.role("second_opinion")
        route_cases(self.session("route_again"))
        self.role("context")
        self.role("draft")
        validate_cases(self.session("validate"))
        self.send("send")
        gate = self.session("sign_off")
        open_gate(gate)
        gate.finish()
        waiting = sorted(key for key, state in states(self.ledger).items() if state[0] == "waiting")
        for key, answer in answers(waiting).items():
            seen = review_action.see(self.ledger, key)["digest"]
            review_action.vote(
                self.ledger, key, person=Identity("alice"), answer=answer, seen_digest=seen, reason="because"
            )
        self.send("send_signed")
        return report_run(self.session("report"))

    def role(self, task: str) -> None:
        """Let the agent of *task* work."""
        name, role, contract, reads = ROLES[task]
        session = self.session(task)
        agent = load_agent(name, session.version.bundle.agents[name], session.files, cache=self.folder / "cache")
        run_role(session, agent, Role(role, self.contracts[contract], tuple(self.contracts[one] for one in reads)))

    def send(self, task: str) -> None:
        """Send what is authorised at *task*."""
        session = self.session(task)
        name = session.task.connector or ""
        declared = connector_of(session, name)
        connector = open_connector(name, declared, self.fields[declared.conn_id])
        execute_cases(session, connector)
        connector.close()


def states(ledger: Ledger) -> dict[str, tuple[str, str | None]]:
    """Return state and route of every case by business key."""
    from interlock.ledger.store.schema import case
    from sqlalchemy import select

    with ledger.read() as connection:
        found = connection.execute(select(case.c.business_key, case.c.state, case.c.route))
        return {row.business_key: (row.state, row.route) for row in found}


def _no_connection(conn_id: str) -> Any:
    raise AssertionError(f"no connection {conn_id!r} is needed here")


def _cut(path: Path, keep: Callable[[dict[str, str], Counter[str]], bool]) -> None:
    seen: Counter[str] = Counter()
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = []
        for row in reader:
            seen[row.get("label") or ""] += 1
            if keep(row, seen):
                rows.append(row)
        names = list(reader.fieldnames or ())
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
