"""How the budgets are told that hold for a workflow: whose they are, what is left, and which of them nobody counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from interlock.domain.cost.budget import accounts_of
from interlock.engine.reports.budget_report import budget_report
from interlock.errors import ConfigurationError
from interlock.ledger.cost.budget import reserve, settle
from interlock.ledger.runs.run import end_run
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.transaction import Actor
from workflows import NAME, POLICY, Clock, Workflow

TASK = Actor("task", "judge")
CENT = 10**7


@pytest.fixture
def flow(tmp_path, ledger: Ledger) -> Workflow:
    flow = Workflow(tmp_path, Ledger(ledger.engine, "test", Clock()))
    limit(flow, "{per: run, limit: 1}", "{per: workflow, every: day, limit: 2, soft: 0.5}")
    return flow


def limit(flow: Workflow, *budgets: str, company: str = "") -> None:
    flow.write("policy.yaml", POLICY + "budgets: [" + ", ".join(budgets) + "]\n")
    flow.write("../company/budgets.yaml", f"budgets: [{company}]\n")
    flow.publish()


def spend(flow: Workflow, cents: int, *, run: str, set_aside: int = 0) -> None:
    pinned = flow.session("judge", run=run).run
    accounts = accounts_of(
        (*pinned.version.bundle.policy.budgets, *pinned.company.budgets.budgets),
        environment="test",
        workflow=NAME,
        run=pinned.id,
        at=flow.ledger.clock(),
        calendar=pinned.company.calendar,
    )
    with flow.ledger.write(actor=TASK, chain="t") as tx:
        until, wanted = tx.at + timedelta(minutes=1), (cents + set_aside) * CENT
        block = {"environment": "test", "holder": f"b-{run}", "run_id": pinned.id, "task": "judge"}
        assert reserve(tx, accounts, wanted=wanted, least=wanted, expires_at=until, **block).amount == wanted
        settle(tx, {f"b-{run}": (cents * CENT, cents * CENT)})


def end(flow: Workflow, run: str) -> None:
    session = flow.session("report", run=run)
    with flow.ledger.write(actor=TASK, chain="t") as tx:
        end_run(tx, session.run)


def told(flow: Workflow, *names: str) -> list[tuple]:
    return [tuple(row[name] for name in names) for row in budget_report(flow.ledger, NAME)["budgets"]]


def test_each_run_that_goes_on_has_its_own_and_the_workflow_has_one_of_both(flow):
    spend(flow, 30, run="r1", set_aside=20)
    spend(flow, 60, run="r2")

    assert told(flow, "of", "limit", "spent", "reserved", "left", "is_past_soft") == [
        ("r1", "1", "0.3", "0.2", "0.5", None),
        ("r2", "1", "0.6", "0", "0.4", None),
        (NAME, "2", "0.9", "0.2", "0.9", True),
    ]


def test_a_run_keeps_the_limit_that_it_pinned(flow):
    spend(flow, 30, run="r1")
    limit(flow, "{per: run, limit: 0.5}")
    spend(flow, 30, run="r2")

    assert told(flow, "of", "limit", "left") == [("r1", "1", "0.7"), ("r2", "0.5", "0.2")]


def test_a_run_that_failed_hides_no_newer_one_and_is_not_told_of_for_ever(flow):
    """Nobody records its end."""
    spend(flow, 30, run="failed")
    for number in range(1, 6):
        flow.ledger.clock.forward(minutes=5)
        spend(flow, number, run=f"r{number}")
        end(flow, f"r{number}")
        if number == 4:
            assert told(flow, "of", "spent")[:-1] == [("failed", "0.3"), ("r4", "0.04")]

    assert told(flow, "of", "spent")[:-1] == [("r5", "0.05")]


def test_when_all_runs_are_over_the_newest_is_told(flow):
    for run, cents in (("r1", 30), ("r2", 40)):
        spend(flow, cents, run=run)
        end(flow, run)
        flow.ledger.clock.forward(minutes=5)

    assert told(flow, "of", "spent")[:-1] == [("r2", "0.4")]


def test_the_next_day_begins_with_nothing_spent(flow):
    spend(flow, 30, run="r1")
    before = told(flow, "spent", "until")[-1]
    flow.ledger.clock.forward(days=1)

    assert before == ("0.3", "2026-03-03T00:00:00+00:00")
    assert told(flow, "spent", "until")[-1] == ("0", "2026-03-04T00:00:00+00:00")


def test_those_of_a_case_and_of_runs_to_come_have_a_limit_and_nothing_to_count(flow):
    limit(flow, "{per: case, limit: 0.01}", "{per: run, limit: 1}")

    assert told(flow, "budget", "of", "limit", "spent", "left") == [
        ("per case", "each of refunds", "0.01", None, None),
        ("per run", "each of refunds", "1", None, None),
    ]


def test_that_of_a_team_holds_for_its_workflows_and_that_of_the_company_for_all(flow):
    team = "{{per: team, team: {0}, workflows: [{1}], every: day, limit: 9}}"
    company = "{per: company, every: month, limit: 99}"
    limit(
        flow,
        "{per: run, limit: 1}",
        company=", ".join([team.format("support", NAME), team.format("sales", "leads"), company]),
    )
    spend(flow, 30, run="r1")

    assert told(flow, "budget", "of", "left") == [
        ("per run", "r1", "0.7"),
        ("per team and day", "support", "8.7"),
        ("per company and month", "all workflows", "98.7"),
    ]
    assert budget_report(flow.ledger)["budgets"] == budget_report(flow.ledger, NAME)["budgets"]


def test_an_unknown_workflow_is_told(flow):
    with pytest.raises(ConfigurationError, match="Did you mean 'refunds'"):
        budget_report(flow.ledger, "refund")
