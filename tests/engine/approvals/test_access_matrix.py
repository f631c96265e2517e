from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from interlock.domain.approvals.access import Identity
from interlock.engine.approvals.access_matrix import access_matrix, owners
from interlock.ledger.approvals.delegation import delegate
from interlock.ledger.store.ledger import Ledger
from workflows import ACCESS, NAME, POLICY, Workflow, rows


def test_the_matrix_says_who_has_a_right_and_who_votes_where(tmp_path: Path, ledger: Ledger):
    more = ACCESS.replace("  others: [otto]", '  others: ["role:Op"]\n  empty: []')
    flow = Workflow(tmp_path, ledger, access=more + "workflows: {refunds: {switch: [others]}}\n")
    until = ledger.clock() + timedelta(days=1)
    delegate(flow.ledger, Identity("lea"), taker="otto", until=until, reason="away")

    found = access_matrix(ledger)

    rights = {(row["right"], row["workflow"]): row["people"] for row in found["rights"]}
    assert rights["promote", None] == ["cleo", "admin", "otto"]
    assert rights["approve", None] == ["cleo", "admin", "otto", "lea", "leo"]
    assert rights["switch", NAME] == ["role:Op"]
    assert [(row["gate"], row["votes"], row["people"]) for row in found["gates"]] == [("leads", 1, ["lea", "leo"])]
    assert [(row["taker"], row["giver"]) for row in found["delegations"]] == [("otto", "lea")]
    assert found["warnings"] == ["group 'empty' has nobody in it", "group 'empty' has no right and votes nowhere"]


def test_without_a_company_version_nobody_has_a_right_and_that_is_told(ledger: Ledger):
    found = access_matrix(ledger)

    assert {tuple(row["people"]) for row in found["rights"]} == {()}
    assert "no version of the company's files is in force" in found["warnings"][0]
    assert owners(ledger) == []


def test_owners_are_those_of_the_version_in_force(tmp_path: Path, ledger: Ledger):
    Workflow(tmp_path, ledger, policy=POLICY + "reviewed: {last: 2026-01-01, every: 30d}\n")

    [row] = owners(ledger)

    assert (row["workflow"], row["phase"], row["state"]) == (NAME, "production", "deployed")
    assert (row["owner"]["name"], row["approver"]["escalation"][0]["email"]) == ("Ann", "zoe@example.com")
    assert row["review_by"] == "2026-01-31"


def test_a_policy_past_its_review_runs_and_every_task_says_so(tmp_path: Path, ledger: Ledger, caplog):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    flow = Workflow(
        tmp_path,
        Ledger(ledger.engine, "test", lambda: now),
        policy=POLICY + "reviewed: {last: 2026-01-01, every: 30d}\n",
    )

    with caplog.at_level(logging.WARNING):
        assert flow.intake(rows("a"))["opened"] == 1

    assert "past its review: gone through on 2026-01-01, due by 2026-01-31" in caplog.text
    assert owners(flow.ledger)[0]["is_past_review"]
