"""``airflow interlock policy check`` before there is a ledger, and beside company files that are not in force."""

from __future__ import annotations

import pytest
from interlock.ledger.store.ledger import Ledger
from terminal import ledger_behind
from workflows import ACCESS, AGENTS, POLICY, Workflow


@pytest.fixture
def flow(tmp_path, sqlite_ledger: Ledger, monkeypatch) -> Workflow:
    """A workflow in force, and no Dag of it."""
    made = Workflow(tmp_path, sqlite_ledger)
    (tmp_path / "dags").mkdir()
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    ledger_behind(monkeypatch, sqlite_ledger, tmp_path, include=made.include)
    return made


def test_a_workflow_can_be_checked_before_there_is_a_ledger(terminal, flow, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_INTERLOCK_LEDGER",
        f'{{"conn_type": "interlock", "extra": {{"path": "{tmp_path / "not_there_yet.db"}"}}}}',
    )

    assert terminal("policy check refunds").out.startswith("refunds: no errors, validated without a Dag")
    flow.write("policy.yaml", POLICY.replace("default: review", "default: revew"))
    assert "'revew'" in terminal("policy check refunds").error


def test_what_only_lacks_the_companys_new_files_says_so(terminal, flow):
    flow.write("policy.yaml", POLICY.replace("voters: leads", "voters: bosses"))

    refused = terminal("policy check refunds")
    assert (refused.code, refused.out) == (1, "")
    assert "bosses" in refused.error
    assert "policy publish company" not in refused.error

    flow.write("../company/access.yaml", ACCESS.replace("  leads: [lea, leo]", "  leads: [lea, leo]\n  bosses: [lea]"))
    error = terminal("policy check refunds").error
    assert "differs from version 1 in force here, and would solve 1 of 1 problems" in error
    assert "airflow interlock policy publish company" in error


@pytest.mark.parametrize(("limit", "is_refused"), [("0.0019", True), ("0.0021", False)])
def test_a_budget_that_no_call_fits_into_is_refused(terminal, flow, limit, is_refused):
    """Its cases would wait, and nothing of the policy would say why."""
    settings = "prompt: p.md.j2, settings: {max_tokens: 200}"
    model = f"judge: {{kind: model, conn_id: llm, model: 'openai-chat:llama3.2', {settings}}}"
    flow.write("agents.yaml", AGENTS.replace('judge: {kind: function, function: "workflows:judge"}', model, 1))
    flow.write("p.md.j2", "What is this about? {{ case.text }}")
    flow.write("../company/prices.yaml", "models: [{model: llama3.2, from: 2026-01-01, input: 1.0, output: 10.0}]\n")
    flow.write("policy.yaml", POLICY.replace("stop_when:", f"budgets: [{{per: run, limit: {limit}}}]\nstop_when:"))
    flow.publish()

    printed = terminal("policy check refunds")

    assert printed.code == int(is_refused)
    message = (
        f"an answer of 'judge' can cost 0.002000 USD by its max_tokens of 200, and the budget is {limit} USD per run"
    )
    assert (message in printed.error) == is_refused
