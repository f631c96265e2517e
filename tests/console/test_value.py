"""The page of a workflow's value says what the reports say, and lets settle incidents whoever may."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
import yaml
from interlock.console.ledger import open_ledger
from interlock.domain.cost.budget import accounts_of
from interlock.engine.reports.budget_report import budget_report
from interlock.engine.reports.value import cost_remarks, cost_report, kpi_report, tell_cost, tell_usd
from interlock.ledger.cost.budget import reserve, settle
from interlock.ledger.incidents.incident import report_incident
from interlock.ledger.policy.company import company_in_force
from interlock.ledger.store.schema import usage
from interlock.ledger.store.transaction import Actor, new_id
from sqlalchemy import event
from workflows import NAME, POLICY, WORKFLOW, put_in_force, rows

pytestmark = pytest.mark.airflow

KPIS = """
kpis:
  straight_through_rate: {baseline: 0.25, at_least: 0.6}
  cost_to_serve: {baseline: 3, at_most: 5, unit: USD}
"""
PRICES = """
machine: {per_hour: 3.6}
people: {per_hour: 60, minutes_per_vote: 2}
connectors: {payout: {per_call: 0.01}}
"""
BUDGETS = """
budgets:
  - {per: case, limit: 0.01}
  - {per: run, limit: 2}
  - {per: workflow, every: month, limit: 10, soft: 0.5, past_soft: wait}
"""
COMPANY = "budgets:\n  - {per: company, every: month, limit: 500}\n"
TASK = Actor("task", "judge")


@pytest.fixture
def flow(workflow):
    """Two of three refunds went by themselves; the workflow has figures to keep, prices and budgets."""
    workflow.write("workflow.yaml", WORKFLOW + KPIS)
    workflow.write("policy.yaml", POLICY + BUDGETS)
    workflow.write("../company/prices.yaml", PRICES)
    workflow.write("../company/budgets.yaml", COMPANY)
    workflow.publish()
    workflow.up_to("send", rows("a sure=0.95", "b sure=0.9", "c"))
    workflow.execute("send")
    return workflow


def page_of(client, query="?workflow=refunds&period=all", person="vera"):
    answer = client(person).get(f"/value{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def table_rows(page, *, under):
    """Return the cells of the first table under a heading, row by row."""
    table = page.split(f">{under}</h", 1)[1].split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    cells = (re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr>")[1:])
    return [[text_of(cell) for cell in row] for row in cells]


def spend(flow, dollars, *, set_aside):
    """Let a call of the run cost *dollars*, while *set_aside* is reserved for others."""
    run = flow.session("judge").run
    nano = int(Decimal(dollars) * 10**9), int(Decimal(set_aside) * 10**9)
    accounts = accounts_of(
        [b for b in (*run.version.bundle.policy.budgets, *run.company.budgets.budgets) if b.per != "case"],
        environment=run.environment,
        workflow=NAME,
        run=run.id,
        at=flow.ledger.clock(),
        calendar=company_in_force(flow.ledger).calendar,
    )
    with flow.ledger.write(actor=TASK, chain="t") as tx:
        until = tx.at + timedelta(minutes=1)
        given = {"environment": "test", "holder": "block", "run_id": run.id, "task": "judge", "expires_at": until}
        assert reserve(tx, accounts, wanted=sum(nano), least=sum(nano), **given).amount
        settle(tx, {"block": (nano[0], nano[0])}, expires_at=until)


def trouble(flow):
    with flow.ledger.write(actor=TASK, chain="t") as tx:
        return report_incident(
            tx,
            environment="test",
            settings=flow.version.bundle.settings,
            kind="AgentUnavailable",
            subject="judge",
            reason="<b>down</b>",
            cases=3,
        )


def test_the_kpis_of_the_workflow_come_first_and_are_those_of_the_report(flow, client):
    [phase] = kpi_report(flow.ledger, NAME, "all")["phases"]
    page = page_of(client)

    shown = table_rows(page, under="KPIs")
    assert [row[0].split(" Cases")[0].split(" All")[0] for row in shown] == ["straight through rate", "cost to serve"]
    for row, cells in zip(phase["kpis"], shown, strict=False):
        assert cells[1:3] == [row["told"], row["baseline_told"]]
        assert cells[5] == str(row["over"])
    assert shown[0][1:5] == ["66.7%", "25.0%", "+41.7 points better", "≥ 60% met"]
    assert shown[1][3].endswith(" better")
    assert shown[1][4] == "≤ 5 USD met"
    text = text_of(page)
    for row in phase["kpis"][2:]:
        assert f"{row['name'].replace('_', ' ')} {row['meaning']}" in text
    assert "14 other figures" in text


def test_a_broken_threshold_says_so(flow, client):
    flow.up_to("send", [row for row in rows(*"abcdef") if row.number > 4], run="r2")
    flow.gate(run="r2")

    first = table_rows(page_of(client), under="KPIs")[0]
    assert first[1:5] == ["40.0%", "25.0%", "+15.0 points better", "≥ 60% breached"]


def test_the_cost_is_that_of_the_report_with_what_is_not_in_it(flow, client):
    with flow.ledger.write(actor=TASK, chain="t") as tx:
        told = {**flow.table(usage)[0], "id": new_id(), "cost": None, "kind": "model", "model": "llama"}
        tx.insert(usage, [told], kind="usage")
    [phase] = cost_report(flow.ledger, NAME, "all")["phases"]
    page = page_of(client)

    text = text_of(page)
    assert f"Cost {tell_usd(phase['usd'])}" in text
    assert Decimal(phase["usd"]) > 0
    assert "1 call has no price and is not in it" in cost_remarks(phase)
    for line in cost_remarks(phase):
        assert line in text
    for part in ("by_kind", "by_fate"):
        for usd in phase[part].values():
            assert tell_usd(usd) in text
    by_agent = table_rows(page, under="By agent")
    assert [row[5] for row in by_agent] == [tell_cost(row) for row in phase["by_agent"]]
    assert [row[5] for row in by_agent if "llama" in row[0]] == ["no price"]
    assert [row[2] for row in by_agent] == [f"{row['rows']:,}" for row in phase["by_agent"]]


def test_pilot_and_production_are_apart(flow, client):
    flow.write("workflow.yaml", (WORKFLOW + KPIS).replace("phase: production", "phase: pilot"))
    flow.publish()
    flow.up_to("send", [row for row in rows(*"abcdef") if row.number > 4], run="r2")
    flow.gate(run="r2")

    pilot, production = page_of(client).split('<h2 class="phase">')[1:]

    # The phase that is in force comes first.
    assert pilot.startswith("In the pilot")
    assert production.startswith("In production")
    assert table_rows(pilot, under="KPIs")[0][1] == "0.0%"
    assert table_rows(production, under="KPIs")[0][1] == "66.7%"


def test_how_the_budgets_stand_is_what_the_ledger_counts(flow, client):
    spend(flow, "1.2", set_aside="0.3")

    shown = {cells[0]: cells[1:] for cells in table_rows(page_of(client), under="Budgets now")}

    assert list(shown) == [
        "per case each of refunds",
        "per run r1",
        "per workflow and month refunds",
        "per company and month all workflows",
    ]
    assert shown["per case each of refunds"][:4] == ["0.010000 USD", "", "", ""]
    assert shown["per run r1"][:4] == ["2.00 USD", "1.20 USD", "0.30 USD", "0.50 USD"]
    assert shown["per workflow and month refunds"][1:5] == ["1.20 USD", "0.30 USD", "8.50 USD", "50%: cases wait"]
    assert shown["per company and month all workflows"][3] == "498.50 USD"
    (month,) = [row for row in budget_report(flow.ledger, NAME)["budgets"] if row["per"] == "workflow"]
    assert shown["per workflow and month refunds"][5][:10] == month["until"][:10]


def test_a_soft_limit_that_is_passed_is_told(flow, client):
    flow.write("policy.yaml", POLICY + BUDGETS.replace("limit: 10", "limit: 2.4"))
    flow.publish()
    spend(flow, "1.2", set_aside="0.1")

    shown = {cells[0]: cells[1:] for cells in table_rows(page_of(client), under="Budgets now")}

    assert shown["per workflow and month refunds"][4] == "exceeded 50%: cases wait"


def test_an_incident_is_acknowledged_and_closed_by_whoever_may(flow, client):
    row = trouble(flow)
    viewer, otto = page_of(client), page_of(client, person="otto")

    assert "AgentUnavailable at judge <b>down</b>" in text_of(viewer)
    assert "nobody" in text_of(viewer)
    assert "data-post" not in viewer
    address = f"/interlock/api/incidents/{row.id}"
    assert re.findall(r'data-post="([^"]*)"', otto) == [f"{address}/acknowledge", f"{address}/close"]
    acting = client("otto")
    assert acting.post(f"/api/incidents/{row.id}/acknowledge", json={}).status_code == 200
    after = page_of(client, person="otto")
    assert "otto since" in text_of(after)
    assert re.findall(r'data-post="([^"]*)"', after) == [f"{address}/close"]
    assert acting.post(f"/api/incidents/{row.id}/close", json={}).status_code == 200
    assert "No incident of refunds is open" in text_of(page_of(client))


def without_time(report):
    """Leave out what goes on between two readings: cases per day until now."""
    [phase] = report["phases"]
    return [row for row in phase["kpis"] if row["name"] != "throughput"], phase["approval_latency_by_stage"]


def test_the_api_has_the_same_numbers(flow, client):
    told = client("vera").get("/api/workflows/refunds/value?period=all").json()

    assert without_time(told["kpi"]) == without_time(kpi_report(flow.ledger, NAME, "all"))
    assert told["cost"] == cost_report(flow.ledger, NAME, "all")
    assert told["budgets"] == budget_report(flow.ledger, NAME)["budgets"]


@pytest.mark.parametrize("path", ["/value?workflow=refunds", "/api/workflows/refunds/value"])
def test_who_may_not_see_dags_sees_no_figures(flow, client, path):
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    stranger = client(None)
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="sam", role=None))
    stranger.headers["Authorization"] = f"Bearer {token}"

    response = stranger.get(path)

    assert response.status_code == 403
    assert "may not see figures" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/value?workflow={}&period={}", "/api/workflows/{}/value?period={}"])
@pytest.mark.parametrize(
    ("name", "period", "status", "message"),
    [
        ("refund", "all", 404, "there is no workflow 'refund' in the ledger of 'test'. Did you mean 'refunds'?"),
        ("refunds", "mnth", 409, "'mnth' is no period; write day, month, all, 7d, 2026-11 or 2026-11-23"),
        ("refunds", "9000-01", 409, "'9000-01' has not begun"),
    ],
)
def test_what_is_misspelt_is_told(flow, client, path, name, period, status, message):
    response = client("vera").get(path.format(name, period), headers={"Accept": "text/html"})

    assert response.status_code == status
    assert message in text_of(response.text)


def test_a_misspelt_period_leaves_the_form_with_what_was_typed(flow, client):
    trouble(flow)
    text = client("vera").get("/value?workflow=refunds&period=mnth").text

    assert text.index('name="period" value="mnth"') < text.index("is no period") < text.index("Open incidents")
    assert "The ledger has no run of refunds" not in text
    assert table_rows(text, under="Budgets now")[0][0] == "per case each of refunds"


def test_before_the_first_run_the_page_says_what_to_do_and_what_may_be_spent(workflow, client):
    workflow.write("policy.yaml", POLICY + BUDGETS)
    workflow.publish()

    page = page_of(client, "")

    assert "The ledger has no run of refunds" in text_of(page)
    assert [row[0] for row in table_rows(page, under="Budgets now")][:2] == [
        "per case each of refunds",
        "per run each of refunds",
    ]


def test_without_a_budget_or_a_figure_to_keep_the_page_says_where_to_write_them(workflow, client):
    workflow.up_to("send", rows("a"))

    text = text_of(page_of(client))

    assert "workflow.yaml names no KPI" in text
    assert "Add budgets: to policy.yaml" in text


def test_every_page_leads_to_it(flow, client):
    assert 'href="/interlock/value"' in client("vera").get("/").text
    assert 'href="/interlock/value?workflow=refunds"' in client("vera").get("/runs").text
    assert 'href="/interlock/value?workflow=refunds"' in client("vera").get("/task?dag_id=refunds&run_id=r1").text


def test_where_nothing_is_in_force_the_page_says_what_to_do(workflow, client, monkeypatch):
    monkeypatch.setenv("AIRFLOW__INTERLOCK__ENVIRONMENT", "staging")

    assert "airflow interlock policy publish WORKFLOW" in text_of(page_of(client, ""))


def test_of_several_workflows_one_is_picked(flow, client):
    other = yaml.safe_load(WORKFLOW) | {"workflow": "returns", "title": "Returns & more", "phase": "pilot"}
    shutil.copytree(flow.include / NAME, flow.include / "returns")
    flow.write("../returns/workflow.yaml", yaml.safe_dump(other))
    put_in_force(flow.ledger, flow.include, "returns")
    trouble(flow)

    page = page_of(client, "")

    assert table_rows(page, under="KPIs and cost of workflows") == [
        ["Refunds refunds", "production", "Ann", "1"],
        ["Returns & more returns", "pilot", "Ann", "0"],
    ]
    assert 'href="/interlock/value?workflow=returns"' in page
    assert "The ledger has no run of returns" in text_of(page_of(client, "?workflow=returns"))


def test_more_cases_make_the_page_ask_the_ledger_no_more_often(flow, client):
    """Else it would take longer than the reports, which are a few queries each."""
    asked: list[str] = []
    event.listen(open_ledger().engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    flow.report()
    page_of(client)
    before = len(asked)
    flow.up_to("send", [row for row in rows(*["x sure=0.95"] * 40) if row.number > 3], run="r2")
    flow.execute("send", run="r2")
    asked.clear()

    page_of(client)

    assert 0 < len(asked) <= before
