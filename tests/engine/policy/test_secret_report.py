from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from interlock.engine.policy.secret_report import secret_report
from interlock.ledger.policy.deployment import set_deployment
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor
from workflows import ACCESS, AGENTS, NAME, Workflow

NOW = datetime(2026, 4, 1, tzinfo=UTC)
WITH_A_MODEL = AGENTS + "clever_writer: {kind: model, conn_id: llm, prompt: clever.j2}\n"
LLM = "  llm: {environments: [test]}\n"


@dataclass
class Kept:
    """A connection as Airflow returns it."""

    extra: str | None = None
    password: str = "hunter2"


def kept(**extras: Any) -> Callable[[str], Kept | None]:
    connections = {name: Kept(json.dumps(extra)) for name, extra in extras.items()}
    return connections.get


def by_id(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["conn_id"]: row for row in found["connections"]}


@pytest.fixture
def flow(tmp_path: Path, ledger: Ledger) -> Workflow:
    rule = LLM.replace("[test]", "[test], rotate_every: 30d")
    return Workflow(
        tmp_path,
        Ledger(ledger.engine, "test", lambda: NOW),
        agents=WITH_A_MODEL,
        access=ACCESS.replace(LLM, rule),
    )


def test_the_report_is_of_what_is_in_force_by_the_clock_of_the_ledger(flow: Workflow):
    found = secret_report(flow.ledger, kept(llm={"rotated_on": "2026-01-01"}, payout={"path": "/srv"}))

    rows = by_id(found)
    assert (found["environment"], found["company"], found["warnings"]) == ("test", 1, [])
    assert rows["llm"] == {
        "conn_id": "llm",
        "users": ("agent refunds/clever_writer",),
        "environments": ("test",),
        "exists": True,
        "rotated_on": "2026-01-01",
        "due_since": "2026-01-31",
        "age": "due since 2026-01-31",
        "findings": (),
    }
    assert (rows["payout"]["users"], rows["payout"]["age"]) == (("connector payout",), "age unknown")
    assert (rows["nowhere"]["exists"], rows["nowhere"]["findings"]) == (
        False,
        ("unused: allowed in test, and nothing here uses it",),
    )
    json.dumps(found)


def test_an_agent_of_a_retired_workflow_uses_nothing_and_one_of_a_paused_workflow_still_does(flow: Workflow):
    cleo = Actor("person", "cleo")
    set_deployment(flow.ledger, NAME, "paused", actor=cleo, reason="a test asks for it")
    assert by_id(secret_report(flow.ledger, kept()))["llm"]["users"] == ("agent refunds/clever_writer",)

    set_deployment(flow.ledger, NAME, "retired", actor=cleo, reason="a test asks for it")
    row = by_id(secret_report(flow.ledger, kept()))["llm"]

    assert row["users"] == ()
    assert [finding.partition(":")[0] for finding in row["findings"]] == ["over-privileged"] * 3 + ["unused"]


def test_nothing_of_a_connection_but_its_day_of_rotation_is_told(flow: Workflow, caplog):
    """A password, an extra that is no JSON, an error that quotes what it could not read: none may come through."""

    def connection(conn_id: str) -> Kept:
        if conn_id == "payout":
            raise ValueError("port 'hunter2' cannot be read")
        return Kept("{hunter2") if conn_id == "nowhere" else Kept('{"rotated_on": "hunter2", "api_key": "hunter2"}')

    found = secret_report(flow.ledger, connection)

    assert "hunter2" not in json.dumps(found) + repr(found) + caplog.text
    assert by_id(found)["payout"]["age"] == "could not be looked up: ValueError"
    assert by_id(found)["nowhere"]["age"] == "age unknown"


def test_without_a_company_version_no_connection_is_allowed_and_that_is_told(ledger: Ledger):
    found = secret_report(ledger, kept())

    assert (found["company"], found["connections"]) == (None, [])
    assert "no version of the company's files is in force" in found["warnings"][0]
